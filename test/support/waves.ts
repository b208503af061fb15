/** Numbers that test/fixtures/training/make.py makes by the same formula. */
import type { FlatEntry } from '../../lib/index.js';
import type { Vector } from '../../lib/index.js';

export const wave = (n: number, phase: number): number[] =>
  Array.from({ length: n }, (_, i) => Math.sin(1.3 * i + phase));

/** The k-th tensor becomes scale x wave(n, k). */
export function fillWaves(vector: Vector, entries: readonly FlatEntry[], scale: number, row = 0): void {
  entries.forEach(({ offset, shape }, k) => {
    const n = shape.reduce((a, b) => a * b, 1);
    vector.set(
      row,
      wave(n, k).map((x) => scale * x),
      offset,
    );
  });
}

/** Values of a flat vector without its gaps. */
export const dense = (row: ArrayLike<number>, entries: readonly FlatEntry[]): number[] =>
  entries.flatMap(({ offset, shape }) =>
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => row[offset + i]!),
  );
