/** Jobs of a device: several run side by side, each with the numbers that it has alone. */
import { prepare, type TrainOptions } from 'ptmz-native';
import { afterEach, expect, test } from 'vitest';
import { mlp, points } from '../support/models.js';

const data = points(24, 6, 3, true);
const options = (seed: number, epochs: number): TrainOptions => ({
  ...{ model: mlp([6, 5, 3], [6, 1, 1]), data, batchSize: 8, epochs, seeds: [seed], lr: [0.1] },
  ...{ device: 'cuda', dtype: 'float64' },
});

afterEach(() => {
  delete process.env['PTMZ_CUDA_JOBS'];
});

/** Starts trainings in this order; which end in which order. */
async function ends(...trainings: TrainOptions[]): Promise<number[]> {
  const order: number[] = [];
  await Promise.all(
    trainings.map(async (given, i) => {
      using run = prepare(given);
      await run.train();
      order.push(i);
    }),
  );
  return order;
}

test('a short training overtakes a long one, unless jobs are to follow each other', async () => {
  const [long, short] = [options(1, 60), options(2, 1)];
  expect(await ends(long, short)).toEqual([1, 0]);
  process.env['PTMZ_CUDA_JOBS'] = '1';
  expect(await ends(long, short)).toEqual([0, 1]);
  process.env['PTMZ_CUDA_JOBS'] = '2';
  expect((await ends(long, options(3, 60), short))[0]).not.toBe(2);
});

test('a number of jobs that is none is refused before any work', async () => {
  for (const text of ['0', '-1', 'many', '2.5', '4 ']) {
    process.env['PTMZ_CUDA_JOBS'] = text;
    using run = prepare(options(1, 1));
    await expect(run.train()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(
        `PTMZ_CUDA_JOBS: expected a whole number of at least 1, got '${text}'`,
      ) as string,
    });
    expect(run.step).toBe(0);
    delete process.env['PTMZ_CUDA_JOBS'];
    await run.train(); // it is not held by the job that did not begin
  }
});

test('a job of the CPU does not wait for one of a device', async () => {
  expect(await ends(options(1, 60), { ...options(2, 1), device: 'cpu' })).toEqual([1, 0]);
});

test('side by side or alone, the numbers are the same', async () => {
  const learn = async (seed: number) => {
    using run = prepare(options(seed, 3));
    await run.train();
    return Array.from(run.vectors.params.toArray() as Float64Array);
  };
  const alone: number[][] = [];
  for (const seed of [1, 2, 3, 4, 5, 6]) alone.push(await learn(seed));
  expect(await Promise.all([1, 2, 3, 4, 5, 6].map(learn))).toEqual(alone);
});
