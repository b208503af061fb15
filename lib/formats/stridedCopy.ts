/** Copies of views with strides into row-major order. */
import type { TensorArray } from './storedTensor.js';

/** Whether a view's numbers lie in row-major order without gaps; strides of sizes 0 and 1 mean nothing. @internal */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Strides of row-major order. @internal */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = strides[axis + 1]! * Math.max(1, shape[axis + 1]!);
  return strides;
}

/**
 * Copies a view of `source` into `target` in row-major order.
 *
 * @param offset of the first number in `source`; offset, shape and strides were checked against its length
 * @internal
 */
export function copyStrided<T extends TensorArray>(
  source: T,
  target: T,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): void {
  if (target.length === 0) return;
  const position = new Array<number>(shape.length).fill(0);
  const inner = shape.length - 1;
  const [count, step] = inner < 0 ? [1, 0] : [shape[inner]!, strides[inner]!];
  let at = offset;
  for (let done = 0; done < target.length;) {
    for (let i = 0; i < count; i++) target[done++] = source[at + i * step]!;
    // The next row: as an odometer turns.
    for (let axis = inner - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++position[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
}
