// Inputs that both sides of a race get: random images, and weights in a file of a temporary folder.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Vector, writeSafetensors } from 'ptmz-native';

/** Normal random images (n, 3, side, side) and labels, the same in every run. */
export function randomImages(n, { side = 32, classes = 10, seed = 1 } = {}) {
  const shape = [n, 3, side, side];
  const vector = new Vector('float32', 1, n * 3 * side * side);
  const images = vector.random({ distribution: 'normal', seeds: [seed] }).toArray();
  vector.dispose();
  return { images, shape, labels: Int32Array.from({ length: n }, (_, i) => (7 * i + (i >> 2)) % classes), classes };
}

/** Leaves the numbers as they are. */
export const unchanged = { mean: [0, 0, 0], std: [1, 1, 1] };

/** Images and labels as tensors of {@link writeSafetensors}. */
export const batchTensors = ({ images, shape, labels }) => [
  ['x', { dtype: 'F32', shape, data: images }],
  ['y', { dtype: 'I32', shape: [shape[0]], data: labels }],
];

const dtypes = { float32: 'F32', float64: 'F64', int64: 'I64' };

/** A state dict as such tensors, names behind a prefix. */
export const stateTensors = (state, prefix = '') =>
  Object.entries(state).map(([name, { shape, dtype, data }]) => [
    `${prefix}${name}`,
    { dtype: dtypes[dtype], shape, data },
  ]);

/** A vector laid out as a graph's parameters (`graph.params.entries`), as a state dict. */
export const splitVector = (row, entries) =>
  Object.fromEntries(
    entries.map(({ name, offset, shape }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const dtype = row instanceof Float64Array ? 'float64' : 'float32';
      return [name, { shape, dtype, data: row.slice(offset, offset + size) }];
    }),
  );

/** A folder for what is handed to the peer; remove it with `dispose`. */
export class Handover {
  #folder = mkdtempSync(join(tmpdir(), 'ptmz-bench-'));
  #count = 0;

  /** Writes tensors; the path of the file. */
  write(tensors) {
    const path = join(this.#folder, `${this.#count++}.safetensors`);
    writeSafetensors(path, new Map(tensors));
    return path;
  }

  dispose() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
