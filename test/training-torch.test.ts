/** Optimizers and their settings against PyTorch (test/fixtures/training/make.py), in float64. */
import { readFileSync } from 'node:fs';
import { arrays, prepare, type Optimizer, type Run, type TrainOptions } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { softmaxRegression } from './support/models.js';
import { dense, fillWaves, wave } from './support/waves.js';

const expected = JSON.parse(
  readFileSync(new URL('./fixtures/training/optimisers.json', import.meta.url), 'utf8'),
) as Record<string, { params: number[]; average: number[]; evaluations: number }>;

const data = arrays({
  images: Float32Array.from(wave(80, 0.7)),
  shape: [20, 4, 1, 1],
  labels: Array.from({ length: 20 }, (_, i) => i % 3),
  normalise: { mean: [0, 0, 0, 0], std: [1, 1, 1, 1] },
});

function population(settings: Partial<TrainOptions>, members = 2): Run {
  const seeds = Array.from({ length: members }, (_, m) => m);
  const run = prepare({
    ...{ model: softmaxRegression(4, 3), data, batchSize: 8, epochs: 6, seeds, dtype: 'float64', shuffle: false },
    ...{ schedule: 'constant', decay: 'all' },
    ...settings,
  });
  seeds.forEach((m) => fillWaves(run.vectors.params, run.layout.params, 0.5, m));
  return run;
}

const close = (own: number[], reference: number[]) => {
  expect(own).toHaveLength(reference.length);
  own.forEach((x, i) => expect(Math.abs(x - reference[i]!)).toBeLessThan(1e-11));
};
const rowOf = (run: Run, member: number) => dense(run.vectors.params.toArray(member), run.layout.params);

describe('against torch.optim', () => {
  test.each<[string, Partial<TrainOptions> & { optimizer: Optimizer }]>([
    ['adam', { lr: 0.05, optimizer: { kind: 'adam', betas: [0.8, 0.99], eps: 1e-6, weightDecay: 0.1 } }],
    ['rmsprop', { lr: 0.02, optimizer: { kind: 'rmsprop', alpha: 0.9, eps: 1e-7, weightDecay: 0.05, momentum: 0.6 } }],
    ['rmsprop_plain', { lr: 0.01, optimizer: { kind: 'rmsprop' } }],
    ['adamw_clip', { lr: 0.05, clip: 0.05, optimizer: { kind: 'adamw', weightDecay: 0.2 } }],
    ['sgd_smoothed', { lr: 0.3, labelSmoothing: 0.2, optimizer: { kind: 'sgd', momentum: 0.9 } }],
  ])('%s: parameters and their moving average after 18 steps', async (name, settings) => {
    using run = population({ ...settings, average: 0.7 });
    await run.train();
    close(rowOf(run, 1), expected[name]!.params);
    const averaged = Object.values(run.stateDict(0, { average: true })).flatMap((t) => Array.from(t.data, Number));
    close(averaged, expected[name]!.average);
  });

  test('L-BFGS: parameters and the number of evaluations after 12 iterations, of members side by side', async () => {
    const optimizer = { kind: 'lbfgs', historySize: 4, toleranceGrad: 0, toleranceChange: 0, lineSearch: 1e6 } as const;
    using run = population({ batchSize: 20, epochs: 12, optimizer, lr: [1, 0.5, 0.25] }, 3);
    await run.train();
    close(rowOf(run, 1), expected['lbfgs']!.params);
    expect(run.evaluations![1]).toBe(expected['lbfgs']!.evaluations);
    expect(new Set(run.evaluations).size).toBeGreaterThan(1);
  });
});

describe('gradient accumulation', () => {
  test('is the larger batch, also where the last step of an epoch has fewer samples', async () => {
    using whole = population({ batchSize: 8, epochs: 3 });
    using pieces = population({ batchSize: 2, accumulate: 4, epochs: 3 });
    expect(pieces.stepsPerEpoch).toBe(whole.stepsPerEpoch);
    await Promise.all([whole.train(), pieces.train()]);
    close(rowOf(pieces, 0), rowOf(whole, 0));
    pieces.history.forEach((epoch, i) => close(epoch.trainLoss, whole.history[i]!.trainLoss));
  });

  test("compat 'ptmz': a schedule for all batches, leftovers in the next epoch's first step, losses divided", async () => {
    // 10 batches of 2, 4 in a step: steps of the batches 0-3, 4-7 | 8-9 and 0-3, 4-7.
    using run = population({
      batchSize: 2,
      accumulate: 4,
      epochs: 2,
      compat: 'ptmz',
      schedule: 'cosine',
      decay: 'model',
    });
    expect(run.stepsPerEpoch).toBe(2);
    expect(run.schedules[0]!.lr).toHaveLength(20);
    const start = rowOf(run, 0);
    await run.train();
    // The mean over samples in one program gives each step's gradient: here as a plain SGD over joined batches.
    const groups = [
      [0, 8],
      [8, 16],
      [16, 28],
      [8, 16],
    ] as const; // samples, of which those from 20 on are again 0, 1, ...
    let [p, velocity] = [start, start.map(() => 0)];
    for (const [step, [from, to]] of groups.entries()) {
      const g = gradient(
        p,
        Array.from({ length: to - from }, (_, i) => (from + i) % 20),
        8,
      );
      velocity = velocity.map((v, i) => 0.9 * v + g[i]!);
      p = p.map((x, i) => x - run.schedules[0]!.lr[step]! * velocity[i]!);
    }
    close(rowOf(run, 0), p);
  });
});

/** Sum of the samples' gradients of the cross-entropy, divided by `count`. */
function gradient(p: number[], samples: number[], count: number): number[] {
  const g = p.map(() => 0);
  for (const i of samples) {
    const x = [...data.train.image(i)];
    const z = [0, 1, 2].map((k) => x.reduce((sum, xj, j) => sum + p[4 * k + j]! * xj, p[12 + k]!));
    const total = z.reduce((sum, zk) => sum + Math.exp(zk), 0);
    z.forEach((zk, k) => {
      const d = (Math.exp(zk) / total - (data.train.labels[i] === k ? 1 : 0)) / count;
      x.forEach((xj, j) => (g[4 * k + j]! += d * xj));
      g[12 + k]! += d;
    });
  }
  return g;
}

describe('settings that do not fit', () => {
  test.each<[Partial<TrainOptions>, RegExp]>([
    [{ optimizer: 'lbfgs' }, /all 20 samples.*batchSize/],
    [{ optimizer: 'lbfgs', batchSize: 20, clip: 1 }, /clip is no setting/],
    [{ optimizer: 'lbfgs', batchSize: 20, augment: { flip: 0.5 } }, /augment/],
    [{ optimizer: 'lbfgs', weightDecay: 0.1 }, /weightDecay is no setting of the optimizer 'lbfgs'/],
    [{ optimizer: { kind: 'lbfgs', historySize: 0 } }, /optimizer\.historySize/],
    [{ optimizer: { kind: 'rmsprop', alpha: 1 } }, /optimizer\.alpha/],
    [{ clip: 0 }, /clip/],
    [{ average: 1 }, /average/],
    [{ labelSmoothing: 2 }, /labelSmoothing/],
    [{ accumulate: 0 }, /accumulate/],
    [{ accumulate: 4, compat: 'ptmz' }, /accumulate/],
    [{ decay: 'none' as 'all' }, /decay/],
  ])('%o', (settings, message) => {
    expect(() => population(settings)).toThrow(message);
  });

  test('the average of a run that has none', () => {
    using run = population({});
    expect(() => run.stateDict(0, { average: true })).toThrow(/average/);
  });
});
