/** Operators that move elements: reshape, permute, expand, slice, pad, concat. */
import { checkArray, checkInteger, invalidArgument, PtmzError } from '../errors.js';
import { checkAxis, checkShape, elementCount, formatShape, shapeMismatch, type Shape } from './shape.js';
import { Value } from './value.js';

/** One size may be -1: whatever is left. */
export function reshape(x: Value, shape: Shape): Value {
  checkArray('shape of reshape', shape);
  const free = shape.indexOf(-1);
  let sizes = shape;
  if (free >= 0) {
    const known = elementCount(shape.filter((_, i) => i !== free));
    const left = elementCount(x.shape) / known;
    if (!Number.isInteger(left)) throw shapeMismatch('reshape', `as many elements as ${formatShape(shape)}`, x.shape);
    sizes = shape.map((size, i) => (i === free ? left : size));
  }
  checkShape('shape of reshape', sizes);
  return x.graph.node('reshape', [x], [], [], sizes);
}

export function permute(x: Value, order: readonly number[]): Value {
  checkArray('order of permute', order);
  if (order.length !== x.shape.length)
    throw invalidArgument('order of permute', `${x.shape.length} axes (input ${formatShape(x.shape)})`, order);
  return x.graph.node(
    'permute',
    [x],
    order.map((axis) => checkAxis('permute', axis, x.shape.length)),
  );
}

export function transpose(x: Value, axis0 = -2, axis1 = -1): Value {
  const order = x.shape.map((_, i) => i);
  const [a, b] = [checkAxis('transpose', axis0, order.length), checkAxis('transpose', axis1, order.length)];
  [order[a], order[b]] = [b, a];
  return permute(x, order);
}

/** New axes may appear in front; -1 keeps a size. */
export function expand(x: Value, shape: Shape): Value {
  checkArray('shape of expand', shape);
  const added = shape.length - x.shape.length;
  if (added < 0) throw shapeMismatch('expand', `at most ${shape.length} axes for ${formatShape(shape)}`, x.shape);
  const sizes = shape.map((size, i) => (size === -1 && i >= added ? x.shape[i - added]! : size));
  checkShape('shape of expand', sizes);
  const padded = added > 0 ? reshape(x, [...Array<number>(added).fill(1), ...x.shape]) : x;
  return x.graph.node('expand', [padded], [], [], sizes);
}

/** x[start:stop:step] along one axis; negative bounds count from the end and bounds are clamped, as in Python. */
export function slice(x: Value, axis: number, start = 0, stop?: number, step = 1): Value {
  const rank = x.shape.length;
  const at = checkAxis('slice', axis, rank);
  const size = x.shape[at]!;
  const clamp = (name: string, value: number) => {
    const from = checkInteger(`${name} of slice`, value);
    return Math.min(Math.max(from < 0 ? from + size : from, 0), size);
  };
  const [low, high] = [clamp('start', start), stop === undefined ? size : clamp('stop', stop)];
  checkInteger('step of slice', step, 1);
  if (low >= high)
    throw new PtmzError(
      'INVALID_ARGUMENT',
      `slice: expected at least one element, got ${low}:${high}:${step} on axis ${at} of ${formatShape(x.shape)}`,
    );
  const starts = x.shape.map((_, i) => (i === at ? low : 0));
  const stops = x.shape.map((s, i) => (i === at ? high : s));
  const steps = x.shape.map((_, i) => (i === at ? step : 1));
  return x.graph.node('slice', [x], [...starts, ...stops, ...steps]);
}

/** Zeros around (and, with `interior`, between) the elements; one number per axis. @internal */
export function padAxes(
  x: Value,
  low: readonly number[],
  high: readonly number[],
  interior?: readonly number[],
): Value {
  const between = interior ?? x.shape.map(() => 0);
  if ([...low, ...high, ...between].every((n) => n === 0)) return x;
  return x.graph.node('pad', [x], [...low, ...high, ...between]);
}

/** Zeros around; pairs (low, high) from the last axis on, as torch.nn.functional.pad. */
export function pad(x: Value, pairs: readonly number[]): Value {
  checkArray('padding of pad', pairs);
  const rank = x.shape.length;
  if (pairs.length % 2 !== 0 || pairs.length > 2 * rank)
    throw invalidArgument('padding of pad', `pairs for at most ${rank} axes`, pairs);
  pairs.forEach((n) => checkInteger('padding of pad', n, 0));
  const [low, high] = [0, 1].map((side) => x.shape.map((_, i) => pairs[2 * (rank - 1 - i) + side] ?? 0)) as [
    number[],
    number[],
  ];
  return padAxes(x, low, high);
}

/**
 * Values side by side along one axis (torch.cat); their other axes are equal.
 *
 * @param values at least one, of kind real
 * @param axis in [-rank, rank)
 * @throws PtmzError `SHAPE_MISMATCH` where another axis differs
 * @example
 * ```ts
 * import { concat, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * concat([graph.input('a', [2, 3]), graph.input('b', [2, 5])], 1).shape; // [2, 8]
 * ```
 */
export function concat(values: readonly Value[], axis = 0): Value {
  checkArray('values of concat', values);
  const first = values[0];
  if (!(first instanceof Value)) throw invalidArgument('values of concat', 'at least one Value', first);
  return first.graph.node('concat', values, [checkAxis('concat', axis, first.shape.length)]);
}

/** Drops axes of size 1: the given ones. @internal */
export function squeeze(x: Value, axes: readonly number[]): Value {
  return reshape(
    x,
    x.shape.filter((_, i) => !axes.includes(i)),
  );
}

/** Axis of size 1 put in at `axis` (of the result). @internal */
export function unsqueeze(x: Value, axis: number): Value {
  const at = checkAxis('unsqueeze', axis, x.shape.length + 1);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}
