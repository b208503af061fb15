/** Elementwise operators: broadcasting, the primitives of op.def, and the composites made of them. */
import { checkNumber, invalidArgument } from '../errors.js';
import { expand, reshape } from './layout.js';
import { broadcastShapes, sameShape, type Shape } from './shape.js';
import { Value } from './value.js';

/** The second operand of a binary operator: a value, or a number that stands for a constant. */
export type Operand = Value | number;

/** `x` with axes of size 1 repeated, and new axes in front, until it has `shape`. @internal */
export function broadcastTo(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const padded = [...Array<number>(shape.length - x.shape.length).fill(1), ...x.shape];
  return expand(reshape(x, padded), shape);
}

/** Both operands of a binary operator in their common shape. @internal */
export function broadcast(op: string, a: Value, b: Operand): [Value, Value] {
  if (typeof b === 'number') return [a, a.graph.constant(b, a.shape)];
  if (!(b instanceof Value)) throw invalidArgument(`the second operand of ${op}`, 'a Value or a number', b);
  const shape = broadcastShapes(op, a.shape, b.shape);
  return [broadcastTo(a, shape), broadcastTo(b, shape)];
}

const unary = (op: string) => (x: Value) => x.graph.node(op, [x]);

export const neg = unary('neg');
export const reciprocal = unary('recip');
export const exp = unary('exp');
export const log = unary('log');
export const sqrt = unary('sqrt');
export const tanh = unary('tanh');
export const sin = unary('sin');
export const cos = unary('cos');
export const erf = unary('erf');
export const cast = unary('cast');
export const stopGradient = unary('stop_gradient');

export const add = (a: Value, b: Operand): Value => a.graph.node('add', broadcast('add', a, b));
export const mul = (a: Value, b: Operand): Value => a.graph.node('mul', broadcast('mul', a, b));
export const sub = (a: Value, b: Operand): Value => {
  if (typeof b === 'number') return add(a, -b);
  const [x, y] = broadcast('sub', a, b);
  return x.graph.node('add', [x, neg(y)]);
};
export const div = (a: Value, b: Operand): Value => {
  if (typeof b === 'number') return mul(a, 1 / b);
  broadcast('div', a, b);
  return mul(a, reciprocal(b));
};

/**
 * a b + c, rounded once (the value of torch.addcmul). Where the two terms cancel it keeps the digits that a separate
 * product loses.
 *
 * @throws PtmzError `SHAPE_MISMATCH` where the shapes do not broadcast
 * @example
 * ```ts
 * import { fma, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * fma(graph.input('a', [3]), graph.input('b', [2, 1]), graph.input('c', [2, 3])).shape; // [2, 3]
 * ```
 */
export function fma(a: Value, b: Value, c: Value): Value {
  const shape = broadcastShapes('fma', broadcastShapes('fma', a.shape, b.shape), c.shape);
  return a.graph.node(
    'fma',
    [a, b, c].map((x) => broadcastTo(x, shape)),
  );
}

export function pow(x: Value, exponent: number): Value {
  checkNumber('exponent of pow', exponent);
  if (exponent === 2) return mul(x, x);
  return x.graph.node('pow', [x], [], [exponent]);
}

/** In the order of `Comparison` in native/ir/graph.h. @internal */
export const comparisons = ['lt', 'le', 'gt', 'ge', 'eq', 'ne'] as const;
export type Comparison = (typeof comparisons)[number];

export const compare = (kind: Comparison, a: Value, b: Operand): Value =>
  a.graph.node('compare', broadcast(kind, a, b), [comparisons.indexOf(kind)]);

/**
 * `a` where `condition` is not 0, else `b` (torch.where). The branch that is not taken gets a zero gradient, and may be
 * infinite or NaN.
 *
 * @param condition any real value, usually a comparison; all three broadcast
 * @throws PtmzError `SHAPE_MISMATCH` where the shapes do not broadcast
 * @example
 * ```ts
 * import { Graph, where } from 'ptmz-native';
 * using graph = new Graph();
 * const x = graph.input('x', [4]);
 * const huber = where(x.abs().lt(1), x.square().mul(0.5), x.abs().sub(0.5));
 * ```
 */
export function where(condition: Value, a: Operand, b: Operand): Value {
  const scalar = (v: Operand) => (typeof v === 'number' ? condition.graph.constant(v) : v);
  const [x, y] = [scalar(a), scalar(b)];
  if (!(x instanceof Value) || !(y instanceof Value))
    throw invalidArgument('a branch of where', 'a Value or a number', a);
  const shape = broadcastShapes('where', broadcastShapes('where', condition.shape, x.shape), y.shape);
  return condition.graph.node(
    'select',
    [condition, x, y].map((v) => broadcastTo(v, shape)),
  );
}

// Written with `<=`, so that a NaN goes through instead of becoming 0. The derivative at 0 is 0.
export const relu = (x: Value): Value => where(compare('le', x, 0), 0, x);

// x times its sign: the derivative at 0 is 0, as in torch.
export const abs = (x: Value): Value => mul(x, sub(compare('gt', x, 0), compare('lt', x, 0)));

export const square = (x: Value): Value => mul(x, x);

// Half of the gradient to each of two equal numbers, as in torch; a NaN on either side goes through.
export function maximum(a: Value, b: Operand): Value {
  const [x, y] = broadcast('maximum', a, b);
  const tie = add(mul(x, 0.5), mul(y, 0.5));
  return where(compare('gt', x, y), x, where(compare('lt', x, y), y, tie));
}

export const minimum = (a: Value, b: Operand): Value => neg(maximum(neg(a), typeof b === 'number' ? -b : neg(b)));

// Through tanh: 1 / (1 + exp(-x)) has a NaN derivative below -88 in float32.
export const sigmoid = (x: Value): Value => add(mul(tanh(mul(x, 0.5)), 0.5), 0.5);

// max(x, 0) + log(1 + exp(-|x|)): nothing overflows. -|x| takes the slope 1 at 0, so that the sum's slope there is 1/2.
export function softplus(x: Value): Value {
  const negativeAbs = where(compare('gt', x, 0), neg(x), x);
  return add(relu(x), log(add(exp(negativeAbs), 1)));
}
