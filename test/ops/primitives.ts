/** One row per operator of native/ir/op.def: how it is built, and what it computes, written out plainly. */
import { concat, type Value } from '../../lib/index.js';
import { padAxes } from '../../lib/graph/operators.js';
import { elementwise, leaves } from './elementwise.js';
import type { Row } from './row.js';
import { at, convolve, count, flat, map, permuted, product, reduce, reshaped, tensor, total } from './tensor.js';
import type { Conv } from './tensor.js';

const reductionCases: [number[], number[]][] = [
  [[7], [0]],
  [
    [3, 4, 5],
    [0, 2],
  ],
  [[3, 4, 5], [1]],
  [[2, 300], [1]],
  [
    [40, 3, 2, 9],
    [0, 2, 3],
  ],
];
const reduction = (op: string, build: (x: Value, axes: number[]) => Value, f: (x: number[]) => number): Row => ({
  op,
  name: op,
  cases: reductionCases.map(([shape, axes]) => ({
    inputs: { x: shape },
    build: ({ x }) => build(x!.mul(x!.add(1)), axes),
    reference: ({ x }) =>
      reduce(
        map((a) => a! * (a! + 1), x!),
        axes,
        f,
      ),
  })),
});

const reductions: Row[] = [
  reduction('sum', (x, axes) => x.sum(axes, true), total),
  reduction(
    'max',
    (x, axes) => x.amax(axes, true),
    (x) => Math.max(...x),
  ),
  {
    op: 'argmax',
    name: 'argmax',
    cases: reductionCases.slice(0, 4).map(([shape, [axis]]) => ({
      inputs: { x: shape },
      // Through gather, so that the derivative is that of the largest element.
      build: ({ x }) => x!.sin().gather(axis!, x!.sin().argmax(axis!, true)),
      reference: ({ x }) =>
        reduce(
          map((a) => Math.sin(a!), x!),
          [axis!],
          (e) => Math.max(...e),
        ),
    })),
  },
];

const shapes: Row[] = [
  {
    op: 'reshape',
    name: 'reshape',
    cases: (
      [
        [[6], [2, 3]],
        [
          [2, 3, 4],
          [4, -1],
        ],
        [[1, 5], []],
      ] as [number[], number[]][]
    ).map(([from, to]) => ({
      inputs: { x: from },
      build: ({ x }) => (to.length === 0 ? x!.sin().slice(1, 2, 3).reshape([]) : x!.sin().reshape(to)),
      reference: ({ x }) => {
        const y = map((a) => Math.sin(a!), x!);
        if (to.length === 0) return { shape: [], data: [y.data[2]!] };
        return reshaped(y, to.includes(-1) ? [4, 6] : to);
      },
    })),
  },
  {
    op: 'permute',
    name: 'permute',
    cases: (
      [
        [
          [2, 3],
          [1, 0],
        ],
        [
          [2, 3, 4],
          [2, 0, 1],
        ],
        [
          [2, 3, 4, 5],
          [0, 2, 1, 3],
        ],
      ] as [number[], number[]][]
    ).map(([shape, order]) => ({
      inputs: { x: shape },
      build: ({ x }) => x!.permute(order).sin(),
      reference: ({ x }) => map((a) => Math.sin(a!), permuted(x!, order)),
    })),
  },
  {
    op: 'expand',
    name: 'expand',
    cases: (
      [
        [[1], [7]],
        [
          [4, 1],
          [3, 4, 5],
        ],
        [
          [1, 3, 1],
          [2, 3, 2],
        ],
      ] as [number[], number[]][]
    ).map(([shape, to]) => ({
      inputs: { x: shape, w: to },
      build: ({ x, w }) => x!.sin().expand(to).mul(w!),
      reference: ({ x, w }) => map((a, b) => Math.sin(a!) * b!, x!, w!),
    })),
  },
  {
    op: 'slice',
    name: 'slice',
    cases: (
      [
        [[9], 0, 2, 7, 2],
        [[2, 5, 6], 1, 1, 4, 1],
        [[2, 5, 6], -1, 0, 6, 4],
      ] as [number[], number, number, number, number][]
    ).map(([shape, axis, start, stop, step]) => ({
      inputs: { x: shape },
      build: ({ x }) => x!.slice(axis, start, stop, step).sin(),
      reference: ({ x }) => {
        const k = axis < 0 ? axis + shape.length : axis;
        const size = Math.ceil((stop - start) / step);
        return tensor(
          shape.map((n, i) => (i === k ? size : n)),
          (p) =>
            Math.sin(
              at(
                x!,
                p.map((n, i) => (i === k ? start + n * step : n)),
              ),
            ),
        );
      },
    })),
  },
  {
    op: 'pad',
    name: 'pad',
    cases: (
      [
        [[4], [1], [2], [0]],
        [
          [2, 3],
          [0, 1],
          [2, 0],
          [1, 2],
        ],
        [
          [2, 1, 3],
          [1, 0, 0],
          [0, 2, 1],
          [0, 3, 0],
        ],
      ] as [number[], number[], number[], number[]][]
    ).map(([shape, low, high, interior]) => ({
      inputs: { x: shape },
      build: ({ x }) => padAxes(x!.sin(), low, high, interior),
      reference: ({ x }) =>
        tensor(
          shape.map((n, i) => low[i]! + n + (n - 1) * interior[i]! + high[i]!),
          (p) => {
            const from = p.map((n, i) => (n - low[i]!) / (interior[i]! + 1));
            const inside = from.every((n, i) => Number.isInteger(n) && n >= 0 && n < shape[i]!);
            return inside ? Math.sin(at(x!, from)) : 0;
          },
        ),
    })),
  },
  {
    op: 'concat',
    name: 'concat',
    cases: (
      [
        [[3], [4], 0],
        [[2, 3, 4], [2, 2, 4], 1],
        [[2, 3, 1], [2, 3, 5], -1],
      ] as [number[], number[], number][]
    ).map(([a, b, axis]) => ({
      inputs: { a, b },
      build: ({ a: x, b: y }) => concat([x!.sin(), y!, x!], axis),
      reference: ({ a: x, b: y }) => {
        const k = axis < 0 ? axis + a.length : axis;
        const [first, second] = [a[k]!, b[k]!];
        return tensor(
          a.map((n, i) => (i === k ? 2 * first + second : n)),
          (p) => {
            const [n, move] = [p[k]!, (by: number) => p.map((v, i) => (i === k ? v - by : v))];
            if (n < first) return Math.sin(at(x!, p));
            return n < first + second ? at(y!, move(first)) : at(x!, move(first + second));
          },
        );
      },
    })),
  },
];

const matmulCases: [number[], number[], boolean, boolean][] = [
  [[3, 4], [4, 2], false, false],
  [[5, 3], [4, 5], true, true],
  [[2, 1, 3, 4], [3, 4, 2], false, false],
  [[2, 3, 6], [4, 6], false, true],
  [[2, 6, 3], [2, 6, 5], true, false],
  [[17, 33], [33, 20], false, false],
];

const convolutions: [number[], number[], Conv][] = [
  [[2, 3, 5, 6], [4, 3, 3, 3], { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 }],
  [[1, 4, 7, 8], [6, 2, 3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 }],
  [[3, 2, 4, 4], [5, 2, 1, 1], { stride: [2, 2], padding: [0, 0], dilation: [1, 1], groups: 1 }],
  [[2, 3, 1, 1], [3, 1, 3, 3], { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 3 }],
];

const convAttributes = (x: number[], w: number[], c: Conv): number[] => [
  ...c.stride,
  ...c.padding,
  ...c.dilation,
  c.groups,
  ...x.slice(2),
  ...w.slice(2),
];

type Part = 'x' | 'w' | 'y';
const convRow = (op: string, inputs: [Part, Part], result: Part): Row => ({
  op,
  name: op,
  cases: convolutions.map(([x, w, c]) => {
    const sizes: Record<Part, number[]> = { x, w, y: convolve(x, w, c, () => {}) };
    return {
      inputs: { [inputs[0]]: sizes[inputs[0]], [inputs[1]]: sizes[inputs[1]] },
      build: (v, graph) => graph.node(op, [v[inputs[0]]!, v[inputs[1]]!], convAttributes(x, w, c)),
      reference: (t) => {
        const out = new Array<number>(count(sizes[result])).fill(0);
        convolve(x, w, c, (px, pw, py) => {
          const place = { x: px, w: pw, y: py };
          const term = at(t[inputs[0]]!, place[inputs[0]]) * at(t[inputs[1]]!, place[inputs[1]]);
          out[flat(sizes[result], place[result])]! += term;
        });
        return { shape: sizes[result], data: out };
      },
    };
  }),
});

const contractions: Row[] = [
  {
    op: 'matmul',
    name: 'matmul',
    cases: matmulCases.map(([a, b, ta, tb]) => ({
      inputs: { a, b },
      build: ({ a: x, b: y }) => x!.matmul(y!, { transposeA: ta, transposeB: tb }),
      reference: ({ a: x, b: y }) => product(x!, y!, ta, tb),
    })),
  },
  convRow('conv2d', ['x', 'w'], 'y'),
  convRow('conv2d_input', ['w', 'y'], 'x'),
  convRow('conv2d_weight', ['x', 'y'], 'w'),
];

const gatherCases: { x: number[]; axis: number; index: number[] }[] = [
  { x: [5], axis: 0, index: [8] },
  { x: [4, 6], axis: 1, index: [4, 1] },
  { x: [3, 4, 2], axis: 1, index: [3, 7, 2] },
  { x: [50, 17], axis: 0, index: [20, 17] },
];

const indices: Row[] = [
  {
    op: 'pool_argmax',
    name: 'pool_argmax',
    differentiable: false,
    cases: (
      [
        [[1, 2, 5, 5], 3, 2, 1],
        [[2, 1, 6, 4], 2, 2, 0],
        [[1, 3, 4, 7], 3, 1, 1],
      ] as [number[], number, number, number][]
    ).map(([shape, k, stride, padding]) => {
      const out = [...shape.slice(0, 2), ...shape.slice(2).map((n) => Math.floor((n + 2 * padding - k) / stride) + 1)];
      return {
        inputs: { x: shape },
        build: ({ x }, graph) => graph.node('pool_argmax', [x!], [k, k, stride, stride, padding, padding]),
        reference: ({ x }) =>
          tensor(out, ([n, c, oh, ow]) => {
            let [best, where_] = [-Infinity, -1];
            for (let i = 0; i < k * k; ++i) {
              const h = oh! * stride - padding + Math.floor(i / k);
              const w = ow! * stride - padding + (i % k);
              if (h < 0 || w < 0 || h >= shape[2]! || w >= shape[3]!) continue;
              const value = at(x!, [n!, c!, h, w]);
              if (value > best) [best, where_] = [value, h * shape[3]! + w];
            }
            return where_;
          }),
      };
    }),
  },
  {
    op: 'gather',
    name: 'gather',
    cases: gatherCases.map(({ x: shape, axis, index }) => ({
      inputs: { x: shape },
      indices: { i: { shape: index, below: shape[axis]! } },
      build: ({ x, i }) => x!.sin().gather(axis, i!),
      reference: ({ x, i }) =>
        tensor(index, (p) =>
          Math.sin(
            at(
              x!,
              p.map((n, k) => (k === axis ? at(i!, p) : n)),
            ),
          ),
        ),
    })),
  },
  {
    op: 'scatter_add',
    name: 'scatter_add',
    cases: gatherCases.map(({ x: to, axis, index }) => ({
      inputs: { x: index },
      // 0 is ignored here, so that both ways of reading an index are covered.
      indices: { i: { shape: index, below: to[axis]! } },
      build: ({ x, i }) => x!.sin().scatterAdd(axis, i!, to[axis]!, { ignoreIndex: 0 }),
      reference: ({ x, i }) => {
        const out = new Array<number>(count(to)).fill(0);
        tensor(index, (p) => {
          const n = at(i!, p);
          if (n !== 0)
            out[
              flat(
                to,
                p.map((v, k) => (k === axis ? n : v)),
              )
            ]! += Math.sin(at(x!, p));
          return 0;
        });
        return { shape: to, data: out };
      },
    })),
  },
];

export const primitives: Row[] = [...leaves, ...elementwise, ...reductions, ...shapes, ...contractions, ...indices];
