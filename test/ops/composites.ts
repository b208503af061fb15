/** One row per composite: functions made of operators, compared with their textbook formulas. */
import * as nn from '../../lib/index.js';
import { layers, norms, pooling } from './layers.js';
import type { Row } from './row.js';
import { average, broadcastShape, erf, map, product, reduce, reshaped, softmaxOf, squares, total } from './tensor.js';
import type { Tensor } from './tensor.js';

const shapes = [[5], [2, 3], [3, 1, 45]];

const unary = (
  name: string,
  build: (x: nn.Value) => nn.Value,
  f: (x: number) => number,
  domain: [number, number] = [-3, 3],
): Row => ({
  name,
  cases: shapes.map((shape) => ({
    inputs: { x: shape },
    domain,
    build: ({ x }) => build(x!),
    reference: ({ x }) => map((a) => f(a!), x!),
  })),
});

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const geluTanh = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

const activations: Row[] = [
  unary('relu', nn.relu, (x) => Math.max(x, 0)),
  unary(
    'leakyRelu',
    (x) => nn.leakyRelu(x, 0.1),
    (x) => (x > 0 ? x : 0.1 * x),
  ),
  unary('abs', (x) => x.abs(), Math.abs),
  unary(
    'square',
    (x) => x.square(),
    (x) => x * x,
  ),
  unary('sigmoid', (x) => x.sigmoid(), sigmoid),
  unary('silu', nn.silu, (x) => x * sigmoid(x)),
  unary('softplus', nn.softplus, (x) => Math.log1p(Math.exp(x))),
  unary(
    'gelu',
    (x) => nn.gelu(x),
    (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  ),
  unary('gelu tanh', (x) => nn.gelu(x, 'tanh'), geluTanh),
];

const pairs: [number[], number[]][] = [
  [[7], [7]],
  [
    [3, 1, 4],
    [2, 1],
  ],
  [[2, 3, 5], [5]],
];
const binary = (
  name: string,
  build: (a: nn.Value, b: nn.Value) => nn.Value,
  f: (a: number, b: number) => number,
): Row => ({
  name,
  cases: pairs.map(([a, b]) => ({
    inputs: { a, b },
    domain: [0.5, 2],
    build: ({ a: x, b: y }) => build(x!, y!),
    reference: ({ a: x, b: y }) => map((p, q) => f(p!, q!), x!, y!),
  })),
});

const arithmetic: Row[] = [
  binary(
    'sub',
    (a, b) => a.sub(b),
    (a, b) => a - b,
  ),
  binary(
    'div',
    (a, b) => a.div(b),
    (a, b) => a / b,
  ),
  binary(
    'maximum',
    (a, b) => a.sin().maximum(b.cos()),
    (a, b) => Math.max(Math.sin(a), Math.cos(b)),
  ),
  binary(
    'minimum',
    (a, b) => a.sin().minimum(b.cos()),
    (a, b) => Math.min(Math.sin(a), Math.cos(b)),
  ),
];

const over: [number[], number[]][] = [
  [[7], [0]],
  [
    [3, 4, 5],
    [0, 2],
  ],
  [[2, 60], [1]],
];
const reduction = (
  name: string,
  build: (x: nn.Value, axes: number[]) => nn.Value,
  f: (x: number[]) => number,
): Row => ({
  name,
  cases: over.map(([shape, axes]) => ({
    inputs: { x: shape },
    build: ({ x }) => build(x!.sin(), axes),
    reference: ({ x }) => {
      const kept = reduce(
        map((a) => Math.sin(a!), x!),
        axes,
        f,
      );
      return reshaped(
        kept,
        shape.filter((_, i) => !axes.includes(i)),
      );
    },
  })),
});

const reductions: Row[] = [
  reduction('mean', (x, axes) => x.mean(axes), average),
  reduction(
    'var',
    (x, axes) => x.var(axes),
    (x) => average(squares(x)),
  ),
  reduction(
    'var unbiased',
    (x, axes) => x.var(axes, false, 1),
    (x) => total(squares(x)) / (x.length - 1),
  ),
  reduction(
    'logsumexp',
    (x, axes) => x.logsumexp(axes),
    (x) => Math.log(total(x.map(Math.exp))),
  ),
];

const softmaxes: Row[] = [
  {
    name: 'softmax',
    fused: 'softmax',
    cases: (
      [
        [[7], 0],
        [[2, 5, 3], 1],
        [[4, 40], 1],
      ] as [number[], number][]
    ).map(([shape, axis]) => ({
      inputs: { x: shape },
      build: ({ x }) => nn.softmax(x!, axis),
      reference: ({ x }) => softmaxOf(x!, axis),
    })),
  },
  {
    name: 'logSoftmax',
    fused: 'log_softmax',
    cases: (
      [
        [[7], 0],
        [[2, 5, 3], 1],
        [[4, 40], 1],
      ] as [number[], number][]
    ).map(([shape, axis]) => ({
      inputs: { x: shape },
      build: ({ x }) => nn.logSoftmax(x!, axis),
      reference: ({ x }) => map((a) => Math.log(a!), softmaxOf(x!, axis)),
    })),
  },
];

// Equation by equation: lse - (1 - s) x_target - s mean(x), 0 where the target is ignored.
function crossEntropyRows(x: Tensor, target: Tensor, smoothing: number, ignore?: number): number[] {
  const [rows, classes] = x.shape as [number, number];
  return Array.from({ length: rows }, (_, r) => {
    const row = x.data.slice(r * classes, (r + 1) * classes);
    if (target.data[r] === ignore) return 0;
    const lse = Math.log(total(row.map(Math.exp)));
    return lse - (1 - smoothing) * row[target.data[r]!]! - smoothing * average(row);
  });
}

const scalar = (value: number): Tensor => ({ shape: [], data: [value] });
const crossEntropy = (
  name: string,
  options: nn.CrossEntropyOptions,
  finish: (rows: number[], target: Tensor) => Tensor,
): Row => ({
  fused: 'softmax_cross_entropy',
  name: `crossEntropy ${name}`,
  cases: [
    [4, 3],
    [9, 10],
    [2, 70],
  ].map((shape) => ({
    inputs: { x: shape },
    indices: { t: { shape: [shape[0]!], below: shape[1]! } },
    build: ({ x, t }) => nn.crossEntropy(x!.mul(2), t!, options),
    reference: ({ x, t }) =>
      finish(
        crossEntropyRows(
          map((a) => 2 * a!, x!),
          t!,
          options.labelSmoothing ?? 0,
          options.ignoreIndex,
        ),
        t!,
      ),
  })),
});

const losses: Row[] = [
  crossEntropy('mean', {}, (rows) => scalar(average(rows))),
  crossEntropy('none', { reduction: 'none' }, (rows) => ({ shape: [rows.length], data: rows })),
  crossEntropy('smoothed', { reduction: 'sum', labelSmoothing: 0.1 }, (rows) => scalar(total(rows))),
  crossEntropy('ignoring', { ignoreIndex: 1 }, (rows, t) => scalar(total(rows) / t.data.filter((v) => v !== 1).length)),
  {
    name: 'mseLoss',
    cases: shapes.map((shape) => ({
      inputs: { x: shape, t: shape },
      build: ({ x, t }) => nn.mseLoss(x!, t!),
      reference: ({ x, t }) => scalar(average(map((a, b) => (a! - b!) ** 2, x!, t!).data)),
    })),
  },
];

const choices: Row[] = [
  {
    name: 'where',
    cases: pairs.map(([a, b]) => ({
      inputs: { a, b },
      build: ({ a: x, b: y }) => nn.where(x!.lt(0), y!.exp(), 2).mul(x!),
      reference: ({ a: x, b: y }) => map((p, q) => (p! < 0 ? Math.exp(q!) : 2) * p!, x!, y!),
    })),
  },
  {
    name: 'matmul of vectors',
    cases: (
      [
        [[4], [4]],
        [[4], [4, 3]],
        [[2, 3, 4], [4]],
      ] as [number[], number[]][]
    ).map(([a, b]) => ({
      inputs: { a, b },
      build: ({ a: x, b: y }) => x!.matmul(y!),
      reference: ({ a: x, b: y }) => {
        const p = product(a.length === 1 ? reshaped(x!, [1, ...a]) : x!, b.length === 1 ? reshaped(y!, [...b, 1]) : y!);
        const kept = broadcastShape(a.slice(0, -2), b.slice(0, -2));
        return reshaped(p, [...kept, ...(a.length > 1 ? [a.at(-2)!] : []), ...(b.length > 1 ? [b.at(-1)!] : [])]);
      },
    })),
  },
];

export const composites: Row[] = [
  ...arithmetic,
  ...activations,
  ...reductions,
  ...softmaxes,
  ...losses,
  ...norms,
  ...layers,
  ...pooling,
  ...choices,
];
