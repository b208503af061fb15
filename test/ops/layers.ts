/** Rows of {@link composites}: normalisations, the layers of networks, and pooling. */
import * as nn from '../../lib/index.js';
import type { Case, Row } from './row.js';
import {
  at,
  average,
  convolve,
  count,
  flat,
  map,
  normalised,
  product,
  reduce,
  reshaped,
  softmaxOf,
  tensor,
  total,
  transposed,
} from './tensor.js';
import type { Tensor } from './tensor.js';

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

export const norms: Row[] = [
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
    fused: 'layer_norm',
    cases: (
      [
        [[3, 8], 1],
        [[2, 5, 12], 1],
        [[2, 3, 4], 2],
        [[40, 33], 1],
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

// qkv (B,T,3,heads,size): the heads one by one through the formula.
const multiHeadCase = (batch: number, time: number, heads: number, size: number, causal: boolean): Case => ({
  inputs: { qkv: [batch, time, 3 * heads * size] },
  build: ({ qkv }) => nn.multiHeadAttention(qkv!, heads, { causal }),
  reference: ({ qkv }) => {
    const shape = [batch, heads, time, size];
    const [q, k, v] = [0, 1, 2].map((part) =>
      tensor(shape, ([b, h, t, i]) => at(qkv!, [b!, t!, (part * heads + h!) * size + i!])),
    ) as [Tensor, Tensor, Tensor];
    const mixed = attentionCase(shape, shape, shape, causal).reference({ q, k, v });
    return tensor([batch, time, heads * size], ([b, t, i]) => at(mixed, [b!, Math.floor(i! / size), t!, i! % size]));
  },
});

export const layers: Row[] = [
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
    name: 'multiHeadAttention',
    fused: 'attention',
    cases: [
      multiHeadCase(2, 5, 2, 3, false),
      multiHeadCase(1, 9, 1, 23, true),
      multiHeadCase(3, 1, 2, 1, true),
      multiHeadCase(1, 70, 1, 2, true),
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

export const pooling: Row[] = [
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
