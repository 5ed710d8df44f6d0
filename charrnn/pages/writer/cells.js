"use strict";

// The cells: for each unit its equations, forward alone. `gates` are its blocks, `before` its
// states before the step, `own` its per-unit parameters and constants. `prepare`, in cells with a second product
// in a step, gives the blocks before that product; `forward` gives the states after the step.

const sigmoid = (x) => 0.5 + 0.5 * Math.tanh(0.5 * x);
const tanh = Math.tanh;
const relu = (x) => Math.max(x, 0);

class Lstm {
  forward([i, f, g, o], [, c]) {
    const after = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return [sigmoid(o) * tanh(after), after];
  }
}

class LstmPeephole {
  forward([i, f, g, o], [, c], [pi, pf, po]) {
    const after = sigmoid(f + pf * c) * c + sigmoid(i + pi * c) * tanh(g);
    return [sigmoid(o + po * after) * tanh(after), after];
  }
}

class LstmCoupled {
  forward([f, g, o], [, c]) {
    const n = tanh(g);
    const after = n + sigmoid(f) * (c - n);
    return [sigmoid(o) * tanh(after), after];
  }
}

class Gru {
  forward([x, r, z, half], [h]) {
    const n = tanh(x + sigmoid(r) * half);
    return [n + sigmoid(z) * (h - n)];
  }
}

class GruResetBefore {
  prepare([r, z, n], [h]) {
    return [r, z, n, sigmoid(r) * h];
  }

  forward([, z, n], [h]) {
    const after = tanh(n);
    return [after + sigmoid(z) * (h - after)];
  }
}

class GruMinimal {
  forward([z, x], [h]) {
    const n = tanh(x);
    return [n + sigmoid(z) * (h - n)];
  }
}

class Elman {
  forward([x]) {
    return [tanh(x)];
  }
}

class FullyRecurrent extends Elman {}
class SecondOrder extends Elman {}

class ElmanRelu {
  forward([x]) {
    return [relu(x)];
  }
}

class Jordan {
  activation = tanh;

  prepare([x, logit]) {
    const h = this.activation(x);
    return [h, logit, h];
  }

  forward([h, y]) {
    return [h, y];
  }
}

class JordanRelu extends Jordan {
  activation = relu;
}

class Leaky {
  forward([x], [h], [rate]) {
    return [h + sigmoid(rate) * (tanh(x) - h)];
  }
}

class EchoState extends Leaky {}

class Clockwork {
  forward([x], [h, phase], [period]) {
    const after = phase + 1;
    return [phase < 1 ? tanh(x) : h, after < period ? after : 0];
  }
}

class Multiplicative {
  prepare([u, x, v]) {
    return [u, x, v, u * v];
  }

  forward([, x]) {
    return [tanh(x)];
  }
}

class LstmMultiplicative {
  prepare([u, i, f, g, o, v]) {
    return [u, i, f, g, o, v, u * v];
  }

  forward([, i, f, g, o], [, c]) {
    const after = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return [sigmoid(o) * tanh(after), after];
  }
}

const CELLS = {
  Lstm, LstmPeephole, LstmCoupled, Gru, GruResetBefore, GruMinimal, Elman, ElmanRelu, FullyRecurrent,
  Jordan, JordanRelu, Leaky, EchoState, Clockwork, SecondOrder, Multiplicative, LstmMultiplicative,
};
