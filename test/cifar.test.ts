/** CIFAR-10 and CIFAR-100, binary and pickled, and what is wrong with their files. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cifar10, cifar100, type DataSet, type PtmzError } from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';

const root = mkdtempSync(join(tmpdir(), 'ptmz-cifar-'));
afterAll(() => rmSync(root, { recursive: true }));

const fixture = (name: string) => gunzipSync(readFileSync(new URL(`./fixtures/pickle/${name}.gz`, import.meta.url)));
const five = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`);
const layouts = {
  pickle10: [...five, 'test_batch'],
  binary10: [...five.map((name) => `${name}.bin`), 'test_batch.bin'],
  pickle100: ['train', 'test'],
  binary100: ['train.bin', 'test.bin'],
};
let folders = 0;
/** A folder with all files of a layout, each with the same content; `at` is where in it. */
function folder(layout: keyof typeof layouts, content: Uint8Array, at = '.'): string {
  const dir = join(root, String(folders++));
  mkdirSync(join(dir, at), { recursive: true });
  for (const name of layouts[layout]) writeFileSync(join(dir, at, name), content);
  return dir;
}
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: PtmzError) => error,
  );

/** Pixel k of image i of every fixture. */
const pixel = (i: number, k: number) =>
  (i * 7 + Math.floor(k / 1024) * 50 + Math.floor((k % 1024) / 32) * 3 + (k % 32) * 5) % 256;
function expectImages({ train, test }: DataSet, labels: number[]) {
  const times = train.count / 2;
  expect(train.shape).toEqual([2 * times, 3, 32, 32]);
  expect(test!.shape).toEqual([2, 3, 32, 32]);
  expect([...train.labels]).toEqual(Array(times).fill(labels).flat());
  expect([...test!.labels]).toEqual(labels);
  for (const split of [train, test!])
    for (let i = 0; i < split.count; i++) expect(split.image(i).every((x, k) => x === pixel(i % 2, k))).toBe(true);
}

describe('CIFAR-10', () => {
  const pickles = [0, 1, 2].map((p) => `python2_${p}.pkl`).concat([0, 1, 2, 3, 4, 5].map((p) => `cifar10_${p}.pkl`));
  test.each([...pickles, 'labels_int64.pkl', 'labels_big_endian.pkl', 'labels_scalars.pkl'])('%s', async (name) => {
    const data = await cifar10(folder('pickle10', fixture(name)));
    expect([data.name, data.classes, data.train.count]).toEqual(['CIFAR-10', 10, 10]);
    expectImages(data, [6, 9]);
  });

  test('binary', async () => {
    expectImages(await cifar10(folder('binary10', fixture('cifar10.bin'))), [6, 9]);
  });

  test('the folder that holds the unpacked archive', async () => {
    expectImages(await cifar10(folder('pickle10', fixture('cifar10_4.pkl'), 'cifar-10-batches-py')), [6, 9]);
    expectImages(await cifar10(folder('binary10', fixture('cifar10.bin'), 'cifar-10-batches-bin')), [6, 9]);
  });

  test('normalised by the usual values or by others', async () => {
    const dir = folder('binary10', fixture('cifar10.bin'));
    const usual = (await cifar10(dir)).test!.normalisation;
    expect(usual.mean.map((x) => x * 255)).toEqual([125.3, 123, 113.9].map((x) => expect.closeTo(x, 10)));
    expect(usual.std.map((x) => x * 255)).toEqual([63, 62.1, 66.7].map((x) => expect.closeTo(x, 10)));
    const normalise = { mean: [0, 0, 0], std: [1, 1, 1] };
    expect((await cifar10(dir, { normalise })).train.normalisation).toEqual(normalise);
  });

  test.each([
    [{ mean: [0], std: [1, 1, 1] }, /normalise\.mean/],
    [{ mean: [0, 0, 0], std: [1, 0, 1] }, /normalise\.std\[1\].*0/],
    [null as never, /normalise.*null/],
  ])('the normalisation %j is refused before a file is looked for', async (normalise, message) => {
    expect(await failure(cifar10(join(root, 'none'), { normalise }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message) as string,
    });
  });

  test('a part has equally many of every class, the first ones', async () => {
    const { train, test: rest } = await cifar10(folder('pickle10', fixture('cifar10_2.pkl')), { train: 20, test: 1 });
    expect([train.count, rest!.count]).toEqual([10, 1]);
    const part = await cifar10(folder('pickle10', fixture('cifar10_2.pkl')), { train: 4 });
    expect([...part.train.labels]).toEqual([6, 9, 6, 9]);
    expect([...part.train.image(3)]).toEqual([...part.train.image(1)]);
  });
});

describe('CIFAR-100 takes the fine labels', () => {
  test.each([
    ['pickle100', 'cifar100_4.pkl', '.', 'cifar-100-python'],
    ['binary100', 'cifar100.bin', '.', 'cifar-100-binary'],
  ] as const)('%s', async (layout, name, ...places) => {
    for (const at of places) {
      const data = await cifar100(folder(layout, fixture(name), at));
      expect([data.name, data.classes]).toEqual(['CIFAR-100', 100]);
      expect(data.train.normalisation).toEqual({ mean: [0.5071, 0.4867, 0.4408], std: [0.2675, 0.2565, 0.2761] });
      expectImages(data, [19, 99]);
    }
  });
});

describe('what is missing is listed', () => {
  test('an empty folder, and none', async () => {
    for (const dir of [join(root, 'nowhere'), mkdtempSync(join(root, 'empty'))]) {
      const error = await failure(cifar10(dir));
      expect(error).toMatchObject({ code: 'DATA_MISSING', hint: expect.stringContaining('cifar-10-batches-py') });
      for (const place of [dir, join(dir, 'cifar-10-batches-py'), join(dir, 'cifar-10-batches-bin')])
        expect(error!.message).toContain(`${place} has none of `);
      for (const name of ['data_batch_1, ', 'test_batch;', 'data_batch_5.bin']) expect(error!.message).toContain(name);
    }
  });

  test('some of the files', async () => {
    const dir = folder('pickle10', fixture('cifar10_4.pkl'));
    rmSync(join(dir, 'data_batch_3'));
    const error = await failure(cifar10(dir));
    expect(error).toMatchObject({ code: 'DATA_MISSING' });
    expect(error!.message).toMatch(/not all of data_batch_1, .*: data_batch_3 missing/);
  });

  test('folders named train and test are no files', async () => {
    const dir = join(root, 'folders');
    for (const name of ['train', 'test']) mkdirSync(join(dir, name), { recursive: true });
    expect(await failure(cifar100(dir))).toMatchObject({ code: 'DATA_MISSING' });
  });

  test('CIFAR-10 is not CIFAR-100', async () => {
    expect(await failure(cifar100(folder('binary10', fixture('cifar10.bin'))))).toMatchObject({ code: 'DATA_MISSING' });
  });
});

describe('refused', () => {
  const relabelled = (at: number, label: number, name = 'cifar10.bin') => {
    const content = fixture(name);
    content[at] = label;
    return content;
  };
  test.each<[string, keyof typeof layouts, () => Uint8Array, RegExp]>([
    ['an empty file', 'binary10', () => Buffer.alloc(0), /multiple of 3073 bytes.*0/],
    ['a cut record', 'binary10', () => fixture('cifar10.bin').subarray(1), /multiple of 3073 bytes.*6145/],
    ['records of CIFAR-10', 'binary100', () => fixture('cifar10.bin'), /multiple of 3074/],
    [
      'a label out of range',
      'binary10',
      () => relabelled(3073, 10),
      /label 10 of image 1 is not an integer from 0 to 9/,
    ],
    ['a fine label out of range', 'binary100', () => relabelled(1, 100, 'cifar100.bin'), /label 100 of image 0/],
    [
      'a cut pickle',
      'pickle10',
      () => fixture('cifar10_4.pkl').subarray(0, 3000),
      /byte 2 \(FRAME\): a frame of \d+ bytes, the file has/,
    ],
    [
      'more after the pickle',
      'pickle10',
      () => Buffer.concat([fixture('python2_2.pkl'), Buffer.from('N.')]),
      /2 bytes follow the pickle/,
    ],
    ['no pickle', 'pickle10', () => Buffer.from('<html>'), /byte 0: 0x3c is no opcode/],
    ['a list', 'pickle10', () => Buffer.from('].'), /expected a pickled dict, there is a list/],
    ['no data', 'pickle10', () => Buffer.from('}.'), /expected a key 'data', there are none/],
    [
      'data that are no array',
      'pickle10',
      () => Buffer.from('}U\x04dataNs.'),
      /array N x 3072 of uint8 as 'data', there is None/,
    ],
    [
      'fine labels only',
      'pickle10',
      () => fixture('cifar100_4.pkl'),
      /expected a key 'labels', there are .*"fine_labels"/,
    ],
    [
      'a label too many',
      'pickle10',
      () => inserted('K\x06K\x09', 'K\x06K\x09K\x01'),
      /expected 2 integers as 'labels', there are 3/,
    ],
    [
      'labels that are no numbers',
      'pickle10',
      () => inserted('K\x06K\x09', 'K\x06N'),
      /expected 2 integers as 'labels', there are others/,
    ],
    ['half a label', 'pickle10', () => inserted('K\x06K\x09', 'K\x06F0.5\n'), /label 0.5 of image 1/],
    ['a negative label', 'pickle10', () => inserted('K\x06K\x09', 'K\x06J\xff\xff\xff\xff'), /label -1 of image 1/],
    ['a label out of range in a pickle', 'pickle10', () => inserted('K\x06K\x09', 'K\x06K\x0a'), /label 10 of image 1/],
    [
      'images of another size',
      'pickle10',
      () => inserted('K\x02M\x00\x0c', 'K\x04M\x00\x06'),
      /array N x 3072 of uint8 as 'data', there is an array 4 x 1536 of u1/,
    ],
  ])('%s', async (_, layout, content, message) => {
    const dir = folder(layout, content());
    const error = await failure(layout.endsWith('100') ? cifar100(dir) : cifar10(dir));
    expect(error).toMatchObject({ code: 'DATA_MALFORMED', message: expect.stringMatching(message) });
    expect(error!.message).toContain(join(dir, layouts[layout][0]!));
  });
  const inserted = (old: string, replacement: string) =>
    Buffer.from(
      fixture('python2_2.pkl')
        .toString('latin1')
        .replace(old, () => replacement),
      'latin1',
    );

  test('a pickle that names a function is not run', async () => {
    const marker = join(root, 'marker');
    const dir = folder(
      'pickle10',
      Buffer.from(`\x80\x02cos\nsystem\nU${String.fromCharCode(6 + marker.length)}touch ${marker}\x85R.`, 'latin1'),
    );
    const error = await failure(cifar10(dir));
    expect(error).toMatchObject({ code: 'UNSAFE_PICKLE', message: expect.stringContaining('os.system') });
    expect(error!.message).toContain(`${join(dir, 'data_batch_1')}: byte 2`);
    expect(() => readFileSync(marker)).toThrow('ENOENT');
  });

  test('a file too large, before it is read', async () => {
    const dir = folder('binary10', Buffer.alloc(1));
    truncateSync(join(dir, 'data_batch_1.bin'), 2 ** 40);
    expect(await failure(cifar10(dir))).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  test('options', async () => {
    for (const options of [{ train: 0 }, { train: 50001 }, { test: 10001 }, { test: 1.5 }, { size: 3 } as object])
      expect(await failure(cifar10(root, options))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await failure(cifar100(''))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
