/** Rows of {@link primitives}: operators that work element by element, and those that have no input. */
import { fma, where, type Graph, type Value } from '../../lib/index.js';
import type { Case, Row } from './row.js';
import { at, erf, map, tensor, total } from './tensor.js';
import type { Tensor } from './tensor.js';

type Values = Record<string, Value>;
const someShapes = [[5], [2, 3], [3, 1, 45], [131]];

const unary = (op: string, build: (x: Value) => Value, f: (x: number) => number, domain?: [number, number]): Row => ({
  op,
  name: op,
  cases: someShapes.map((shape) => ({
    inputs: { x: shape },
    ...(domain && { domain }),
    build: ({ x }) => build(x!),
    reference: ({ x }) => map(f, x!),
  })),
});

const pairs: [number[], number[]][] = [
  [[7], [7]],
  [
    [3, 1, 4],
    [2, 1],
  ],
  [[2, 3, 5], [5]],
  [[1], [6, 33]],
];

const binary = (
  op: string,
  build: (a: Value, b: Value) => Value,
  f: (a: number, b: number) => number,
  name = op,
  more: Partial<Row & Case> = {},
): Row => ({
  op,
  name,
  ...(more.differentiable === false && { differentiable: false }),
  cases: pairs.map(([a, b]) => ({
    inputs: { a, b },
    ...(more.domain && { domain: more.domain }),
    build: ({ a: x, b: y }) => build(x!, y!),
    reference: ({ a: x, b: y }) => map(f as (...x: number[]) => number, x!, y!),
  })),
});

export const elementwise: Row[] = [
  binary(
    'add',
    (a, b) => a.add(b),
    (a, b) => a + b,
  ),
  binary(
    'mul',
    (a, b) => a.mul(b),
    (a, b) => a * b,
  ),
  {
    op: 'fma',
    name: 'fma',
    cases: [...someShapes.map((shape) => [shape, shape, shape]), [[3], [2, 1], [2, 3]]].map(([a, b, c]) => ({
      inputs: { a: a!, b: b!, c: c! },
      build: ({ a: x, b: y, c: z }) => fma(x!, y!, z!),
      reference: ({ a: x, b: y, c: z }) => map((...[p, q, r]: number[]) => p! * q! + r!, x!, y!, z!),
    })),
  },
  unary(
    'neg',
    (x) => x.neg(),
    (x) => -x,
  ),
  unary(
    'recip',
    (x) => x.reciprocal(),
    (x) => 1 / x,
    [0.5, 2],
  ),
  unary('exp', (x) => x.exp(), Math.exp),
  unary('log', (x) => x.log(), Math.log, [0.3, 3]),
  unary('sqrt', (x) => x.sqrt(), Math.sqrt, [0.3, 3]),
  unary(
    'pow',
    (x) => x.pow(3),
    (x) => x ** 3,
  ),
  unary(
    'pow',
    (x) => x.pow(-1.5),
    (x) => x ** -1.5,
    [0.5, 2],
  ),
  unary('tanh', (x) => x.tanh(), Math.tanh),
  unary('sin', (x) => x.sin(), Math.sin),
  unary('cos', (x) => x.cos(), Math.cos),
  unary('erf', (x) => x.erf(), erf),
  {
    op: 'select',
    name: 'select',
    cases: pairs.map(([a, b]) => ({
      inputs: { a, b },
      build: ({ a: x, b: y }) => where(x!.gt(y!), x!.sin(), y!.mul(x!)),
      reference: ({ a: x, b: y }) => map((p, q) => (p! > q! ? Math.sin(p!) : p! * q!), x!, y!),
    })),
  },
  ...(
    [
      ['lt', (a, b) => a < b],
      ['le', (a, b) => a <= b],
      ['gt', (a, b) => a > b],
      ['ge', (a, b) => a >= b],
      ['eq', (a, b) => a === b],
      ['ne', (a, b) => a !== b],
    ] as ['lt' | 'le' | 'gt' | 'ge' | 'eq' | 'ne', (a: number, b: number) => boolean][]
  ).map(([kind, f]) =>
    binary(
      'compare',
      (a, b) => a[kind](b),
      (a, b) => Number(f(a, b)),
      `compare ${kind}`,
      { differentiable: false },
    ),
  ),
  {
    op: 'cast',
    name: 'cast',
    cases: someShapes.map((shape) => ({
      inputs: { x: shape },
      indices: { i: { shape, below: 9 } },
      build: ({ x, i }) => x!.mul(i!.cast()),
      reference: ({ x, i }) => map((a, b) => a! * b!, x!, i!),
    })),
  },
  {
    op: 'stop_gradient',
    name: 'stop_gradient',
    differentiable: false,
    cases: someShapes.map((shape) => ({
      inputs: { x: shape },
      build: ({ x }) => x!.stopGradient().mul(x!),
      reference: ({ x }) => map((a) => a! * a!, x!),
    })),
  },
];

export const leaves: Row[] = [
  {
    op: 'input',
    name: 'input',
    cases: someShapes.map((shape) => ({
      inputs: { x: shape },
      build: ({ x }) => x!.mul(x!),
      reference: ({ x }) => map((a) => a! * a!, x!),
    })),
  },
  {
    op: 'param',
    name: 'param',
    params: true,
    cases: someShapes.map((shape) => ({
      inputs: { w: shape, other: [3], b: shape },
      build: ({ w, b, other }) => w!.mul(b!).sin().mul(other!.sum()),
      reference: ({ w, b, other }) => map((x, y) => Math.sin(x! * y!) * total(other!.data), w!, b!),
    })),
  },
  {
    op: 'constant',
    name: 'constant',
    cases: someShapes.map((shape) => ({
      inputs: { x: shape },
      build: ({ x }, graph) => x!.sin().mul(graph.constant(2.5, shape)),
      reference: ({ x }) => map((a) => 2.5 * Math.sin(a!), x!),
    })),
  },
  {
    op: 'iota',
    name: 'iota',
    cases: someShapes.flatMap((shape) =>
      shape.map((_, axis) => ({
        inputs: { x: shape },
        build: ({ x }: Values, graph: Graph) => x!.sin().mul(graph.iota(shape, axis)),
        reference: ({ x }: Record<string, Tensor>) => tensor(shape, (p) => Math.sin(at(x!, p)) * p[axis]!),
      })),
    ),
  },
];
