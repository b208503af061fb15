/** What a training on a CUDA device is shown: augmented images are the CPU's, tokens of files those of memory. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  arrays,
  evaluate,
  hessianTrace,
  prepareGPT2,
  text,
  tokens,
  train,
  trainGPT2,
  type Augment,
  type DataSet,
} from 'ptmz-native';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mlp } from '../support/models.js';
import { seen } from '../support/seen.js';

const cuda = { device: 'cuda' } as const;

describe('augmentation', () => {
  const { height, width, seed, cases } = JSON.parse(
    readFileSync(new URL('../fixtures/augmentations/expected.json', import.meta.url), 'utf8'),
  ) as { height: number; width: number; seed: number; cases: { channels: number; augment: Augment; shown: [] }[] };

  function pictures(channels: number, count: number): DataSet {
    const size = channels * height * width;
    const images = Uint8Array.from({ length: count * size }, (_, i) => (i * 29 + ((i * i) % 83)) % 251);
    const labels = Array.from({ length: count }, (_, i) => i % 2);
    const normalise = { mean: new Array<number>(channels).fill(0.25), std: new Array<number>(channels).fill(0.5) };
    return arrays({ images, shape: [count, channels, height, width], labels, classes: 2, normalise });
  }

  // Those that test/randomOps.test.ts compares with torchvision. A byte is 0.008 of a normalised image.
  test.each(cases)('$augment on $channels channels', async ({ channels, augment, shown }) => {
    const data = pictures(channels, 1);
    const cpu = await seen(data, augment, seed, shown.length);
    const gpu = await seen(data, augment, seed, shown.length, 'cuda');
    gpu.forEach((image, epoch) =>
      expect(Math.max(...image.map((x, i) => Math.abs(x - cpu[epoch]![i]!)))).toBeLessThan(1e-5),
    );
  });

  test('of a population, with everything at once: members and losses are the CPU’s', async () => {
    const augment: Augment = {
      ...{ crop: { padding: 2 }, flip: 0.5, rotate: 20 },
      jitter: { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2 },
      randAugment: { operations: 2 },
      erase: { probability: 0.5 },
    };
    const data = pictures(3, 20);
    const model = mlp([3 * height * width, 4, 2], [3, height, width]);
    const settings = { model, data, augment, batchSize: 8, epochs: 2, seeds: [3, 1, 4], dtype: 'float64' } as const;
    using cpu = await train(settings);
    using gpu = await train({ ...settings, ...cuda });
    gpu.history.forEach(({ trainLoss }, epoch) =>
      trainLoss.forEach((loss, m) => expect(loss).toBeCloseTo(cpu.history[epoch]!.trainLoss[m]!, 10)),
    );
    using alone = await train({ ...settings, ...cuda, seeds: [1] });
    expect(alone.history.map(({ trainLoss }) => trainLoss[0])).toEqual(
      gpu.history.map(({ trainLoss }) => trainLoss[1]),
    );
  });
});

describe.each([
  ['as a whole', ''],
  ['in windows', '0'],
])('tokens of a file, %s', (_, bytes) => {
  const directory = mkdtempSync(join(tmpdir(), 'ptmz-cuda-tokens-'));
  const words = Uint16Array.from({ length: 300 }, (_, i) => (i * i + 5 * (i >> 3)) % 11);
  const val = Uint16Array.from({ length: 80 }, (_, i) => (i * i) % 11);
  const network = { dim: 8, heads: 2, depth: 1, batchSize: 10, epochs: 2, seeds: [0, 1] } as const;
  beforeAll(() => {
    process.env['PTMZ_CUDA_TOKEN_BYTES'] = bytes;
  });
  afterAll(() => {
    delete process.env['PTMZ_CUDA_TOKEN_BYTES'];
    rmSync(directory, { recursive: true });
  });
  const files = () => {
    writeFileSync(join(directory, 'train.bin'), words);
    writeFileSync(join(directory, 'val.bin'), val);
    writeFileSync(join(directory, 'meta.json'), '{"vocabulary": 11}');
    return tokens(directory);
  };

  test.each([
    ['in an order of each member', {}, {}],
    ['that overlap, several batches a step', { stride: 5 }, { accumulate: 3 }],
    ['as stored', {}, { shuffle: false }],
  ])('train to the same bits as those in memory: %s', async (_, overlap, options) => {
    using file = await files();
    const data = file.windows({ block: 8, ...overlap });
    const resident = text({ tokens: words, test: val, vocab: 11, block: 8, ...overlap });
    using streamed = await trainGPT2({ ...network, ...cuda, ...options, data });
    using whole = await trainGPT2({ ...network, ...cuda, ...options, data: resident });
    expect(streamed.history).toEqual(whole.history);
    for (const m of [0, 1]) expect(streamed.stateDict(m)).toEqual(whole.stateDict(m));
  });

  test('are measured as those in memory', async () => {
    using file = await files();
    const data = file.windows({ block: 8 });
    const resident = text({ tokens: words, test: val, vocab: 11, block: 8 });
    using run = prepareGPT2({ ...network, ...cuda, data });
    expect(await evaluate(run, data.test!)).toEqual(await evaluate(run, resident.test!));
    const measure = { probes: 2, samples: 20, batchSize: 8 };
    expect(await hessianTrace(run, data.train, measure)).toEqual(await hessianTrace(run, resident.train, measure));
  });

  test('a run that is stopped within an epoch goes on with the same bits', async () => {
    using file = await files();
    const data = file.windows({ block: 8 });
    using whole = await trainGPT2({ ...network, ...cuda, data });
    using run = prepareGPT2({ ...network, ...cuda, data });
    for (const until of [1, 2, 6]) await run.train({ until });
    await run.train();
    expect(run.history).toEqual(whole.history);
    for (const m of [0, 1]) expect(run.stateDict(m)).toEqual(whole.stateDict(m));
  });

  test('a token that is none is told before the first step', async () => {
    using file = await files();
    using run = prepareGPT2({ ...network, ...cuda, data: file.windows({ block: 8 }) });
    writeFileSync(join(directory, 'train.bin'), words.with(200, 11));
    await expect(run.train()).rejects.toMatchObject({
      code: 'INDEX_OUT_OF_RANGE',
      message: expect.stringMatching(/train\.bin: token 11 at 200 is not in 0\.\.10/) as string,
    });
    expect(run.step).toBe(0);
    writeFileSync(join(directory, 'train.bin'), words);
    await run.train();
    expect(run.finished).toBe(true);
  });
});
