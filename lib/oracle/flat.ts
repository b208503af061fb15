/** The order in which an oracle holds a model's parameters and running statistics, and vectors put into ours. */
import { PtmzError } from '../errors.js';
import type { FlatEntry } from '../graph/flat.js';
import { elementCount } from '../graph/shape.js';

/** name -> [offset, shape] of a flat vector without gaps. */
export type FlatIndex = Record<string, [offset: number, shape: number[]]>;

/** The index under other names. */
export const renamed = (index: FlatIndex, rename: (name: string) => string): FlatIndex =>
  Object.fromEntries(Object.entries(index).map(([name, place]) => [rename(name), place]));

/** For each element of the oracle's vector, its position in ours. */
export function positions(index: FlatIndex, entries: readonly FlatEntry[]): number[] {
  const ours = new Map(entries.map((entry) => [entry.name, entry]));
  if (ours.size !== Object.keys(index).length)
    throw new PtmzError('DATA_MALFORMED', `the model has ${ours.size} tensors, the index ${Object.keys(index).length}`);
  return Object.entries(index).flatMap(([name, [, shape]]) => {
    const entry = ours.get(name);
    if (!entry || entry.shape.join() !== shape.join())
      throw new PtmzError('DATA_MALFORMED', `the model has no tensor '${name}' of shape ${shape.join(' x ')}`);
    return Array.from({ length: elementCount(shape) }, (_, i) => entry.offset + i);
  });
}

/** Our vector in the oracle's order. */
export const pick = (vector: ArrayLike<number>, at: readonly number[]): number[] => at.map((i) => vector[i]!);

/** Our vector of `size` elements, from values by name. */
export function place(
  entries: readonly FlatEntry[],
  size: number,
  values: (name: string, shape: readonly number[]) => ArrayLike<number>,
): number[] {
  const flat = new Array<number>(size).fill(0);
  for (const { name, offset, shape } of entries) {
    const tensor = values(name, shape);
    for (let i = 0; i < tensor.length; i++) flat[offset + i] = tensor[i]!;
  }
  return flat;
}
