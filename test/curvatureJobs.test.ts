/** Jobs that measure curvature: PyHessian's rule of stopping, populations, progress, aborts, and what they refuse. */
import {
  hessianEigenvalues,
  hessianSpectrum,
  hessianTrace,
  prepare,
  Vector,
  type HessianEigenvaluesOptions,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { mlp, points } from './support/models.js';
import { data, diagonal, largestError } from './support/quadratic.js';

describe("hessianTrace as PyHessian's", () => {
  const rule = (samples: number[], tolerance: number) => {
    let before = 0;
    return samples.findIndex((_, k) => {
      const mean = samples.slice(0, k + 1).reduce((a, b) => a + b) / (k + 1);
      const stop = Math.abs(mean - before) / (before + 1e-6) < tolerance;
      before = mean;
      return stop;
    });
  };

  test('stops where the mean moves little, whatever the block', async () => {
    const set = points(30, 4, 3);
    using run = prepare({ model: mlp([4, 5, 3], [4, 1, 1]), data: set, batchSize: 10, epochs: 1, seeds: [1, 2, 3] });
    const all = await hessianTrace(run, set.train, { probes: 100 });
    const stopped = await hessianTrace(run, set.train, { method: 'pyhessian', rtol: 0.01, block: 7 });
    const alone = await hessianTrace(run, set.train, { method: 'pyhessian', rtol: 0.01, block: 1 });
    expect(stopped.samples).toEqual(alone.samples);
    const ends = all.samples.map((samples) => rule(samples, 0.01) + 1 || 100);
    expect(Math.max(...ends)).toBeGreaterThan(7);
    for (const m of [0, 1, 2]) {
      const end = ends[m]!;
      expect(stopped.samples[m]).toEqual(all.samples[m]!.slice(0, end));
      expect(stopped.trace[m]).toBeCloseTo(stopped.samples[m]!.reduce((a, b) => a + b) / end, 12);
    }
  });

  test('a negative trace stops after two probes, for want of an absolute value', async () => {
    using run = diagonal([-3, -2], [0]);
    const { samples } = await hessianTrace(run, data.train, { method: 'pyhessian' });
    expect(samples[0]).toHaveLength(2);
  });

  test('probes can be given', async () => {
    using run = diagonal([3, -1, 0.5], [0, 1]);
    using vectors = new Vector('float64', 4, run.vectorSize);
    for (let row = 0; row < 4; row++) vectors.set(row, [row, 1, 2]);
    const { samples } = await hessianTrace(run, data.train, { probes: 2, vectors });
    const expected = [0, 1, 2, 3].map((row) => 3 * row * row - 1 + 2);
    expect(largestError(samples.flat(), expected)).toBeLessThan(1e-14);
    await expect(hessianTrace(run, data.train, { probes: 3, vectors })).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
    });
  });
});

describe('populations', () => {
  const data = points(10, 3, 3);
  const model = mlp([3, 4, 3], [3, 1, 1]);
  const make = (seeds: number[]) => prepare({ model, data, batchSize: 10, epochs: 1, seeds });

  test.each(['lanczos', 'power', 'pyhessian'] as const)(
    '%s: the bits depend on the seeds alone, not on members or threads',
    async (method) => {
      using three = make([5, 6, 7]);
      using one = make([6]);
      const options = { method, count: 2, steps: 12, tolerance: 1e-6 } as const;
      const all = await hessianEigenvalues(three, data.train, { ...options, threads: 2 });
      const alone = await hessianEigenvalues(one, data.train, { ...options, threads: 1 });
      for (const key of ['eigenvalues', 'residuals', 'converged', 'iterations', 'history'] as const)
        expect(all[key][1]).toEqual(alone[key][0]);
      expect(all.eigenvalues[0]).not.toEqual(all.eigenvalues[1]);
      const other = await hessianEigenvalues(one, data.train, { ...options, seed: 1 });
      expect(other.residuals).not.toEqual(alone.residuals);
    },
  );

  test('spectra: not on blocks either; more runs keep the earlier ones', async () => {
    using three = make([5, 6, 7]);
    using one = make([6]);
    const all = await hessianSpectrum(three, data.train, { runs: 5, steps: 6, bins: 50, threads: 2 });
    const alone = await hessianSpectrum(one, data.train, { runs: 5, steps: 6, bins: 50, threads: 1, block: 2 });
    expect(all[1]).toEqual(alone[0]);
    const fewer = await hessianSpectrum(one, data.train, { runs: 2, steps: 6, bins: 50 });
    expect(fewer[0]!.nodes).toEqual(alone[0]!.nodes.slice(0, 2));
    const other = await hessianSpectrum(one, data.train, { runs: 2, steps: 6, bins: 50, seed: 9 });
    expect(other[0]!.nodes).not.toEqual(fewer[0]!.nodes);
  });

  test('progress rises to 1 and carries an expected time', async () => {
    using run = make([1, 2]);
    const seen: { fraction: number; eta: number; member: number }[] = [];
    const onProgress = (p: { fraction: number; eta: number; member: number }) => void seen.push(p);
    await hessianEigenvalues(run, data.train, { steps: 30, tolerance: 0, onProgress });
    expect(seen.at(-1)).toMatchObject({ fraction: 1, eta: 0, member: 1, members: 2 });
    seen.length = 0;
    await hessianSpectrum(run, data.train, { steps: 30, onProgress });
    expect(seen.at(-1)).toMatchObject({ fraction: 1, eta: 0, member: 1, members: 2 });
    expect(seen.map((p) => p.fraction)).toEqual(seen.map((p) => p.fraction).toSorted((a, b) => a - b));
  });

  test('an abort rejects with its reason, and the run stays usable', async () => {
    using run = make([0]);
    const calls = [
      (signal: AbortSignal) =>
        hessianEigenvalues(run, data.train, { method: 'power', steps: 1e9, tolerance: 0, signal }),
      (signal: AbortSignal) => hessianSpectrum(run, data.train, { runs: 1e6, steps: 30, signal }),
    ];
    for (const call of calls) {
      const controller = new AbortController();
      const reason = new Error('enough');
      const running = call(controller.signal);
      setTimeout(() => controller.abort(reason), 30);
      await expect(running).rejects.toBe(reason);
      await expect(call(controller.signal)).rejects.toBe(reason);
    }
    const { eigenvalues } = await hessianEigenvalues(run, data.train);
    expect(Number.isFinite(eigenvalues[0]![0])).toBe(true);
  });

  test('a start vector that another job writes is BUSY', async () => {
    using run = make([0]);
    using start = new Vector('float32', 1, run.vectorSize);
    start.fill(1);
    const running = hessianEigenvalues(run, data.train, { method: 'power', steps: 2000, tolerance: 0, start });
    expect(() => start.fill(0)).toThrow(expect.objectContaining({ code: 'BUSY' }));
    await running;
  });
});

test('options are checked', async () => {
  using run = diagonal([3, -1, 0.5]);
  const eigen = (options: object, split: unknown = data.train) =>
    hessianEigenvalues(run, split as never, options as HessianEigenvaluesOptions);
  const spectrum = (options: object) => hessianSpectrum(run, data.train, options);
  await expect(eigen({ count: 0 })).rejects.toThrow(/count.*0/);
  await expect(eigen({ count: 4 })).rejects.toThrow(/count.*4/);
  await expect(eigen({ which: 'top' })).rejects.toThrow(/which.*'top'/);
  await expect(eigen({ method: 'arnoldi' })).rejects.toThrow(/method.*'arnoldi'/);
  await expect(eigen({ method: 'power', which: 'smallest' })).rejects.toThrow(/'magnitude' alone, got 'smallest'/);
  await expect(eigen({ count: 2, steps: 1 })).rejects.toThrow(/steps.*1/);
  await expect(eigen({ tolerance: NaN })).rejects.toThrow(/tolerance.*NaN/);
  await expect(eigen({ seed: -1 })).rejects.toThrow(/seed.*-1/);
  await expect(eigen({ onProgress: 1 })).rejects.toThrow(/onProgress/);
  await expect(eigen({ start: [1] })).rejects.toThrow(/start/);
  using short = new Vector('float64', 1, run.vectorSize);
  await expect(eigen({ start: short })).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  using zeros = new Vector('float64', 2, run.vectorSize);
  await expect(eigen({ start: zeros })).rejects.toThrow(/start.*not 0/);
  await expect(eigen({}, data)).rejects.toThrow(/data\.train/);
  await expect(eigen({ top: 1 })).rejects.toThrow(/top/);
  await expect(spectrum({ runs: 0 })).rejects.toThrow(/runs.*0/);
  await expect(spectrum({ steps: 0 })).rejects.toThrow(/steps.*0/);
  await expect(spectrum({ bins: 1 })).rejects.toThrow(/bins.*1/);
  await expect(spectrum({ sigma: 0 })).rejects.toThrow(/sigma.*0/);
  await expect(spectrum({ block: 0 })).rejects.toThrow(/block.*0/);
  await expect(spectrum({ start: zeros, runs: 2 })).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  await expect(hessianTrace(run, data.train, { method: 'power' as never })).rejects.toThrow(/method.*'power'/);
});
