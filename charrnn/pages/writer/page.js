// The page's controls. What comes from the model or the reader becomes text, never markup.

const byId = (id) => document.getElementById(id);
const model = JSON.parse(byId("model").textContent);
const writer = new Writer(model);

/** Milliseconds of work between two looks at what the reader does. */
const SLICE = 12;

/** How much a text has, and how many there are, unless the reader says so. */
const [LENGTH, COUNT] = model.lines ? [60, 10] : [500, 1];

/** The texts that are being written: stopping is to let go of it. */
let current = null;

function element(name, text = "", properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text, ...properties });
}

/** Give the browser a turn. A message, unlike a timer, comes back at once. */
function turn() {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), done());
    port2.postMessage(null);
  });
}

function choices() {
  const number = (id) => Number(byId(id).value);
  return {
    length: number("length"),
    temperature: number("temperature"),
    topK: number("top-k"),
    topP: number("top-p"),
    minP: number("min-p"),
    penalty: number("penalty"),
  };
}

/** One that the reader gives, or by chance. */
function seed() {
  const given = byId("seed").value;
  return given === "" ? crypto.getRandomValues(new Uint32Array(1))[0] : Number(given);
}

/** A text on the page that goes on from the prompt; the node that grows. */
function begin(prompt) {
  const paragraph = element("p", "", { className: "text", dir: "auto" });
  const written = document.createTextNode("");
  paragraph.append(element("span", prompt, { className: "beginning" }), written);
  byId("texts").append(paragraph);
  return written;
}

/** Write texts one after the other, text k by seed + k; true once it is done, not stopped. */
async function write(own, prompt, chosen, first, count) {
  let until = performance.now() + SLICE;
  for (let number = 0; number < count; number++) {
    const written = begin(prompt);
    let pending = "";
    for (const character of writer.text(prompt, chosen, first + number)) {
      pending += character;
      own.characters += character !== "";
      if (performance.now() < until) continue;
      written.appendData(pending);
      pending = "";
      await turn();
      if (current !== own) return false;
      until = performance.now() + SLICE;
    }
    written.appendData(pending);
  }
  return true;
}

function busy(writing) {
  byId("texts").setAttribute("aria-busy", writing);
  byId("stop").disabled = !writing;
  byId("copy").disabled = writing || byId("texts").textContent === "";
}

function say(text) {
  byId("status").textContent = text;
}

async function start(event) {
  event.preventDefault();
  const own = (current = { characters: 0 });
  const first = seed();
  byId("texts").replaceChildren();
  writer.network.tell(labels());
  busy(true);
  say("Writing …");
  const started = performance.now();
  const prompt = byId("prompt").value;
  const done = await write(own, prompt, choices(), first, Number(byId("count").value));
  if (!done && current !== null) return; // another one has begun
  const speed = own.characters / Math.max((performance.now() - started) / 1000, 1e-3);
  current = null;
  busy(false);
  const figures = [own.characters, speed].map((n) => Math.round(n).toLocaleString("en"));
  say(`${done ? "Done" : "Stopped"}: ${figures[0]} characters, ${figures[1]} a second, seed ${first}.`);
}

function stop() {
  current = null;
}

async function copy() {
  const text = [...document.querySelectorAll(".text")].map((p) => p.textContent).join("\n");
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(byId("texts"));
    say("The browser keeps the clipboard to itself: the text is selected, copy it by hand.");
  }
}

function tellUnseen() {
  const unseen = writer.unseen(byId("prompt").value).map((character) =>
    character === "\n" ? "line end" : `“${character}”`,
  );
  byId("prompt-note").textContent = unseen.length
    ? `The model has never seen ${unseen.join(" ")}: it reads something unknown there.`
    : "";
}

// Labels: a row for each that is told, and an empty one

function labelRow() {
  const number = byId("labels").childElementCount;
  const row = element("div", "", { className: "label-row" });
  const select = element("select", "", { ariaLabel: `Label ${number}` });
  const weight = element("input", "", {
    type: "number", step: "any", min: -1000, max: 1000, value: 1, required: true,
    ariaLabel: `Weight of label ${number}`,
  });
  select.append(element("option", "none", { value: "" }));
  model.labels.forEach((name, n) => select.append(element("option", name, { value: n })));
  select.addEventListener("change", () => {
    if (select.value !== "" && row === byId("labels").lastElementChild) labelRow();
  });
  row.append(select, weight);
  byId("labels").append(row);
}

/** The labels that are told, as indices and weights. */
function labels() {
  return [...document.querySelectorAll(".label-row")]
    .map(({ children: [select, weight] }) => ({ name: select.value, weight: Number(weight.value) }))
    .filter(({ name }) => name !== "")
    .map(({ name, weight }) => ({ index: Number(name), weight }));
}

function present() {
  document.title = model.title;
  byId("title").textContent = model.title;
  byId("length").value = LENGTH;
  byId("count").value = COUNT;
  byId("count-field").hidden = !model.ends;
  byId("labels").hidden = !model.labels.length;
  if (model.labels.length) labelRow();
  for (const [name, value] of model.about) {
    byId("about").append(element("dt", name), element("dd", value));
  }
}

present();
byId("form").addEventListener("submit", start);
byId("form").addEventListener("invalid", ({ target }) => {
  const around = target.closest("details"); // what is folded away cannot be shown to be wrong
  if (around) around.open = true;
}, true);
byId("stop").addEventListener("click", stop);
byId("copy").addEventListener("click", copy);
byId("prompt").addEventListener("input", tellUnseen);
byId("temperature").addEventListener("input", ({ target }) => {
  byId("temperature-shown").textContent = target.value;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
