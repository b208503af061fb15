/** Shapes: plain arrays of sizes, and the rules for axes and broadcasting. */
import { checkInteger, invalidArgument, PtmzError } from '../errors.js';

/** Sizes of the axes, outermost first; `[]` is a scalar. Every size is at least 1. */
export type Shape = readonly number[];

/** @internal */
export const elementCount = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

/** @internal */
export const formatShape = (shape: Shape): string => `[${shape.join(',')}]`;

/** @internal */
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

/** @internal */
export function checkShape(name: string, shape: unknown): Shape {
  if (!Array.isArray(shape) || shape.length > 8) throw invalidArgument(name, 'an array of at most 8 sizes', shape);
  shape.forEach((size, i) => checkInteger(`${name}[${i}]`, size, 1, 2 ** 48));
  return shape as number[];
}

/** An axis that may count from the end, as a number in [0, rank). @internal */
export function checkAxis(op: string, axis: unknown, rank: number): number {
  const value = checkInteger(`axis of ${op}`, axis, -rank, rank - 1);
  return value < 0 ? value + rank : value;
}

/** One axis, several, or (left out) all of them; sorted. @internal */
export function checkAxes(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (Array.isArray(axes) ? axes : [axes]).map((axis) => checkAxis(op, axis, rank));
  if (new Set(list).size !== list.length) throw invalidArgument(`axes of ${op}`, 'axes that differ', axes);
  return list.sort((a, b) => a - b);
}

/** @internal */
export function shapeMismatch(op: string, expected: string, ...shapes: Shape[]): PtmzError {
  return new PtmzError('SHAPE_MISMATCH', `${op}: expected ${expected}, got ${shapes.map(formatShape).join(' and ')}`);
}

/** The common shape under NumPy's broadcasting rules. @internal */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw shapeMismatch(op, 'shapes that broadcast', a, b);
    return Math.max(x, y);
  });
}
