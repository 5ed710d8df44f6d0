// The network, one character at a time. Weights and units are float32; sums are made in float64,
// so that probabilities differ from those of the compiled program in the fifth digit at most.

const START = 0;
const END = 1;
const UNKNOWN = 2;
const SPECIALS = 3;

// Tensors

function bytes(base64) {
  const text = atob(base64);
  const result = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) result[n] = text.charCodeAt(n);
  return result;
}

/** What 16 bits are as a floating-point number: 1 of sign, 5 of exponent, 10 of fraction. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

const READERS = {
  float32: (view, n) => view.getFloat32(4 * n, true),
  float16: (view, n) => half(view.getUint16(2 * n, true)),
  int8: (view, n) => view.getInt8(n),
};

function numbers(base64, type) {
  const view = new DataView(bytes(base64).buffer);
  const count = view.byteLength / { float32: 4, float16: 2, int8: 1 }[type];
  const result = new Float32Array(count);
  for (let n = 0; n < count; n++) result[n] = READERS[type](view, n);
  return result;
}

/** A tensor of float32; what has a scale for each row is multiplied by it. */
class Tensor {
  constructor({ shape, type, values, scales }) {
    this.columns = shape[shape.length - 1];
    this.values = numbers(values, type);
    if (!scales) return;
    numbers(scales, "float32").forEach((scale, row) => {
      const first = row * this.columns;
      for (let k = first; k < first + this.columns; k++) this.values[k] *= scale;
    });
  }

  row(number) {
    return this.values.subarray(number * this.columns, (number + 1) * this.columns);
  }
}

/**
 * Add to sums[row] the row of a matrix, from a column on, times all of the units: for the rows from
 * `first` to before `last`. Four at a time, so that each unit is looked up once for all of them.
 */
function addProduct(matrix, column, units, sums, first = 0, last = sums.length) {
  const { values, columns } = matrix;
  let row = first;
  for (; row + 4 <= last; row += 4) {
    const p = row * columns + column;
    const [q, r, s] = [p + columns, p + 2 * columns, p + 3 * columns];
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let k = 0; k < units.length; k++) {
      const unit = units[k];
      a += values[p + k] * unit;
      b += values[q + k] * unit;
      c += values[r + k] * unit;
      d += values[s + k] * unit;
    }
    sums[row] += a;
    sums[row + 1] += b;
    sums[row + 2] += c;
    sums[row + 3] += d;
  }
  for (; row < last; row++) {
    const p = row * columns + column;
    for (let k = 0; k < units.length; k++) sums[row] += values[p + k] * units[k];
  }
}

function largest(values) {
  let top = -Infinity;
  for (let k = 0; k < values.length; k++) if (values[k] > top) top = values[k];
  return top;
}

/** Logits become probabilities, in their place. */
function softmax(values) {
  const top = largest(values);
  let sum = 0;
  for (let k = 0; k < values.length; k++) sum += values[k] = Math.exp(values[k] - top);
  for (let k = 0; k < values.length; k++) values[k] /= sum;
  return values;
}

/** Logarithms of the mean of the probabilities that heads tell. */
function mixture(heads) {
  const logs = heads.map(({ units }) => {
    const top = largest(units);
    const sum = units.reduce((total, value) => total + Math.exp(value - top), 0);
    return units.map((value) => value - top - Math.log(sum));
  });
  return logs[0].map((_, k) => {
    const own = logs.map((log) => log[k]);
    const top = Math.max(...own);
    const sum = own.reduce((total, value) => total + Math.exp(value - top), 0);
    return top + Math.log(sum / own.length);
  });
}

// Nodes: `begin` where a text begins, `step` for one character, and `addTo` the sums of a matrix,
// from a column on, what the node gives.

/** Indices, each with a weight: they choose columns of what reads them. */
class Chosen {
  chosen = [];
  begin() {}
  step() {}

  addTo(sums, { values, columns }, column) {
    for (const { index, weight } of this.chosen) {
      const first = column + index;
      for (let row = 0; row < sums.length; row++) sums[row] += weight * values[first + row * columns];
    }
  }
}

class Characters extends Chosen {}
class Labels extends Chosen {}

class Layer {
  constructor(node, sources, tensors) {
    this.node = node;
    this.sources = sources;
    this.tensor = (own, names = node.names) => tensors[names.replace("{}", own)];
    this.units = new Float32Array(node.size);
  }

  begin() {}

  addTo(sums, matrix, column) {
    addProduct(matrix, column, this.units, sums);
  }

  /** A bias, and a matrix times all that this layer reads, one source beside the other. */
  read(weight, bias) {
    const sums = new Float64Array(this.tensor(bias).values);
    let column = 0;
    for (const source of this.sources) {
      source.addTo(sums, this.tensor(weight), column);
      column += source.node.size;
    }
    return sums;
  }
}

class Embedding extends Layer {
  step() {
    this.units.fill(0);
    for (const { index, weight } of this.sources[0].chosen) {
      this.tensor("weight").row(index).forEach((value, k) => (this.units[k] += weight * value));
    }
  }
}

/** The head: its units are logits. */
class NextCharacter extends Layer {
  step() {
    this.units.set(this.read("weight", "bias"));
  }
}

/** The head of a network without a readout: its first units, scaled, are logits. */
class OutputUnits extends Layer {
  step() {
    const { units } = this.sources[0];
    this.units.forEach((_, k) => (this.units[k] = this.node.scale * units[k]));
  }
}

class Dense extends Layer {
  step() {
    this.units.set(this.read("weight", "bias").map(tanh));
  }
}

/** The time loop's step; what a cell declares is told in charrnn/cells. */
class Recurrent extends Layer {
  constructor(node, sources, tensors) {
    super(node, sources, tensors);
    if (node.by_character) [this.sources, this.choosing] = [sources.slice(0, -1), sources.at(-1)];
    this.cell = new CELLS[node.cell]();
    this.fields = node.fields.map((name) => this.tensor(name).values);
    this.fields.push(...node.constants);
    this.blocks = Array.from({ length: node.blocks }, () => new Float32Array(node.room));
    this.states = node.states.map(() => new Float32Array(node.room));
    this.units = this.states[0].subarray(0, node.size);
  }

  begin() {
    this.node.states.forEach((name, number) => {
      this.states[number].fill(0);
      const learned = this.node.learned_start && name in this.node.memory;
      if (learned) this.states[number].set(this.tensor(`initial_${name}`).values);
    });
  }

  step() {
    const { node } = this;
    const size = node.memory[node.states[node.source]];
    for (const block of this.blocks) block.fill(0);
    this.add(this.read("weight_ih", "bias_ih"), node.input_blocks, 0);
    this.addRecurrent(this.states[node.source].subarray(0, size), node.recurrent_blocks, 0);
    if (node.middle_blocks.length) {
      this.eachUnit("prepare", this.blocks);
      const middle = this.blocks[node.middle].subarray(0, size);
      if (node.feedback) this.feedBack();
      else this.addRecurrent(middle, node.middle_blocks, node.recurrent_blocks.length);
    }
    this.eachUnit("forward", this.states);
  }

  /** Add to blocks, which are gates from `first` on, the sums of their rows. */
  add(sums, blocks, first) {
    const { size } = this.node;
    blocks.forEach((number, gate) => {
      const block = this.blocks[number];
      const row = (first + gate) * size;
      for (let j = 0; j < size; j++) block[j] += sums[row + j];
    });
  }

  /** The same with those of the recurrent matrix and its bias. */
  addRecurrent(memory, blocks, first) {
    const { size } = this.node;
    const sums = new Float64Array(this.tensor("bias_hh").values);
    const [from, to] = [first * size, (first + blocks.length) * size];
    addProduct(this.recurrentMatrix(), 0, memory, sums, from, to);
    this.add(sums, blocks, first);
  }

  /** The one of the character that is read, where each has its own. */
  recurrentMatrix() {
    const { values, columns } = this.tensor("weight_hh");
    if (!this.choosing) return { values, columns };
    const count = columns * this.node.size * this.node.recurrent_blocks.length;
    const [{ index }] = this.choosing.chosen;
    return { values: values.subarray(index * count, (index + 1) * count), columns };
  }

  /** The network's own readout is the second product, and its probabilities a state. */
  feedBack() {
    const { node } = this;
    const hidden = this.blocks[node.middle].subarray(0, node.size);
    const logits = new Float64Array(this.tensor("bias", node.head).values);
    addProduct(this.tensor("weight", node.head), 0, hidden, logits);
    this.blocks[node.output_block].set(softmax(logits));
  }

  /** What the cell's method gives for each unit goes to `target`. */
  eachUnit(method, target) {
    const sources = [this.blocks, this.states, this.fields];
    const values = sources.map((rows) => rows.map(() => 0));
    for (let j = 0; j < this.node.room; j++) {
      for (let n = 0; n < sources.length; n++) {
        for (let k = 0; k < sources[n].length; k++) values[n][k] = sources[n][k][j];
      }
      const found = this.cell[method](...values);
      for (let k = 0; k < found.length; k++) target[k][j] = found[k];
    }
  }
}

/** It differs in training alone. */
class Reservoir extends Recurrent {}

const NODES = { Characters, Labels, Embedding, Recurrent, Reservoir, Dense, NextCharacter, OutputUnits };

class Network {
  constructor({ nodes, heads, tensors }) {
    const own = {};
    for (const name of Object.keys(tensors)) own[name] = new Tensor(tensors[name]);
    this.nodes = [];
    for (const node of nodes) {
      const sources = node.reads.map((number) => this.nodes[number]);
      this.nodes.push(Object.assign(new NODES[node.kind](node, sources, own), { node }));
    }
    this.heads = this.nodes.slice(-heads);
  }

  /** Let the texts have these labels: a list of their indices and weights. */
  tell(labels) {
    for (const node of this.nodes) if (node instanceof Labels) node.chosen = labels;
  }

  /** Read a token; the logits of what follows. A text begins with START. */
  feed(token) {
    for (const node of this.nodes) {
      if (token === START) node.begin();
      if (node instanceof Characters) node.chosen = [{ index: token, weight: 1 }];
      node.step();
    }
    return this.heads.length === 1 ? this.heads[0].units : mixture(this.heads);
  }
}
