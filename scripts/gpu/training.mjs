// Short trainings of several kinds, for comparing devices and for equality of bits on one of them.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { arrays, digits, prepare, resnet, gpt2, text, tokens, convectionEquation } = await import('../../dist/index.js');

const images = await digits({ train: 24, test: 8 });
const split = { train: Uint16Array.from({ length: 96 }, (_, i) => (i * i) % 7), val: new Uint16Array(24).fill(3) };
const block = 8;
const words = text({ tokens: split.train, test: split.val, vocab: 7, block });
const network = resnet({ depth: 18, width: 2, input: [1, 8, 8], classes: 10 });
// Colours for what changes hue and saturation.
const coloured = (count) => ({
  ...{ shape: [count, 3, 8, 8], images: Uint8Array.from({ length: count * 3 * 64 }, (_, i) => (i * i * 31) % 251) },
  labels: Array.from({ length: count }, (_, i) => i % 10),
});
const colours = arrays({ ...coloured(24), test: coloured(8), classes: 10 });
const common = { epochs: 2, seeds: [0, 5, 9], lr: [0.1, 0.05, 0.02] };

/** The training that reads tokens. */
export const ofWords = 'tiny GPT-2, AdamW';

/** Options by name; the first one is the one that is looked at most closely. */
export const trainings = {
  'ResNet-18 of width 2, SGD, augmented': {
    ...{ ...common, model: network, data: images, batchSize: 10 },
    augment: { crop: { padding: 1 }, flip: 0.5, rotate: 15 },
  },
  'ResNet-18 of width 2, colours, RandAugment, erasing': {
    ...{
      ...common,
      model: resnet({ depth: 18, width: 2, input: [3, 8, 8], classes: 10 }),
      data: colours,
      batchSize: 10,
    },
    augment: {
      jitter: { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
      ...{ randAugment: { operations: 2 }, erase: { probability: 0.5 } },
    },
  },
  'ResNet-18 of width 2, AdamW, clipped, two batches a step': {
    ...{ ...common, model: network, data: images, batchSize: 8, accumulate: 2, clip: 0.5, average: 0.9 },
    ...{ optimizer: 'adamw', lr: 1e-3 },
  },
  [ofWords]: {
    ...{ ...common, model: gpt2({ vocab: 7, block, dim: 8, heads: 2, depth: 1, dropout: 0.1 }), data: words },
    ...{ batchSize: 6, optimizer: 'adamw', lr: 1e-3 },
  },
  'equation without samples, RMSprop': {
    ...{ ...common, model: convectionEquation({ layers: [2, 6, 1], places: 8, times: 4, collocation: 10 }) },
    ...{ constants: { beta: 3 }, stepsPerEpoch: 4, optimizer: 'rmsprop', lr: 1e-3 },
  },
};

/** All numbers of each member after a training: what it learnt, the optimizer's state, its history. */
export async function trained(name, { member, stops = [], job = {}, ...settings } = {}) {
  const options = { ...trainings[name], ...settings };
  if (member !== undefined) options.seeds = [options.seeds[member]];
  if (member !== undefined && Array.isArray(options.lr)) options.lr = options.lr[member];
  const run = prepare(options);
  try {
    for (const until of stops) await run.train({ ...job, until });
    await run.train(job);
    const vectors = Object.entries(run.vectors).filter(([key, vector]) => vector && key !== 'history');
    return run.seeds.map((_, m) => [
      ...vectors.flatMap(([, vector]) => [...vector.toArray(m)]),
      ...run.history.flatMap((record) =>
        ['trainLoss', 'trainAccuracy', 'testLoss', 'testAccuracy'].map((key) => record[key][m]),
      ),
    ]);
  } finally {
    run.dispose();
  }
}

/** The same of {@link ofWords} with its tokens in a file, of which the device takes so many bytes as a whole. */
export async function trainedOnFile(bytes, settings) {
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-tokens-'));
  for (const [name, own] of Object.entries(split)) writeFileSync(join(folder, `${name}.bin`), own);
  writeFileSync(join(folder, 'meta.json'), '{"vocabulary": 7}');
  const file = await tokens(folder);
  process.env.PTMZ_CUDA_TOKEN_BYTES = String(bytes);
  try {
    return await trained(ofWords, { ...settings, data: file.windows({ block }) });
  } finally {
    delete process.env.PTMZ_CUDA_TOKEN_BYTES;
    file[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  }
}

/** A hash of the bits of numbers. */
export const digestOf = (numbers) =>
  createHash('sha256')
    .update(Buffer.from(Float64Array.from(numbers.flat()).buffer))
    .digest('hex')
    .slice(0, 16);

/** The largest difference of two trainings, relative where numbers are larger than 1. */
export function gapOf(a, b) {
  const [left, right] = [a.flat(), b.flat()];
  if (left.length !== right.length) return Infinity;
  const gaps = left.map((x, i) => (Object.is(x, right[i]) ? 0 : Math.abs(x - right[i]) / Math.max(1, Math.abs(x))));
  return gaps.reduce((most, gap) => (Number.isNaN(gap) ? Infinity : Math.max(most, gap)), 0);
}

/** What one member needs of the device's memory in a training: the least limit that none of its programs refuses. */
export async function leastMemory(name, settings) {
  for (let memoryLimit = 1; ;) {
    try {
      await trained(name, { ...settings, job: { memoryLimit } });
      return memoryLimit;
    } catch (error) {
      const need = Number(/one member needs (\d+) bytes/.exec(error.message)?.[1]);
      if (!(need > memoryLimit)) throw error;
      memoryLimit = need;
    }
  }
}
