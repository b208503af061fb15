/** Colour jitter, RandAugment and erasing: against torchvision's own transforms, their distributions, and refusals. */
import { readFileSync } from 'node:fs';
import { arrays, prepare, type Augment, type DataSet } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { probe, seen } from './support/seen.js';

interface Expected {
  seed: number;
  height: number;
  width: number;
  cases: {
    channels: 1 | 3;
    augment: Augment;
    shown: { bytes: string; erased: [number, number, number, number] | null }[];
  }[];
  operations: { name: string; sign: number; bytes: string }[];
}
const expected = JSON.parse(
  readFileSync(new URL('./fixtures/augmentations/expected.json', import.meta.url), 'utf8'),
) as Expected;
const { height, width, seed } = expected;
const plane = height * width;
const [mean, std] = [0.25, 0.5];

/** One image of bytes, as test/fixtures/augmentations/make.py has it. */
function picture(channels: number, pixel = (i: number) => (i * 29 + ((i * i) % 83)) % 251): DataSet {
  const images = Uint8Array.from({ length: channels * plane }, (_, i) => pixel(i));
  const normalise = { mean: new Array<number>(channels).fill(mean), std: new Array<number>(channels).fill(std) };
  return arrays({ images, shape: [1, channels, height, width], labels: [0], classes: 2, normalise });
}

const toByte = (x: number) => Math.round((x * std + mean) * 255) + 0; // no -0
const isErased = (erased: [number, number, number, number] | null, i: number) => {
  if (!erased) return false;
  const [top, left, h, w] = erased;
  const [y, x] = [Math.floor((i % plane) / width), i % width];
  return y >= top && y < top + h && x >= left && x < left + w;
};

test.each(expected.cases)('$augment on $channels channels: every byte as torchvision makes it', async (row) => {
  const { channels, augment, shown } = row;
  const got = await seen(picture(channels), augment, seed, shown.length);
  got.forEach((image, epoch) => {
    const { bytes, erased } = shown[epoch]!;
    const reference = [...Buffer.from(bytes, 'base64')];
    const values = image.map((x, i) => (isErased(erased, i) ? Math.round(x * 1e4) / 1e4 || 0 : toByte(x)));
    expect(values, `epoch ${epoch}`).toEqual(reference.map((byte, i) => (isErased(erased, i) ? 0 : byte)));
  });
  expect(new Set(got.map((image) => image.map(toByte).join())).size).toBeGreaterThan(1);
});

test('RandAugment does each of its operations as often as the others, with either sign', async () => {
  const shown = await seen(picture(3), { randAugment: { operations: 1 } }, 5, 1400);
  const names = new Map(expected.operations.map(({ bytes, name, sign }) => [bytes, `${name} ${sign}`]));
  expect(names.size).toBe(expected.operations.length);
  const counts = new Map<string, number>();
  for (const image of shown) {
    const name = names.get(Buffer.from(image.map(toByte)).toString('base64'))!;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const wanted = (name: string) => (expected.operations.filter((o) => o.name === name).length === 2 ? 50 : 100);
  const distance = expected.operations.reduce((sum, { name, sign }) => {
    const [count, usual] = [counts.get(`${name} ${sign}`) ?? 0, wanted(name)];
    return sum + (count - usual) ** 2 / usual;
  }, 0);
  // Chi-squared with 22 degrees of freedom: 99.9 % lie below.
  expect(distance).toBeLessThan(48.3);
}, 30_000);

describe('draws', () => {
  const grey = picture(1, () => 100);

  test('brightness is uniform from 1 - b to 1 + b', async () => {
    const shown = await seen(grey, { jitter: { brightness: 0.4 } }, 1, 600);
    const factors = shown.map((image) => toByte(image[0]!) / 100).sort((a, b) => a - b);
    expect(factors[0]).toBeGreaterThanOrEqual(0.59);
    expect(factors.at(-1)).toBeLessThanOrEqual(1.4);
    // Kolmogorov and Smirnov: 1.95 / sqrt(n) at 0.1 %, and what cutting off to bytes moves.
    const distance = factors.reduce(
      (most, x, i) => Math.max(most, Math.abs((x + 0.005 - 0.6) / 0.8 - (i + 0.5) / 600)),
      0,
    );
    expect(distance).toBeLessThan(1.95 / Math.sqrt(600) + 0.01);
  }, 30_000);

  test('erasing: how often, how large, how high by its width, and where', async () => {
    const rectangles = (await seen(grey, { erase: { value: -7 } }, 2, 600)).flatMap((image) => {
      const at = [...image.keys()].filter((i) => Math.abs(image[i]! + 7) < 1e-3);
      if (at.length === 0) return [];
      const rows = at.map((i) => Math.floor(i / width));
      const columns = at.map((i) => i % width);
      const [top, left] = [Math.min(...rows), Math.min(...columns)];
      const [h, w] = [Math.max(...rows) - top + 1, Math.max(...columns) - left + 1];
      expect(at.length).toBe(h * w);
      return [{ top, left, h, w }];
    });
    // Binomial, p = 0.5: five standard deviations of 12.2. A few are so small that nothing is left of them.
    expect(Math.abs(rectangles.length - 300)).toBeLessThan(62);
    for (const { h, w } of rectangles) {
      expect(h * w).toBeLessThanOrEqual(
        (Math.sqrt(0.33 * plane * 3.3) + 0.5) * (Math.sqrt((0.33 * plane) / 0.3) + 0.5),
      );
      expect(h < height && w < width).toBe(true);
    }
    const share = rectangles.reduce((sum, { h, w }) => sum + h * w, 0) / rectangles.length / plane;
    expect(share).toBeGreaterThan(0.14);
    expect(share).toBeLessThan(0.2);
    for (const [name, size, limit] of [
      ['top', 'h', height],
      ['left', 'w', width],
    ] as const) {
      const places = rectangles.map((r) => r[name] / (limit - r[size]));
      expect(Math.abs(places.reduce((a, b) => a + b) / places.length - 0.5)).toBeLessThan(0.1);
      expect([Math.min(...places), Math.max(...places)]).toEqual([0, 1]);
    }
  }, 30_000);

  test('noise is normal, and values are those of the channels', async () => {
    const noisy = await seen(grey, { erase: { probability: 1, scale: [0.3, 0.3], value: 'random' } }, 3, 40);
    const noise = noisy.flatMap((image) => image.filter((x) => Math.abs(x - (100 / 255 - mean) / std) > 1e-6));
    const average = noise.reduce((a, b) => a + b) / noise.length;
    const variance = noise.reduce((sum, x) => sum + (x - average) ** 2, 0) / noise.length;
    expect(noise.length).toBeGreaterThan(500);
    expect(Math.abs(average)).toBeLessThan(0.2);
    expect(Math.abs(variance - 1)).toBeLessThan(0.3);
    const [image] = await seen(picture(3), { erase: { probability: 1, scale: [0.3, 0.3], value: [1, 2, 3] } }, 3, 1);
    const rounded = image!.map((x) => Math.round(x * 1e4) / 1e4);
    const places = [1, 2, 3].map((value, c) =>
      rounded.slice(c * plane, (c + 1) * plane).flatMap((x, i) => (x === value ? [i] : [])),
    );
    expect(places[0]!.length).toBeGreaterThan(10);
    expect(places[1]).toEqual(places[0]);
    expect(places[2]).toEqual(places[0]);
  });

  test('they go on with crop, flip and rotation, in a population, on any thread', async () => {
    const images = Uint8Array.from({ length: 12 * 3 * plane }, (_, i) => (i * 37) % 251);
    const data = arrays({ images, shape: [12, 3, height, width], labels: Array.from({ length: 12 }, (_, i) => i % 2) });
    const augment: Augment = {
      ...{ crop: { padding: 2 }, flip: 0.5, rotate: 20, jitter: { brightness: 0.5, hue: 0.1 } },
      ...{ randAugment: {}, erase: { value: 'random' } },
    };
    const settings = { model: probe([3, height, width]), data, batchSize: 5, epochs: 3, augment, lr: 0.05 } as const;
    using alone = await prepare({ ...settings, seeds: [6] }).train({ threads: 1 });
    using together = await prepare({ ...settings, seeds: [4, 6] }).train({ threads: 2 });
    using plain = await prepare({ ...settings, augment: {}, seeds: [6] }).train();
    expect(together.stateDict(1)).toEqual(alone.stateDict(0));
    expect(together.stateDict(0)).not.toEqual(alone.stateDict(0));
    expect(plain.stateDict(0)).not.toEqual(alone.stateDict(0));
    expect(alone.settings.augment).toEqual({
      ...{ crop: { padding: 2 }, flip: 0.5, rotate: 20 },
      jitter: { brightness: [0.5, 1.5], contrast: [1, 1], saturation: [1, 1], hue: [-0.1, 0.1] },
      randAugment: { operations: 2, magnitude: 9, bins: 31 },
      erase: { probability: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3], value: 'random' },
    });
  });
});

describe('refused before any work', () => {
  const make = (augment: unknown, data: DataSet) => () => {
    const [, channels] = data.train.shape;
    prepare({
      model: probe([channels, height, width]),
      data,
      batchSize: 1,
      epochs: 1,
      seeds: [0],
      augment: augment as Augment,
    });
  };

  test.each<[object, RegExp]>([
    [{ jitter: 0.4 }, /augment\.jitter.*0\.4/],
    [{ jitter: { gamma: 1 } }, /gamma/],
    [{ jitter: { brightness: -1 } }, /augment\.jitter\.brightness.*-1/],
    [{ jitter: { hue: 0.6 } }, /augment\.jitter\.hue.*0\.6/],
    [{ jitter: { hue: [-0.6, 0] } }, /augment\.jitter\.hue\[0\].*-0\.6/],
    [{ jitter: { contrast: [1.2, 0.8] } }, /smaller number first for augment\.jitter\.contrast/],
    [{ jitter: { saturation: [1] } }, /array of length 2 for augment\.jitter\.saturation/],
    [{ randAugment: { magnitude: 31 } }, /augment\.randAugment\.magnitude.*31/],
    [{ randAugment: { operations: 0 } }, /augment\.randAugment\.operations.*0/],
    [{ randAugment: { bins: 1 } }, /augment\.randAugment\.bins.*1/],
    [{ erase: { probability: 2 } }, /augment\.erase\.probability.*2/],
    [{ erase: { scale: [0.5, 1.5] } }, /augment\.erase\.scale\[1\].*1\.5/],
    [{ erase: { ratio: [0, 1] } }, /augment\.erase\.ratio\[0\].*0/],
    [{ erase: { value: 'noise' } }, /augment\.erase\.value.*'noise'/],
    [{ erase: { value: [1, 2] } }, /one number or 3, one per channel for augment\.erase\.value/],
  ])('%j', (augment, message) => {
    expect(make(augment, picture(3))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(make(augment, picture(3))).toThrow(message);
  });

  test('colours of images that have none, or are no bytes', () => {
    const two = arrays({ images: new Uint8Array(2 * plane), shape: [1, 2, height, width], labels: [0], classes: 2 });
    const floats = arrays({ images: new Float32Array(plane), shape: [1, 1, height, width], labels: [0], classes: 2 });
    expect(make({ randAugment: {} }, two)).toThrow(/1 or 3 channels for augment\.randAugment but received 2 channels/);
    expect(make({ jitter: { hue: 0.1 } }, floats)).toThrow(
      /images of bytes for augment\.jitter but received images of float32/,
    );
    expect(make({ erase: {} }, floats)).not.toThrow();
  });
});
