// How characters are chosen, in the order of `charrnn sample`, and how texts are written.

/** How many characters back the repetition penalty looks, as `charrnn sample` does by itself. */
const WINDOW = 64;

/** Numbers in [0, 1) from a seed: sfc32, Chris Doty-Humphrey's small generator. */
class Random {
  constructor(seed) {
    this.state = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, 0x9e3779b9, 1];
    for (let n = 0; n < 15; n++) this.next();
  }

  next() {
    let [a, b, c, counter] = this.state;
    const result = (a + b + counter) >>> 0;
    this.state = [b ^ (b >>> 9), (c + (c << 3)) | 0, ((c << 21) | (c >>> 11)) + result, counter + 1];
    this.state = this.state.map((value) => value >>> 0);
    return result;
  }

  uniform() {
    return this.next() / 2 ** 32;
  }
}

/** The least of the largest values that together weigh `share`, a weight for each value. */
function leastOf(values, weight, share) {
  let sum = 0;
  for (const value of new Float64Array(values).sort().reverse()) {
    sum += weight(value);
    if (sum >= share) return value;
  }
  return -Infinity;
}

/** What has a value below the bound can no longer be chosen. */
function keep(logits, values, bound) {
  for (let k = 0; k < logits.length; k++) if (values[k] < bound) logits[k] = -Infinity;
}

/** The filters, each of what those before it have left. What is equally likely stays together. */
const FILTERS = {
  topK: (logits, most) => keep(logits, logits, leastOf(logits, () => 1, most)),
  topP: (logits, share) => {
    const chances = softmax(new Float64Array(logits));
    keep(logits, chances, leastOf(chances, (chance) => chance, share));
  },
  minP: (logits, share) => keep(logits, logits, largest(logits) + Math.log(share)),
};

/** The values at which filters do nothing. */
const NOTHING = { topK: 0, topP: 1, minP: 0 };

/** The next token of a text whose latest tokens are `recent`, by a number in [0, 1). */
function choose(logits, recent, choices, uniform) {
  for (const token of new Set(recent)) logits[token] -= Math.log(choices.penalty);
  for (const name of Object.keys(FILTERS)) {
    if (choices[name] !== NOTHING[name]) FILTERS[name](logits, choices[name]);
  }
  if (choices.temperature === 0) return logits.indexOf(largest(logits));
  const top = largest(logits);
  const chances = softmax(logits.map((logit) => (logit - top) / choices.temperature));
  let left = uniform;
  let chosen = -1;
  for (let k = 0; k < chances.length && left >= 0; k++) {
    if (chances[k] > 0) chosen = k;
    left -= chances[k];
  }
  return chosen;
}

class Writer {
  constructor(model) {
    this.network = new Network(model);
    this.characters = [...model.characters];
    this.tokens = new Map(this.characters.map((character, n) => [character, SPECIALS + n]));
    this.never = model.ends ? [START, UNKNOWN] : [START, UNKNOWN, END];
  }

  /** The characters of a text that the model does not know. */
  unseen(text) {
    return [...new Set(text)].filter((character) => !this.tokens.has(character));
  }

  /** Each character that goes on from the prompt, as it is chosen; "" for one that is read. */
  *text(prompt, choices, seed) {
    const random = new Random(seed);
    let recent = [];
    let logits = this.network.feed(START);
    const read = (token) => {
      logits = this.network.feed(token);
      recent = [...recent.slice(1 - WINDOW), token];
    };
    for (const character of prompt) {
      read(this.tokens.get(character) ?? UNKNOWN);
      yield "";
    }
    for (let n = 0; n < choices.length; n++) {
      const row = new Float64Array(logits);
      for (const token of this.never) row[token] = -Infinity;
      const token = choose(row, recent, choices, random.uniform());
      if (token === END) return;
      yield this.characters[token - SPECIALS];
      if (n + 1 < choices.length) read(token);
    }
  }
}
