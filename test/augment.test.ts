/** Augmentation: against a step-by-step reference of crop, flip and rotation, and what it may and may not depend on. */
import { arrays, evaluate, prepare, PtmzError, type Augment, type DataSet, type TrainOptions } from 'ptmz-native';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { augmentWords } from './support/philox.js';
import { probe, seen } from './support/seen.js';

const [channels, height, width] = [2, 6, 5];
const plane = height * width;
const normalise = { mean: [0.3, 0.6], std: [0.5, 0.25] };

/** Images without two equal pixels in a channel, so that each one that is moved is seen. */
function images(count: number, kind: 'bytes' | 'floats' = 'bytes'): DataSet {
  const bytes = Uint8Array.from({ length: count * channels * plane }, (_, i) => 1 + ((i * 37) % 251));
  const pixels = kind === 'bytes' ? bytes : Float32Array.from(bytes, (x) => x / 255);
  const labels = Array.from({ length: count }, (_, i) => i % 2);
  const shape = [count, channels, height, width] as const;
  return arrays({ images: pixels, shape, labels, normalise, test: { images: pixels, shape, labels } });
}

const model = probe([channels, height, width]);

type Image = number[][];

/** A crop out of the image with zeros around it. */
function crop(image: Image, padding: number, down: number, right: number): Image {
  const zeros = () => new Array<number>(width + 2 * padding).fill(0);
  const padded = Array.from({ length: height + 2 * padding }, zeros);
  image.forEach((row, y) => row.forEach((pixel, x) => (padded[y + padding]![x + padding] = pixel)));
  return image.map((row, y) => row.map((_, x) => padded[y + down]![x + right]!));
}

/** Counter-clockwise by degrees, about the centre: nearest pixels in 16.16 fixed point, as Pillow does it. */
function rotate(image: Image, degrees: number): Image {
  const angle = (degrees * Math.PI) / 180;
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const fixed = (x: number) => Math.floor(x * 65536 + 0.5);
  const middle = [image[0]!.length / 2, image.length / 2] as const;
  const from = (x: number, y: number) => [
    cosine * (x - middle[0]) - sine * (y - middle[1]) + middle[0],
    sine * (x - middle[0]) + cosine * (y - middle[1]) + middle[1],
  ];
  const [x0, y0] = from(0.5, 0.5).map(fixed) as [number, number];
  return image.map((row, i) =>
    row.map((_, j) => {
      const [x, y] = [x0 + j * fixed(cosine) + i * fixed(-sine), y0 + j * fixed(sine) + i * fixed(cosine)];
      return image[Math.floor(y / 65536)]?.[Math.floor(x / 65536)] ?? 0;
    }),
  );
}

/** One channel of a sample as the reference sees it. */
function augmented(pixels: number[], { crop: c, flip = 0, rotate: degrees = 0 }: Augment, words: number[]): number[] {
  let image: Image = Array.from({ length: height }, (_, y) => pixels.slice(y * width, (y + 1) * width));
  const padding = c?.padding ?? 0;
  const [down, right] = [0, 1].map((i) => Math.floor((words[i]! * (2 * padding + 1)) / 2 ** 32)) as [number, number];
  const unit = (bits: number) => (bits >>> 8) * 2 ** -24;
  image = crop(image, padding, down, right);
  if (unit(words[2]!) < flip) image = image.map((row) => [...row].reverse());
  if (degrees > 0) image = rotate(image, (2 * unit(words[3]!) - 1) * degrees);
  return image.flat();
}

function expected(data: DataSet, augment: Augment, seed: number, epoch: number): number[] {
  const words = augmentWords(seed, epoch, 0);
  const pixels = Array.from(data.train.image(0));
  const scale = data.train.image(0) instanceof Uint8Array ? 1 / 255 : 1;
  return normalise.mean.flatMap((mean, c) =>
    augmented(pixels.slice(c * plane, (c + 1) * plane), augment, words).map(
      (x) => (x * scale - mean) / normalise.std[c]!,
    ),
  );
}

test('the reference turns images as Pillow does', () => {
  const { cases } = JSON.parse(readFileSync(new URL('fixtures/pil_rotations.json', import.meta.url), 'utf8')) as {
    cases: { width: number; height: number; degrees: number; source: number[] }[];
  };
  expect(cases.length).toBeGreaterThan(50);
  for (const { width: w, height: h, degrees, source } of cases) {
    const numbered = Array.from({ length: h }, (_, y) => Array.from({ length: w }, (_, x) => y * w + x + 1));
    expect(rotate(numbered, degrees).flat(), `${w} x ${h} by ${degrees}`).toEqual(source.map((pixel) => pixel + 1));
  }
});

describe('each epoch shows the image as the reference does', () => {
  test.each<[string, Augment, 'bytes' | 'floats']>([
    ['crop', { crop: { padding: 2 } }, 'bytes'],
    ['a crop that may miss the image', { crop: { padding: 6 } }, 'bytes'],
    ['flip', { flip: 0.5 }, 'bytes'],
    ['always a flip', { flip: 1 }, 'bytes'],
    ['rotation', { rotate: 20 }, 'bytes'],
    ['half a turn', { rotate: 180 }, 'bytes'],
    ['all', { crop: { padding: 2 }, flip: 0.5, rotate: 20 }, 'bytes'],
    ['all, of floats', { crop: { padding: 2 }, flip: 0.5, rotate: 20 }, 'floats'],
    ['nothing', {}, 'bytes'],
  ])('%s', async (_, augment, kind) => {
    const data = images(1, kind);
    for (const seed of [3, 2 ** 40 + 7]) {
      const got = await seen(data, augment, seed, 8);
      got.forEach((image, epoch) => {
        const reference = expected(data, augment, seed, epoch);
        expect(Math.max(...image.map((x, i) => Math.abs(x - reference[i]!)))).toBeLessThan(1e-5);
      });
      const different = new Set(got.map((image) => image.map((x) => x.toFixed(3)).join()));
      if (augment.crop || augment.rotate) expect(different.size).toBeGreaterThan(2);
    }
  });
});

describe('it is a function of seed, epoch and sample', () => {
  const augment = { crop: { padding: 2 }, flip: 0.5, rotate: 20 };
  const weights = (data: DataSet, { threads = 1, ...rest }: Partial<TrainOptions> & { threads?: number }) => {
    const settings = { model, data, epochs: 3, augment, dtype: 'float64', lr: 0.05, batchSize: 12 } as const;
    const run = prepare({ ...settings, seeds: [5], ...rest });
    return run.train({ threads });
  };
  const bits = (run: Awaited<ReturnType<typeof weights>>, member: number) => [...run.stateDict(member)['w']!.data];

  test('not of other members and threads', async () => {
    const data = images(30);
    using alone = await weights(data, {});
    using together = await weights(data, { seeds: [4, 5, 6], threads: 2 });
    expect(bits(together, 1)).toEqual(bits(alone, 0));
    expect(bits(together, 0)).not.toEqual(bits(alone, 0));
  });

  test('not of the batch size', async () => {
    const data = images(30);
    // So small a rate keeps all probabilities at 1/2: the weights become a sum over the images seen, per batch size.
    const sums = async (batchSize: number) => {
      const optimizer = { kind: 'sgd', momentum: 0 } as const;
      using run = await weights(data, { batchSize, lr: 1e-9, optimizer, schedule: 'constant' });
      return bits(run, 0).map((w) => Number(w) * 1e9 * batchSize);
    };
    const all = await sums(30);
    for (const batchSize of [1, 6, 15])
      (await sums(batchSize)).forEach((x, i) => expect(Math.abs(x - all[i]!)).toBeLessThan(1e-5));
    expect(Math.max(...all.map(Math.abs))).toBeGreaterThan(1);
  });

  test('evaluation sees images as they are', async () => {
    const data = images(20);
    using run = await weights(data, {});
    const { loss } = await evaluate(run, data.train);
    expect(run.history.at(-1)!.testLoss).toEqual(loss);
    const w = bits(run, 0).map(Number);
    const own = Array.from({ length: 20 }, (_, n) => {
      const x = Array.from(data.train.image(n), (p, i) => {
        const c = Math.floor(i / plane);
        return (p / 255 - normalise.mean[c]!) / normalise.std[c]!;
      });
      const z = [0, 1].map((k) => x.reduce((sum, xi, i) => sum + xi * w[k * x.length + i]!, 0));
      return Math.log(Math.exp(z[0]!) + Math.exp(z[1]!)) - z[n % 2]!;
    });
    expect(loss[0]).toBeCloseTo(own.reduce((a, b) => a + b) / 20, 10);
  });
});

test.each<[object, RegExp]>([
  [{ crop: 4 }, /augment\.crop.*4/],
  [{ crop: { padding: -1 } }, /augment\.crop\.padding.*-1/],
  [{ crop: {} }, /augment\.crop\.padding.*undefined/],
  [{ flip: 2 }, /augment\.flip.*2/],
  [{ rotate: 200 }, /augment\.rotate.*200/],
  [{ rotation: 20 }, /rotation/],
])('%j is refused before any work', (augment, message) => {
  const make = () => prepare({ model, data: images(2), batchSize: 1, epochs: 1, seeds: [0], augment } as never);
  expect(make).toThrow(PtmzError);
  expect(make).toThrow(message);
});
