/** Runs that tests save: a small one, folders for it, and all of its numbers. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PtmzError, Run } from 'ptmz-native';
import { afterAll } from 'vitest';
import { mlp, points } from './models.js';

/** A folder that goes with the tests of a file, and names in it. */
export function savingFolder(name: string) {
  const folder = mkdtempSync(join(tmpdir(), `ptmz-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let count = 0;
  return { folder, newDirectory: () => join(folder, `run${count++}`) };
}

/** The names in a folder. */
export const visible = (directory: string) => readdirSync(directory).sort();

/** Every number of a run, to be compared bit by bit. */
export const bits = (run: Run) => ({
  tensors: run.seeds.map((_, m) => Object.entries(run.stateDict(m)).map(([name, { data }]) => [name, [...data]])),
  state: Object.values(run.vectors as unknown as Record<string, Run['vectors']['params'] | null>).map(
    (vector) => vector && Array.from({ length: vector.rows }, (_, row) => [...vector.toArray(row)]),
  ),
  history: run.history,
  step: run.step,
});

export const data = points(40, 4, 3, true);
export const model = mlp([4, 6, 3], [4, 1, 1]);
export const small = { model, data, batchSize: 7, epochs: 4, seeds: [1, 2], lr: [0.1, 0.02] };

/** What `work` throws. */
export const thrown = async (work: () => unknown): Promise<PtmzError> => {
  try {
    await work();
  } catch (error) {
    return error as PtmzError;
  }
  throw new Error('expected an error');
};
