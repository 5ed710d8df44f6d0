"use strict";

const dataOf = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
const named = (text) =>
  ({ " ": "space", "\n": "line end", "\t": "tab" })[text] ?? ([...text].length > 1 ? text : `“${text}”`);

// A text whose characters say more when they are pointed at, tapped, or reached with the arrow keys.
function explain(text, told, say) {
  const spans = [...text.children];
  let at = -1;
  const go = (place) => {
    if (place < 0 || place >= spans.length) return;
    spans[at]?.classList.remove("at");
    at = place;
    spans[at].classList.add("at");
    told.textContent = say(at);
  };
  for (const event of ["pointerover", "click"]) {
    text.addEventListener(event, (e) => go(spans.indexOf(e.target)));
  }
  text.addEventListener("focus", () => go(Math.max(at, 0)));
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 40, ArrowUp: -40 };
  text.addEventListener("keydown", (e) => {
    const to = { Home: 0, End: spans.length - 1 }[e.key] ?? at + (steps[e.key] ?? NaN);
    if (Number.isNaN(to)) return;
    e.preventDefault();
    go(Math.min(Math.max(to, 0), spans.length - 1));
    spans[at].scrollIntoView({ block: "nearest" });
  });
}

const characters = dataOf("characters");
if (characters) {
  explain(document.getElementById("surprise"), document.getElementById("surprise-told"), (n) => {
    const [name, bits, likeliest] = characters[n];
    const others = likeliest.map(([other, p]) => `${named(other)} ${(100 * p).toFixed(1)} %`);
    return `${named(name)}: ${bits.toFixed(2)} bits. Likeliest here: ${others.join(", ")}`;
  });
}

const levels = dataOf("levels");
if (levels) {
  const choice = document.getElementById("unit");
  const spans = [...document.getElementById("heat").children];
  const show = () => {
    const own = levels[choice.selectedIndex];
    spans.forEach((span, n) => { span.className = `h${own[n]}`; });
  };
  choice.addEventListener("change", show);
  show(); // a browser may remember another choice
}
