/** Reductions over axes: sum, mean, amax, argmax, var, logsumexp. */
import { checkBoolean, checkInteger } from '../errors.js';
import { add, compare, exp, log, mul, square, stopGradient, sub, where } from './elementwise.js';
import { squeeze } from './layout.js';
import { checkAxes, checkAxis } from './shape.js';
import type { Value } from './value.js';

/** One axis, several, or (left out) all. Negative axes count from the end. */
export type Axes = number | readonly number[];

// The primitive keeps reduced axes with size 1; they are dropped here unless asked for.
function reduce(op: 'sum' | 'max', x: Value, axes: Axes | undefined, keepdim: boolean): Value {
  const list = checkAxes(op, axes, x.shape.length);
  checkBoolean(`keepdim of ${op}`, keepdim);
  const kept = x.graph.node(op, [x], list);
  return keepdim ? kept : squeeze(kept, list);
}

const reducedCount = (x: Value, axes: Axes | undefined): number =>
  checkAxes('axes', axes, x.shape.length).reduce((n, axis) => n * x.shape[axis]!, 1);

export const sum = (x: Value, axes?: Axes, keepdim = false): Value => reduce('sum', x, axes, keepdim);

export const mean = (x: Value, axes?: Axes, keepdim = false): Value =>
  mul(sum(x, axes, keepdim), 1 / reducedCount(x, axes));

export const amax = (x: Value, axes?: Axes, keepdim = false): Value => reduce('max', x, axes, keepdim);

export function argmax(x: Value, axis: number, keepdim = false): Value {
  const at = checkAxis('argmax', axis, x.shape.length);
  const kept = x.graph.node('argmax', [x], [at]);
  return keepdim ? kept : squeeze(kept, [at]);
}

// Two passes: mean of (x - mean)^2. E[x^2] - E[x]^2 would lose every digit where the mean is large.
export function variance(x: Value, axes?: Axes, keepdim = false, correction = 0): Value {
  checkInteger('correction of var', correction, 0);
  const centred = sub(x, mean(x, axes, true));
  return mul(sum(square(centred), axes, keepdim), 1 / (reducedCount(x, axes) - correction));
}

/**
 * What is subtracted before exp: the largest element along `axes`, without gradient. It is 0 where that is infinite
 * (infinity x 0 is not 0), because infinity - infinity is not a number.
 * @internal
 */
export function shiftFor(x: Value, axes?: Axes): Value {
  const largest = stopGradient(amax(x, axes, true));
  return where(compare('eq', mul(largest, 0), 0), largest, 0);
}

export function logsumexp(x: Value, axes?: Axes, keepdim = false): Value {
  const shift = shiftFor(x, axes);
  const kept = add(log(sum(exp(sub(x, shift)), axes, true)), shift);
  return keepdim ? kept : squeeze(kept, checkAxes('logsumexp', axes, x.shape.length));
}
