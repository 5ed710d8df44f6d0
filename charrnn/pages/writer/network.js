// The network, one character at a time. Weights and units are float32; sums are made in float64,
// so that probabilities differ from those of the compiled program in the sixth digit at most.

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

/** values[first …] times all of the units. Four sums, so that none waits for another. */
function dot(values, first, units) {
  let [a, b, c, d] = [0, 0, 0, 0];
  const size = units.length;
  const whole = size - (size % 4);
  for (let k = 0; k < whole; k += 4) {
    a += values[first + k] * units[k];
    b += values[first + k + 1] * units[k + 1];
    c += values[first + k + 2] * units[k + 2];
    d += values[first + k + 3] * units[k + 3];
  }
  for (let k = whole; k < size; k++) a += values[first + k] * units[k];
  return a + b + (c + d);
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

// Nodes: `begin` where a text begins, `step` for one character, `product` of a row of a matrix,
// from a place on, with what the node gives.

/** Indices, each with a weight: they choose columns of what reads them. */
class Chosen {
  chosen = [];
  begin() {}
  step() {}

  product(matrix, first) {
    let sum = 0;
    for (const { index, weight } of this.chosen) sum += weight * matrix.values[first + index];
    return sum;
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

  product(matrix, first) {
    return dot(matrix.values, first, this.units);
  }

  /** A row of a matrix times all that this layer reads, one source beside the other. */
  read(matrix, row) {
    let sum = 0;
    let first = row * matrix.columns;
    for (const source of this.sources) {
      sum += source.product(matrix, first);
      first += source.node.size;
    }
    return sum;
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
    const weight = this.tensor("weight");
    const bias = this.tensor("bias").values;
    for (let k = 0; k < bias.length; k++) this.units[k] = bias[k] + this.read(weight, k);
  }
}

class Dense extends NextCharacter {
  step() {
    super.step();
    for (let k = 0; k < this.units.length; k++) this.units[k] = tanh(this.units[k]);
  }
}

/** The time loop's step; what a cell declares is told in charrnn/cells. */
class Recurrent extends Layer {
  constructor(node, sources, tensors) {
    super(node, sources, tensors);
    this.cell = new CELLS[node.cell]();
    this.fields = node.fields.map((name) => this.tensor(name).values);
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
    const memory = this.states[node.source].subarray(0, size);
    for (const block of this.blocks) block.fill(0);
    const input = this.tensor("weight_ih");
    this.add(node.input_blocks, 0, "bias_ih", (row) => this.read(input, row));
    this.addMemory(node.recurrent_blocks, 0, memory);
    if (node.middle_blocks.length) {
      this.eachUnit("prepare", this.blocks);
      if (node.feedback) this.feedBack();
      else {
        const middle = this.blocks[node.middle].subarray(0, size);
        this.addMemory(node.middle_blocks, node.recurrent_blocks.length, middle);
      }
    }
    this.eachUnit("forward", this.states);
  }

  /** Add to blocks, which are gates from `first` on, a bias and for each row of a matrix a sum. */
  add(blocks, first, bias, sum) {
    const { size } = this.node;
    const start = this.tensor(bias).values;
    blocks.forEach((number, gate) => {
      const row = (first + gate) * size;
      for (let j = 0; j < size; j++) this.blocks[number][j] += start[row + j] + sum(row + j);
    });
  }

  addMemory(blocks, first, memory) {
    const { values, columns } = this.tensor("weight_hh");
    this.add(blocks, first, "bias_hh", (row) => dot(values, row * columns, memory));
  }

  /** The network's own readout is the second product, and its probabilities a state. */
  feedBack() {
    const { node } = this;
    const { values, columns } = this.tensor("weight", node.head);
    const bias = this.tensor("bias", node.head).values;
    const hidden = this.blocks[node.middle].subarray(0, node.size);
    const output = this.blocks[node.output_block].subarray(0, node.feedback);
    for (let k = 0; k < bias.length; k++) output[k] = bias[k] + dot(values, k * columns, hidden);
    softmax(output);
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

const NODES = { Characters, Labels, Embedding, Recurrent, Dense, NextCharacter };

class Network {
  constructor({ nodes, tensors }) {
    const own = {};
    for (const name of Object.keys(tensors)) own[name] = new Tensor(tensors[name]);
    this.nodes = [];
    for (const node of nodes) {
      const sources = node.reads.map((number) => this.nodes[number]);
      this.nodes.push(Object.assign(new NODES[node.kind](node, sources, own), { node }));
    }
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
    return this.nodes[this.nodes.length - 1].units;
  }
}
