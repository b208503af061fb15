/** One row per composite: functions made of operators, compared with their textbook formulas. */
import * as nn from '../../lib/index.js';
import type { Case, Row } from './row.js';
import {
  at,
  average,
  broadcastShape,
  convolve,
  count,
  erf,
  flat,
  map,
  product,
  reduce,
  reshaped,
  tensor,
  total,
  transposed,
} from './tensor.js';
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

const squares = (x: number[]) => x.map((v) => (v - average(x)) ** 2);
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

// exp(x) / sum(exp(x)) along an axis.
function softmaxOf(x: Tensor, axis: number): Tensor {
  const powers = map((a) => Math.exp(a!), x);
  return map((a, b) => a! / b!, powers, reduce(powers, [axis], total));
}

const normalised = (x: Tensor, axes: number[], eps: number): Tensor => {
  const variance = reduce(x, axes, (e) => average(squares(e)));
  return map((a, m, v) => (a! - m!) / Math.sqrt(v! + eps), x, reduce(x, axes, average), variance);
};

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

const batchShapes = [
  [4, 3],
  [2, 3, 4, 5],
  [5, 2, 3, 3],
];
const perChannel = (v: Tensor, rank: number): Tensor =>
  reshaped(
    v,
    Array.from({ length: rank }, (_, i) => (i === 1 ? v.data.length : 1)),
  );

const norms: Row[] = [
  {
    name: 'batchNorm training without weight and bias',
    fused: 'batch_statistics',
    cases: batchShapes.map((shape) => ({
      inputs: { x: shape },
      build: ({ x }) => nn.batchNorm(x!),
      reference: ({ x }) =>
        normalised(
          x!,
          shape.map((_, i) => i).filter((i) => i !== 1),
          1e-5,
        ),
    })),
  },
  {
    name: 'batchNorm with residual and relu',
    fused: 'batch_norm_add',
    cases: batchShapes.map((shape) => ({
      inputs: { x: shape, w: [shape[1]!], b: [shape[1]!], r: shape },
      build: ({ x, w, b, r }) => nn.batchNorm(x!, { weight: w!, bias: b!, residual: r!, relu: true }),
      reference: ({ x, w, b, r }) => {
        const axes = shape.map((_, i) => i).filter((i) => i !== 1);
        const [scale, shift] = [perChannel(w!, shape.length), perChannel(b!, shape.length)];
        return map((n, s, t, a) => Math.max(n! * s! + t! + a!, 0), normalised(x!, axes, 1e-5), scale, shift, r!);
      },
    })),
  },
  {
    name: 'batchNorm training',
    fused: 'batch_norm',
    cases: batchShapes.map((shape) => ({
      inputs: { x: shape, w: [shape[1]!], b: [shape[1]!] },
      build: ({ x, w, b }) => nn.batchNorm(x!, { weight: w!, bias: b! }),
      reference: ({ x, w, b }) => {
        const axes = shape.map((_, i) => i).filter((i) => i !== 1);
        const [scale, shift] = [perChannel(w!, shape.length), perChannel(b!, shape.length)];
        return map((n, s, t) => n! * s! + t!, normalised(x!, axes, 1e-5), scale, shift);
      },
    })),
  },
  {
    name: 'batchNorm evaluation',
    cases: batchShapes.map((shape) => ({
      inputs: { x: shape, m: [shape[1]!], v: [shape[1]!] },
      domain: [0.5, 2],
      build: ({ x, m, v }) => nn.batchNorm(x!, { runningMean: m!, runningVar: v!, training: false, eps: 1e-3 }),
      reference: ({ x, m, v }) => {
        const [mean, variance] = [perChannel(m!, shape.length), perChannel(v!, shape.length)];
        return map((a, b, c) => (a! - b!) / Math.sqrt(c! + 1e-3), x!, mean, variance);
      },
    })),
  },
  {
    name: 'layerNorm',
    cases: (
      [
        [[3, 8], 1],
        [[2, 5, 12], 1],
        [[2, 3, 4], 2],
      ] as [number[], number][]
    ).map(([shape, axes]) => {
      const last = shape.slice(-axes);
      return {
        inputs: { x: shape, w: last, b: last },
        build: ({ x, w, b }) => nn.layerNorm(x!, { weight: w!, bias: b!, eps: 1e-6 }),
        reference: ({ x, w, b }) => {
          const from = shape.length - axes;
          const over_ = last.map((_, i) => from + i);
          return map((n, s, t) => n! * s! + t!, normalised(x!, over_, 1e-6), w!, b!);
        },
      } satisfies Case;
    }),
  },
];

const attentionCase = (q: number[], k: number[], v: number[], causal: boolean): Case => ({
  inputs: { q, k, v },
  build: (values) => nn.attention(values.q!, values.k!, values.v!, { causal }),
  reference: (t) => {
    const scores = product(t.q!, transposed(t.k!));
    const masked = tensor(scores.shape, (p) =>
      causal && p.at(-1)! > p.at(-2)! ? -Infinity : at(scores, p) / Math.sqrt(q.at(-1)!),
    );
    return product(softmaxOf(masked, masked.shape.length - 1), t.v!);
  },
});

const layers: Row[] = [
  {
    name: 'linear',
    cases: (
      [
        [[4, 6], 3],
        [[2, 3, 6], 4],
        [[6], 5],
      ] as [number[], number][]
    ).map(([shape, out]) => ({
      inputs: { x: shape, w: [out, 6], b: [out] },
      build: ({ x, w, b }) => nn.linear(x!, w!, b!),
      reference: ({ x, w, b }) => {
        const rows = count(shape) / 6;
        const y = map((p, q) => p! + q!, product(reshaped(x!, [rows, 6]), transposed(w!)), b!);
        return reshaped(y, [...shape.slice(0, -1), out]);
      },
    })),
  },
  {
    name: 'conv2d with bias',
    cases: (
      [
        [[2, 2, 5, 4], 3],
        [[1, 4, 6, 6], 1],
        [[3, 1, 3, 3], 2],
      ] as [number[], number][]
    ).map(([shape, k]) => {
      const w = [4, shape[1]!, k, k];
      const options = { stride: [1, 2], padding: [1, 1], dilation: [1, 1], groups: 1 } as Parameters<
        typeof convolve
      >[2];
      return {
        inputs: { x: shape, w, b: [4] },
        build: (v) => nn.conv2d(v.x!, v.w!, { stride: [1, 2], padding: 1, bias: v.b! }),
        reference: (t) => {
          const y = convolve(shape, w, options, () => {});
          const sums = tensor(y, (p) => t.b!.data[p[1]!]!).data;
          convolve(shape, w, options, (px, pw, py) => (sums[flat(y, py)]! += at(t.x!, px) * at(t.w!, pw)));
          return { shape: y, data: sums };
        },
      } satisfies Case;
    }),
  },
  {
    name: 'attention',
    cases: [
      attentionCase([5, 4], [5, 4], [5, 3], true),
      attentionCase([1, 2, 5, 4], [1, 2, 7, 4], [1, 2, 7, 4], false),
      attentionCase([2, 3, 6, 2], [2, 3, 6, 2], [2, 3, 6, 2], true),
    ],
  },
  {
    name: 'embedding',
    cases: [[3], [2, 3], [2, 1, 4]].map((shape) => ({
      inputs: { w: [7, 5] },
      indices: { i: { shape, below: 7 } },
      build: ({ w, i }) => nn.embedding(i!, w!.sin()),
      reference: ({ w, i }) => tensor([...shape, 5], (p) => Math.sin(at(w!, [at(i!, p.slice(0, -1)), p.at(-1)!]))),
    })),
  },
];

const pools: [number[], number, number, number][] = [
  [[1, 2, 5, 5], 3, 2, 1],
  [[2, 1, 6, 4], 2, 2, 0],
  [[1, 3, 4, 7], 3, 1, 1],
];

/** f of the elements of each window that lie in the image. */
function pooled(x: Tensor, k: number, stride: number, padding: number, f: (elements: number[]) => number): Tensor {
  const out = x.shape.slice(2).map((n) => Math.floor((n + 2 * padding - k) / stride) + 1);
  return tensor([...x.shape.slice(0, 2), ...out], ([n, c, oh, ow]) => {
    const elements: number[] = [];
    for (let i = 0; i < k * k; ++i) {
      const h = oh! * stride - padding + Math.floor(i / k);
      const w = ow! * stride - padding + (i % k);
      if (h >= 0 && w >= 0 && h < x.shape[2]! && w < x.shape[3]!) elements.push(at(x, [n!, c!, h, w]));
    }
    return f(elements);
  });
}

const pooling: Row[] = [
  {
    name: 'maxPool2d',
    cases: pools.map(([shape, k, stride, padding]) => ({
      inputs: { x: shape },
      build: ({ x }) => nn.maxPool2d(x!.sin(), k, { stride, padding }),
      reference: ({ x }) =>
        pooled(
          map((a) => Math.sin(a!), x!),
          k,
          stride,
          padding,
          (e) => Math.max(...e),
        ),
    })),
  },
  ...[true, false].map((countIncludePad) => ({
    name: `avgPool2d ${countIncludePad ? 'with' : 'without'} padding in the count`,
    cases: pools.map(([shape, k, stride, padding]) => ({
      inputs: { x: shape },
      build: ({ x }: Record<string, nn.Value>) => nn.avgPool2d(x!.sin(), k, { stride, padding, countIncludePad }),
      reference: ({ x }: Record<string, Tensor>) =>
        pooled(
          map((a) => Math.sin(a!), x!),
          k,
          stride,
          padding,
          (e) => total(e) / (countIncludePad ? k * k : e.length),
        ),
    })),
  })),
  {
    name: 'globalAvgPool2d',
    cases: pools.map(([shape]) => ({
      inputs: { x: shape },
      build: ({ x }) => nn.globalAvgPool2d(x!.sin()),
      reference: ({ x }) =>
        reduce(
          map((a) => Math.sin(a!), x!),
          [2, 3],
          average,
        ),
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
