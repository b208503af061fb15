/** Data sets by name: specs, their readers, and where a name alone is enough. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { chooseData } from '../lib/cli/dataOptions.js';
import { dataIdentity } from '../lib/data/identity.js';
import {
  dataSources,
  findSource,
  formatDataSpec,
  openData,
  openImages,
  parseDataSpec,
  shortName,
} from '../lib/data/registry.js';
import { digits } from '../lib/index.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cli-data-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** An IDX file, written here byte by byte as the format says. */
function idx(shape: number[], bytes: number[]): Buffer {
  const sizes = shape.flatMap((size) => [0, 0, size >> 8, size & 255]);
  return Buffer.from([0, 0, 8, shape.length, ...sizes, ...bytes]);
}

describe('specs', () => {
  test.each([
    ['digits', { name: 'digits' }],
    ['fashion-mnist', { name: 'fashion-mnist' }],
    ['fashion-mnist:a b', { name: 'fashion-mnist', path: 'a b' }],
    ['cifar10:C:\\data', { name: 'cifar10', path: 'C:\\data' }],
  ])('%s', (text, spec) => expect(parseDataSpec(text)).toEqual(spec));

  test.each([
    ['mnist', /one of 'digits', 'fashion-mnist', 'cifar10'.*'mnist'/],
    ['', /non-empty/],
    ['digits:here', /Expected digits for data but received 'digits:here'/],
    ['cifar10', /Expected cifar10:DIR/],
    ['cifar10:', /Expected cifar10:DIR/],
    ['fashion-mnist:', /Expected fashion-mnist\[:DIR\]/],
  ])("'%s' is refused", (text, message) => {
    expect(() => parseDataSpec(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(() => parseDataSpec(text)).toThrow(message);
  });

  test('a kept path means the same in every folder', () => {
    expect(formatDataSpec({ name: 'idx', path: 'x' })).toBe(`idx:${join(process.cwd(), 'x')}`);
    expect(formatDataSpec({ name: 'digits' })).toBe('digits');
    expect(shortName({ name: 'image-folder', path: 'a/photos' })).toBe('photos');
    expect(shortName({ name: 'cifar10', path: 'a/photos' })).toBe('cifar10');
  });
});

test('only what needs no path is found by the name of its data set', () => {
  expect(findSource('digits')).toEqual({ name: 'digits' });
  expect(findSource('Fashion-MNIST')).toEqual({ name: 'fashion-mnist' });
  expect(findSource('CIFAR-10')).toBeUndefined();
  expect(findSource('photos')).toBeUndefined();
});

test('a source gives what its reader gives, under the name and with the counts of its row', async () => {
  const [data, direct] = [await openData({ name: 'digits' }), await digits()];
  expect(dataIdentity(data)).toEqual(dataIdentity(direct));
  const { title, counts } = dataSources['digits']!;
  expect([data.name, data.train.count, data.test!.count]).toEqual([title, ...counts!]);
  const part = await openData({ name: 'digits' }, { train: 20, test: 10 });
  expect(dataIdentity(part)).toEqual(dataIdentity(await digits({ train: 20, test: 10 })));
});

test('size is refused where images have theirs, a stopped signal stops', async () => {
  await expect(openData({ name: 'digits' }, { size: 4 })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringMatching(/size/) as string,
  });
  await expect(openData({ name: 'digits' }, { signal: AbortSignal.abort('stop') })).rejects.toBe('stop');
});

describe('idx folders', () => {
  const dir = join(folder, 'shapes');
  mkdirSync(dir);
  const write = (name: string, shape: number[], bytes: number[]) => writeFileSync(join(dir, name), idx(shape, bytes));
  const pixels = (n: number) => Array.from({ length: n * 4 }, (_, i) => i % 256);
  write('train-images-idx3-ubyte', [6, 2, 2], pixels(6));
  write('train-labels-idx1-ubyte', [6], [0, 0, 0, 1, 2, 1]);
  write('t10k-images-idx3-ubyte', [2, 2, 2], pixels(2));
  write('t10k-labels-idx1-ubyte', [2], [3, 0]);

  test('all images, as many classes as the labels of both files say', async () => {
    const data = await openImages({ name: 'idx', path: dir });
    expect([data.name, data.classes, data.train.shape, data.test!.shape]).toEqual([
      'shapes',
      4,
      [6, 1, 2, 2],
      [2, 1, 2, 2],
    ]);
    expect([...data.train.image(1)]).toEqual([4, 5, 6, 7]);
    expect([...data.test!.labels]).toEqual([3, 0]);
  });

  test('a part has as equal classes as there are', async () => {
    const data = await openImages({ name: 'idx', path: dir }, { train: 3, test: 1 });
    expect([...data.train.labels]).toEqual([0, 1, 2]);
    expect([...data.train.image(1)]).toEqual([12, 13, 14, 15]);
    expect(data.test!.count).toBe(1);
  });

  test('a bad count and a missing folder are named', async () => {
    await expect(openData({ name: 'idx', path: dir }, { train: 0 })).rejects.toThrow(/train/);
    await expect(openData({ name: 'idx', path: join(dir, 'none') })).rejects.toMatchObject({ code: 'DATA_MISSING' });
  });
});

test('options come before what was kept, and each can stand alone', () => {
  const saved = { data: 'idx:/kept', trainSamples: 5, testSamples: 3 };
  expect(chooseData({})).toBeUndefined();
  expect(chooseData({}, saved)).toMatchObject({ spec: { name: 'idx', path: '/kept' }, train: 5, test: 3 });
  expect(chooseData({ data: 'idx:/other', testSamples: 4 }, saved)).toMatchObject({
    spec: { path: '/other' },
    train: 5,
    test: 4,
  });
});
