/** Data sets: arrays, IDX files and what is wrong with them, the data sets of the package. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { arrays, digits, fashionMnist, PtmzError, readIdx, type ArraysOptions } from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';
import { balancedSubset } from '../lib/data/subset.js';

const dir = mkdtempSync(join(tmpdir(), 'ptmz-data-'));
afterAll(() => rmSync(dir, { recursive: true }));

const idx = (shape: number[], data: Uint8Array | number[], type = 8, rank = shape.length) => {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt8(type, 2);
  header.writeUInt8(rank, 3);
  shape.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, Uint8Array.from(data)]);
};
let files = 0;
const file = (bytes: Uint8Array, name = `file${files++}`) => {
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
};
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: PtmzError) => error,
  );

describe('IDX files', () => {
  const bytes = idx([2, 3], [1, 2, 3, 4, 5, 6]);

  test('plain and gzipped', async () => {
    for (const path of [file(bytes), file(gzipSync(bytes))]) {
      const { shape, data } = await readIdx(path);
      expect(shape).toEqual([2, 3]);
      expect([...data]).toEqual([1, 2, 3, 4, 5, 6]);
    }
  });

  const zipped = gzipSync(bytes);
  const flipped = Buffer.from(zipped);
  flipped[zipped.length - 6]! ^= 1; // in the checksum
  test.each<[string, Uint8Array, RegExp]>([
    ['an empty file', Buffer.alloc(0), /IDX header.*0 bytes/],
    ['three bytes', bytes.subarray(0, 3), /IDX header.*3 bytes/],
    ['another kind of file', Buffer.from('PK\x03\x04 not idx'), /two zero bytes/],
    ['a cut header', bytes.subarray(0, 10), /cut off after 10 of 12/],
    ['a cut body', bytes.subarray(0, 17), /truncated.*2 x 3 = 6 bytes, there are 5/],
    ['bytes too many', Buffer.concat([bytes, Buffer.alloc(1)]), /followed by something else/],
    ['floats', idx([1], [0, 0, 0, 0], 0x0d), /uint8.*float32/],
    ['an unknown type', idx([1], [0], 0x42), /0x42/],
    ['no dimensions', idx([], [], 8, 0), /1 to 4 dimensions.*0/],
    ['nine dimensions', idx([1], [0], 8, 9), /1 to 4 dimensions.*9/],
    ['an empty dimension', idx([0, 5], []), /zero/],
    ['sizes whose product overflows', idx([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [1]), /truncated/],
    ['a cut gzip stream', zipped.subarray(0, zipped.length - 9), /gzip data is damaged/],
    ['a wrong gzip checksum', flipped, /gzip data is damaged/],
  ])('%s is refused', async (_, content, message) => {
    const path = file(content);
    const error = await failure(readIdx(path));
    expect(error).toBeInstanceOf(PtmzError);
    expect(error).toMatchObject({ code: 'DATA_MALFORMED', message: expect.stringMatching(message) });
    expect(error!.message).toContain(path);
  });

  test('a missing file and a folder', async () => {
    expect(await failure(readIdx(join(dir, 'none')))).toMatchObject({ code: 'DATA_MISSING' });
    expect(await failure(readIdx(dir))).toMatchObject({ code: 'IO_ERROR' });
    expect(await failure(readIdx(''))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('arrays', () => {
  const images = Uint8Array.from({ length: 24 }, (_, i) => 10 * i);
  const good: ArraysOptions = { images, shape: [2, 3, 2, 2], labels: [1, 0], classes: 2 };

  test('statistics are those of the channels, images stay as they are', () => {
    const { train, test: none, classes, name } = arrays(good);
    expect([train.count, train.classes, classes, name, none]).toEqual([2, 2, 2, 'arrays', undefined]);
    expect([...train.labels]).toEqual([1, 0]);
    expect([...train.image(1)]).toEqual([...images.subarray(12)]);
    const channel = (c: number) => [0, 12].flatMap((at) => [...images.subarray(at + 4 * c, at + 4 * c + 4)]);
    for (let c = 0; c < 3; c++) {
      const values = channel(c).map((x) => x / 255);
      const mean = values.reduce((a, b) => a + b) / 8;
      expect(train.normalisation.mean[c]).toBeCloseTo(mean, 14);
      expect(train.normalisation.std[c]! ** 2).toBeCloseTo(values.reduce((a, x) => a + (x - mean) ** 2, 0) / 8, 14);
    }
    train.dispose();
    expect(() => train.image(0)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });

  test('classes may be left out, test images take the normalisation of the training images', () => {
    const constant = { images: new Float32Array(4).fill(3), shape: [4, 1, 1, 1], labels: [0, 4, 1, 1] } as const;
    const data = arrays({ ...constant, test: constant });
    expect(data.classes).toBe(5);
    expect(data.train.normalisation).toEqual({ mean: [3], std: [1] });
    expect(data.test!.normalisation).toBe(data.train.normalisation);
  });

  test.each<[string, Partial<Record<keyof ArraysOptions, unknown>>, RegExp]>([
    ['too few pixels', { images: images.subarray(1) }, /2 x 3 x 2 x 2 = 24 values for images.*23/],
    ['ordinary numbers', { images: [...images] }, /Uint8Array or a Float32Array for images/],
    ['NaN pixels', { images: new Float32Array(24).fill(NaN, 5, 6) }, /finite number for images\[5\].*NaN/],
    ['a shape of three', { shape: [2, 3, 4] }, /array of length 4 for shape/],
    ['no images', { images: new Uint8Array(0), shape: [0, 3, 2, 2], labels: [] }, /shape\[0\].*0/],
    ['too few labels', { labels: [1] }, /2 class numbers.*labels.*1/],
    ['a label too large', { labels: [0, 2] }, /integer between 0 and 1 for labels\[1\].*2/],
    ['a negative label', { labels: [-1, 0] }, /labels\[0\].*-1/],
    ['half a label', { labels: [0.5, 0] }, /labels\[0\].*0\.5/],
    ['an unknown option', { class: 2 } as object, /only the keys.*'class'/],
    ['a deviation of zero', { normalise: { mean: [0, 0, 0], std: [1, 0, 1] } }, /normalise\.std\[1\].*0/],
    ['too few means', { normalise: { mean: [0], std: [1, 1, 1] } }, /normalise\.mean/],
    ['test images of another size', { test: { ...good, classes: undefined } }, /only the keys/],
    [
      'test images of another shape',
      { test: { images, shape: [2, 1, 4, 3], labels: [0, 0] } },
      /images of 3 x 2 x 2.*test\.shape/,
    ],
  ])('%s are refused', (_, change, message) => {
    const call = () => arrays({ ...good, ...change } as ArraysOptions);
    expect(call).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(call).toThrow(message);
  });
});

test('a balanced subset takes the first of every class and fills up from others', () => {
  expect(balancedSubset([0, 0, 0, 1, 1, 2], 3, 4)).toEqual([0, 1, 3, 5]);
  expect(balancedSubset([0, 0, 0, 0, 1, 2], 3, 5)).toEqual([0, 1, 2, 4, 5]);
});

describe('digits', () => {
  test('all of them', async () => {
    const { train, test: rest, classes, name } = await digits();
    expect([train.shape, rest!.shape, classes, name]).toEqual([[1437, 1, 8, 8], [360, 1, 8, 8], 10, 'digits']);
    // The first image of the data set, a zero.
    expect([...train.image(0).subarray(0, 16)]).toEqual([0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]);
    expect([...train.labels.subarray(0, 10)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('a part has equally many of every class', async () => {
    const { train } = await digits({ train: 95, test: 10 });
    const counts = Array.from({ length: 10 }, (_, c) => train.labels.filter((label) => label === c).length);
    expect(counts).toEqual([10, 10, 10, 10, 10, 9, 9, 9, 9, 9]);
    expect(await failure(digits({ train: 1438 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('Fashion-MNIST', () => {
  const write = (images: Uint8Array, labels: Uint8Array, folder: string) => {
    for (const part of ['train', 't10k']) {
      file(gzipSync(images), join(folder, `${part}-images-idx3-ubyte.gz`));
      file(labels, join(folder, `${part}-labels-idx1-ubyte`));
    }
  };
  const pixels = idx([3, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

  test('is read from a folder, files gzipped or not', async () => {
    write(pixels, idx([3], [7, 8, 9]), '.');
    const data = await fashionMnist({ dir, train: 2 });
    expect([data.train.shape, data.test!.shape, data.classes]).toEqual([[2, 1, 2, 2], [3, 1, 2, 2], 10]);
    expect([...data.train.image(1)]).toEqual([5, 6, 7, 8]);
  });

  test.each([
    ['labels and images that do not fit', idx([2], [1, 2]), /3 labels for as many images.*2/],
    ['a label out of range', idx([3], [1, 10, 2]), /label 10 of image 1 is not below 10/],
  ])('%s are refused', async (_, labels, message) => {
    write(pixels, labels, '.');
    expect(await failure(fashionMnist({ dir }))).toMatchObject({
      code: 'DATA_MALFORMED',
      message: expect.stringMatching(message),
    });
  });

  test('a folder without the files gives a hint', async () => {
    const error = await failure(fashionMnist({ dir: join(dir, 'nowhere') }));
    expect(error).toMatchObject({ code: 'DATA_MISSING', hint: expect.stringContaining('apt install') });
    expect(await failure(fashionMnist({ train: 0 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
