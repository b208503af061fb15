/** Training on a CUDA device: the CPU's numbers within rounding, members that do not notice each other, and resuming. */
import {
  arrays,
  digits,
  evaluate,
  loadRun,
  prepare,
  preparePINN,
  prepareResNet,
  text,
  train,
  trainGPT2,
  trainPINN,
  type DataSet,
  type EpochRecord,
  type Run,
  type TrainOptions,
} from 'ptmz-native';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { mlp, points } from '../support/models.js';

const directory = mkdtempSync(join(tmpdir(), 'ptmz-cuda-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const cuda = { device: 'cuda' } as const;
const data = points(22, 6, 3, true);
const model = mlp([6, 5, 3], [6, 1, 1]);
const base = {
  ...{ model, data, batchSize: 8, epochs: 2, seeds: [3, 1, 4], lr: [0.1, 0.05, 0.2] },
  dtype: 'float64',
} satisfies TrainOptions;

/** Every number of a run: what it has learnt, the state of its optimizer, its history. */
function numbers(run: Run, members = run.seeds.map((_, m) => m)): number[] {
  const vectors = Object.entries(run.vectors).filter(([name, v]) => v && name !== 'history');
  const state = members.flatMap((m) => vectors.flatMap(([, vector]) => Array.from(vector.toArray(m) as Float64Array)));
  const history = run.history.flatMap((record) => members.flatMap((m) => of(record, m)));
  return [...state, ...history];
}

const of = ({ trainLoss, trainAccuracy, testLoss, testAccuracy }: EpochRecord, m: number): number[] => [
  ...[trainLoss[m]!, trainAccuracy[m]!, testLoss[m]!, testAccuracy[m]!],
];

/** The largest difference, relative where numbers are larger than 1. */
function gap(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, x, i) => {
    const y = b[i]!;
    if (Object.is(x, y) || x === y) return most;
    return Math.max(most, Math.abs(x - y) / Math.max(1, Math.abs(x)) || (Number.isNaN(x - y) ? Infinity : 0));
  }, 0);
}

const byteImages = (): DataSet => {
  const pixels = (i: number) => 1 + ((i * 37) % 251);
  const [count, channels, height, width] = [20, 2, 6, 5];
  const images = Uint8Array.from({ length: count * channels * height * width }, (_, i) => pixels(i));
  const labels = Array.from({ length: count }, (_, i) => (i * i) % 3);
  const normalise = { mean: [0.3, 0.6], std: [0.5, 0.25] };
  return arrays({ images, shape: [count, channels, height, width], labels, classes: 3, normalise });
};

describe('as on the CPU', () => {
  test.each<[string, Partial<TrainOptions>]>([
    ['SGD', {}],
    ['SGD, Nesterov, weight decay', { momentum: 0.8, nesterov: true, weightDecay: [0, 0.1, 0.01], schedule: 'cosine' }],
    ['Adam', { optimizer: { kind: 'adam', weightDecay: 0.1 }, lr: 0.01 }],
    ['AdamW', { optimizer: 'adamw', lr: 0.01 }],
    ['RMSprop', { optimizer: 'rmsprop', lr: 0.01 }],
    ['clipping', { clip: 0.05 }],
    ['a moving average', { average: 0.7 }],
    ['accumulation', { accumulate: 2 }],
    ['accumulation as the published zoos had it', { accumulate: 2, compat: 'ptmz' }],
    ['samples as stored', { shuffle: false }],
    ['batches that leave nothing over', { batchSize: 11 }],
    ['less than a batch', { batchSize: 40 }],
    ['evaluation of every other epoch', { epochs: 3, evaluateEvery: 2 }],
    ['all of it', { optimizer: 'adamw', lr: 0.01, clip: 0.05, average: 0.5, accumulate: 3, evaluateEvery: 2 }],
  ])('%s', async (_, options) => {
    using cpu = await train({ ...base, ...options });
    using gpu = await train({ ...base, ...options, ...cuda });
    expect(gpu.device).toBe('cuda:0');
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-10);
    expect(gpu.history).toHaveLength(options.epochs ?? 2);
  });

  test.each<[string, TrainOptions['augment']]>([
    ['crop and flip', { crop: { padding: 2 }, flip: 0.5 }],
    ['rotation', { crop: { padding: 1 }, flip: 0.5, rotate: 40 }],
  ])('augmented images: %s', async (_, augment) => {
    const options = { ...base, data: byteImages(), model: mlp([60, 4, 3], [2, 6, 5]), augment };
    using cpu = await train(options);
    using gpu = await train({ ...options, ...cuda });
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-10);
  });

  test('float32', async () => {
    using cpu = await train({ ...base, dtype: 'float32' });
    using gpu = await train({ ...base, dtype: 'float32', ...cuda });
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-5);
  });

  test('a ResNet, with running statistics', async () => {
    const images = await digits({ train: 12, test: 4 });
    const options = {
      depth: 18,
      width: 2,
      data: images,
      batchSize: 8,
      epochs: 1,
      seeds: [0, 1],
      dtype: 'float64',
    } as const;
    for (const accumulate of [1, 2]) {
      using cpu = prepareResNet({ ...options, accumulate });
      using gpu = prepareResNet({ ...options, accumulate, ...cuda });
      await Promise.all([cpu.train(), gpu.train()]);
      expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-9);
    }
  });

  test('a GPT-2, on windows of tokens, with dropout', async () => {
    const tokens = Array.from({ length: 120 }, (_, i) => (i * i) % 7);
    const words = text({ tokens, block: 8, test: 0.2 });
    const options = {
      ...{ dim: 8, heads: 2, depth: 1, dropout: 0.1, data: words, batchSize: 6, epochs: 1, seeds: [0, 2] },
      dtype: 'float64',
    } as const;
    using cpu = await trainGPT2(options);
    using gpu = await trainGPT2({ ...options, ...cuda });
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-10);
  });

  test('a problem without samples', async () => {
    const equation = { layers: [2, 6, 1], places: 8, times: 4, collocation: 10, beta: [1, 3] };
    const rates = { optimizer: 'adam', lr: 0.01, schedule: 'constant' } as const;
    const length = { seeds: [0, 1], epochs: 2, stepsPerEpoch: 3, dtype: 'float64' } as const;
    const options = { ...equation, ...rates, ...length };
    using cpu = await trainPINN(options);
    using gpu = await trainPINN({ ...options, ...cuda });
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-10);
  });
});

describe('L-BFGS', () => {
  const lbfgs = { lr: 1, optimizer: { kind: 'lbfgs', historySize: 5 } } as const;

  test.each<[string, Partial<TrainOptions>]>([
    ['all samples in one batch', {}],
    ['with a moving average', { average: 0.5 }],
    ['a batch that is larger than the samples', { batchSize: 64 }],
  ])('%s', async (_, options) => {
    const settings = { ...base, ...lbfgs, batchSize: 22, epochs: 6, ...options };
    using cpu = await train(settings);
    using gpu = await train({ ...settings, ...cuda });
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-7);
    expect(gpu.evaluations).toEqual(cpu.evaluations);
  });

  const equation = { layers: [2, 6, 1], places: 8, times: 4, collocation: 10, beta: [1, 3, 8], seeds: [0, 1, 2] };
  const problem = { ...equation, lr: 1, epochs: 2, stepsPerEpoch: 4, dtype: 'float64' } as const;

  test('equations with constants of their own; members that are done leave the others', async () => {
    using cpu = await trainPINN(problem);
    using gpu = await trainPINN({ ...problem, ...cuda });
    expect(gap(numbers(gpu), numbers(cpu))).toBeLessThan(1e-6);
    for (const m of [0, 1, 2]) {
      using alone = await trainPINN({ ...problem, ...cuda, beta: equation.beta[m]!, seeds: [m] });
      expect(numbers(alone)).toEqual(numbers(gpu, [m]));
    }
  });

  test('stopped and gone on: the same bits', async () => {
    using whole = await trainPINN({ ...problem, ...cuda });
    using run = preparePINN({ ...problem, ...cuda });
    for (const until of [1, 3]) await run.train({ until });
    await run.train();
    expect(numbers(run)).toEqual(numbers(whole));
  });
});

describe('members', () => {
  const unbounded = mlp([6, 5, 3], [6, 1, 1], 'relu');
  const runs = { ...base, ...cuda, dtype: 'float32', clip: 0.5, accumulate: 2, average: 0.5 } as const;

  test('three are three of one, bit for bit', async () => {
    using together = await train(runs);
    for (const [m, seed] of base.seeds.entries()) {
      using alone = await train({ ...runs, seeds: [seed], lr: base.lr[m]! });
      expect(numbers(alone)).toEqual(numbers(together, [m]));
    }
  });

  test('in chunks of one they are the same, too', async () => {
    using whole = await train(runs);
    // Training and evaluation need different amounts, and each says its own when it has too little.
    const need = async (memoryLimit: number): Promise<number> => {
      try {
        using _ = await train({ ...runs, memoryLimit });
        return memoryLimit;
      } catch (error) {
        return need(Number(/one member needs (\d+) bytes/.exec((error as Error).message)![1]));
      }
    };
    using chunked = await train({ ...runs, memoryLimit: await need(1) });
    expect(numbers(chunked)).toEqual(numbers(whole));
  });

  test.each([1, 2])(
    'one that diverges ends in that step, and no other notices (%i batches a step)',
    async (accumulate) => {
      const options = { ...base, ...cuda, model: unbounded, accumulate, average: 0.5 };
      using bad = await train({ ...options, lr: [0.1, 1e200, 0.2] });
      using cpu = await train({ ...options, lr: [0.1, 1e200, 0.2], device: 'cpu' });
      using good = await train(options);
      expect(bad.divergedAt).toEqual(cpu.divergedAt);
      expect(bad.divergedAt[1]).not.toBeNull();
      for (const m of [0, 2]) expect(numbers(bad, [m])).toEqual(numbers(good, [m]));
      expect(bad.history.at(-1)!.trainLoss[1]).toBeNaN();
      for (const name of ['params', 'velocity', 'average'] as const)
        expect([...bad.vectors[name]!.toArray(1)].every(Number.isFinite)).toBe(true);
    },
  );

  test('a run ends where all have diverged', async () => {
    using run = await train({ ...base, ...cuda, model: unbounded, lr: 1e200 });
    expect(run.finished).toBe(true);
    expect(run.divergedAt.every((step) => step !== null)).toBe(true);
  });
});

describe('stopping and going on', () => {
  const options = { ...base, ...cuda, dtype: 'float32', optimizer: 'adamw', lr: 0.01, average: 0.5 } as const;

  test('in the middle of an epoch: the same bits', async () => {
    using whole = await train(options);
    using run = prepare(options);
    await run.train({ until: 2 });
    expect(run.step).toBe(2);
    await run.train({ until: 4 });
    await run.train();
    expect(numbers(run)).toEqual(numbers(whole));
  });

  test('saved and loaded: the same bits; the CPU goes on within rounding, and says so', async () => {
    const target = join(directory, 'saved');
    using whole = await train(options);
    using first = prepare(options);
    await first.train({ until: 2, saveTo: target, saveEvery: { steps: 1 } });
    using second = await loadRun(target, { data, model, ...cuda });
    expect(second.device).toBe('cuda:0');
    expect(second.warnings).toEqual([]);
    await second.train();
    expect(numbers(second)).toEqual(numbers(whole));

    using onCpu = await loadRun(target, { data, model });
    expect(onCpu.device).toBe('cpu');
    expect(onCpu.warnings).toEqual([expect.stringContaining("device was 'cuda' and is 'cpu'")]);
    await onCpu.train();
    expect(gap(numbers(onCpu), numbers(whole))).toBeLessThan(1e-4);
  });

  test('an abort leaves whole steps', async () => {
    using whole = await train({ ...options, epochs: 30 });
    using run = prepare({ ...options, epochs: 30 });
    const controller = new AbortController();
    const training = run.train({ signal: controller.signal, onProgress: ({ step }) => step > 0 && controller.abort() });
    await expect(training).rejects.toMatchObject({ name: 'AbortError' });
    expect(run.step).toBeGreaterThan(0);
    expect(run.step).toBeLessThan(90);
    await run.train();
    expect(numbers(run)).toEqual(numbers(whole));
  });

  test('progress tells losses and the last record', async () => {
    const seen: unknown[] = [];
    using run = await train({ ...options, onProgress: ({ loss, last }) => seen.push([loss, last?.epoch]) });
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.at(-1)).toEqual([expect.any(Array), 2]);
    expect(run.history).toHaveLength(2);
  });
});

describe('errors', () => {
  const code = (expected: string, message: RegExp) =>
    expect.objectContaining({ code: expected, message: expect.stringMatching(message) });

  test('devices that are none, or not there', () => {
    expect(() => prepare({ ...base, device: 'gpu' })).toThrow(code('INVALID_ARGUMENT', /'cpu', 'cuda' or 'cuda:N'/));
    expect(() => prepare({ ...base, device: 'cuda:7' })).toThrow(code('CUDA_UNAVAILABLE', /'cuda:7'/));
  });

  test('too little memory: asked for and free are told, and the run is as before', async () => {
    using run = prepare({ ...base, ...cuda });
    const before = numbers(run);
    await expect(run.train({ memoryLimit: 1000 })).rejects.toThrow(
      code('OUT_OF_MEMORY', /one member needs \d+ bytes, 1000 are free; use a smaller batch or raise memoryLimit/),
    );
    expect(numbers(run)).toEqual(before);
    await run.train();
    expect(run.finished).toBe(true);
  });

  test('a population that does not fit the device gives back what it took', async () => {
    const seeds = Array.from({ length: 200_000 }, (_, i) => i);
    const wide = mlp([6, 20000, 3], [6, 1, 1]);
    expect(() => prepare({ ...base, model: wide, seeds, lr: 0.1, ...cuda })).toThrow(
      code('OUT_OF_MEMORY', /cuda:0: could not allocate \d+ bytes, \d+ are free/),
    );
    using run = await train({ ...base, ...cuda });
    expect((await evaluate(run, data.train)).loss).toHaveLength(3);
  });
});
