/** SVHN, STL-10, TinyImageNet and coarse CIFAR-100: pixels and labels of small files, and damaged ones. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cifar100, PtmzError, stl10, svhn, tinyImageNet } from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';
import { loadSharp } from '../lib/data/imageDecoder.js';
import { readMat } from '../lib/data/matFile.js';
import { openData, parseDataSpec } from '../lib/data/registry.js';

const fixtures = fileURLToPath(new URL('./fixtures/', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'ptmz-sets-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
/** A new folder with these files: paths of others, or contents. */
function folder(files: Record<string, string | Uint8Array>): string {
  const dir = join(root, `set${folders++}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    if (typeof content === 'string') copyFileSync(content, join(dir, name));
    else writeFileSync(join(dir, name), content);
  }
  return dir;
}
const mat = (name: string) => join(fixtures, 'mat', `${name}.mat`);
const failure = async (promise: Promise<unknown>): Promise<PtmzError> =>
  promise.then(
    () => expect.fail('it was read'),
    (error: PtmzError) => error,
  );

describe('readMat', () => {
  test.each(['f8', 'f4', 'i8', 'i4', 'i2', 'i1', 'u8', 'u4', 'u2', 'u1'])(
    '%s of SciPy, column by column',
    async (name) => {
      const array = (await readMat(mat('types'), [name], 1000)).get(name)!;
      expect(array.shape).toEqual([2, 3]);
      expect(Array.from<number | bigint, number>(array.data, Number)).toEqual([0, 3, 1, 4, 2, 5]);
    },
  );
  test('small elements, three axes, names that are not there', async () => {
    const arrays = await readMat(mat('types'), ['small', 'cube', 'none'], 1000);
    expect(arrays.get('small')).toEqual({ name: 'small', shape: [1, 1], dtype: 'I16', data: Int16Array.of(7) });
    expect(arrays.get('cube')!.data[1 + 2 * 2 + 6 * 3]).toBe(12 + 2 * 4 + 3);
    expect(arrays.has('none')).toBe(false);
  });
  test('text, cells, structures and sparse arrays are passed over, or refused where they are asked for', async () => {
    expect([...(await readMat(mat('others'), ['X'], 4000)).keys()]).toEqual(['X']);
    for (const name of ['text', 'cells', 'record', 'sparse', 'z'])
      expect(await failure(readMat(mat('others'), [name], 4000))).toMatchObject({ code: 'UNSUPPORTED_DTYPE' });
  });
  test('an array that takes more than it may', async () => {
    expect(await failure(readMat(mat('train'), ['X'], 3000))).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
  test('cut anywhere, or changed at random: a typed error or an array', async () => {
    let state = 7;
    const random = (below: number) => (state = (state * 48271) % 2147483647) % below;
    for (const name of ['train', 'test', 'types']) {
      const whole = readFileSync(mat(name));
      const path = join(root, 'fuzz.mat');
      for (let round = 0; round < 150; round++) {
        const bytes = Buffer.from(round % 3 === 0 ? whole.subarray(0, random(whole.length)) : whole);
        if (round % 3 !== 0) for (let n = 1 + random(3); n > 0; n--) bytes[random(bytes.length)] = random(256);
        writeFileSync(path, bytes);
        await readMat(path, ['X', 'y', 'f8'], 2 ** 20).catch((error: unknown) =>
          expect(error).toBeInstanceOf(PtmzError),
        );
      }
    }
  });
});

describe('svhn', () => {
  const dir = folder({ 'train_32x32.mat': mat('train'), 'test_32x32.mat': mat('test') });
  test('pixels by row, classes with 0 for 10', async () => {
    const data = await svhn(dir);
    expect(data.train.shape).toEqual([5, 3, 32, 32]);
    expect([...data.train.labels]).toEqual([0, 1, 2, 0, 9]);
    expect([...data.test!.labels]).toEqual([3, 0]);
    for (const [n, c, h, w] of [
      [0, 0, 0, 1],
      [4, 2, 30, 3],
      [3, 1, 5, 31],
    ] as const)
      expect(data.train.image(n)[(c * 32 + h) * 32 + w]).toBe((7 * h + 3 * w + 50 * c + 11 * n) % 251);
    expect(data.train.normalisation.mean).toEqual([0.4377, 0.4438, 0.4728]);
  });
  test('a part, and by its name on the command line', async () => {
    const data = await openData(parseDataSpec(`svhn:${dir}`), { train: 3, test: 1 });
    expect([data.name, data.classes, data.train.count, data.test!.count]).toEqual(['SVHN', 10, 3, 1]);
  });
  test.each([
    ['complex', 'UNSUPPORTED_DTYPE', /'X' is no array of real numbers/],
    ['flat', 'DATA_MALFORMED', /32 x 32 x 3 x N as 'X', there is U8 32 x 32 x 3$/],
    ['eleven', 'DATA_MALFORMED', /label 11 of image 0/],
    ['types', 'DATA_MALFORMED', /there is none/],
  ])('%s.mat is refused', async (name, code, message) => {
    const error = await failure(svhn(folder({ 'train_32x32.mat': mat(name), 'test_32x32.mat': mat('test') })));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(error.message).toContain('train_32x32.mat');
  });
  test.each<[string, string, (bytes: Buffer) => Buffer]>([
    ['cut', 'TRUNCATED', (bytes) => bytes.subarray(0, bytes.length - 9)],
    ['big-endian', 'DATA_MALFORMED', (bytes) => (bytes.write('MI', 126), bytes)],
    ['MATLAB 7.3', 'DATA_MALFORMED', (bytes) => (bytes.write('MATLAB 7.3 MAT-file', 0), bytes)],
    ['something else', 'DATA_MALFORMED', () => Buffer.alloc(1000)],
    ['nothing', 'TRUNCATED', () => Buffer.alloc(0)],
    ['an empty compressed array', 'TRUNCATED', (bytes) => (bytes.writeUInt32LE(0, 132), bytes)],
  ])('%s: %s', async (_, code, change) => {
    const bytes = change(readFileSync(mat('train')));
    const dir = folder({ 'train_32x32.mat': bytes, 'test_32x32.mat': mat('test') });
    expect(await failure(svhn(dir))).toMatchObject({
      code,
      message: expect.stringContaining('train_32x32.mat') as string,
    });
  });
  test('no files, wrong options', async () => {
    expect(await failure(svhn(root))).toMatchObject({ code: 'DATA_MISSING', hint: expect.any(String) as string });
    expect(await failure(svhn(dir, { train: 73258 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await failure(svhn(dir, { extra: true } as never))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('stl10', () => {
  const pixel = (n: number, c: number, h: number, w: number) => (5 * h + 2 * w + 60 * c + 13 * n) % 241;
  const images = (count: number) => {
    const bytes = new Uint8Array(count * 3 * 96 * 96);
    // The format: image by image, channel by channel, column by column.
    let at = 0;
    for (let n = 0; n < count; n++)
      for (let c = 0; c < 3; c++)
        for (let w = 0; w < 96; w++) for (let h = 0; h < 96; h++) bytes[at++] = pixel(n, c, h, w);
    return bytes;
  };
  const files = (labels = [1, 10, 5]) => ({
    'stl10_binary/train_X.bin': images(3),
    'stl10_binary/train_y.bin': Uint8Array.from(labels),
    'stl10_binary/test_X.bin': images(1),
    'stl10_binary/test_y.bin': Uint8Array.of(2),
  });
  test('pixels by row, classes from 0', async () => {
    const data = await stl10(folder(files()));
    expect(data.train.shape).toEqual([3, 3, 96, 96]);
    expect([[...data.train.labels], [...data.test!.labels]]).toEqual([[0, 9, 4], [1]]);
    for (const [n, c, h, w] of [
      [0, 0, 0, 1],
      [2, 1, 95, 3],
      [1, 2, 7, 94],
    ] as const)
      expect(data.train.image(n)[(c * 96 + h) * 96 + w]).toBe(pixel(n, c, h, w));
  });
  test('labels and sizes that cannot be, files that are not there', async () => {
    for (const [labels, message] of [
      [[0, 1, 2], /label 0 of image 0/],
      [[1, 2, 11], /label 11 of image 2/],
      [[1, 2], /2 images take 55296 bytes, there are 82944/],
      [[], /no labels/],
    ] as const)
      expect(await failure(stl10(folder(files([...labels]))))).toMatchObject({
        code: 'DATA_MALFORMED',
        message: expect.stringMatching(message) as string,
      });
    expect(await failure(stl10(root))).toMatchObject({ code: 'DATA_MISSING' });
    expect(await failure(stl10(root, { test: 8001 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

const sharp = await loadSharp('tinyImageNet').catch(() => undefined);
describe.skipIf(!sharp)('tinyImageNet', () => {
  const image = (name: string) => join(fixtures, 'images', name);
  const annotations = 'val_0.JPEG\tn02\t0\t0\t62\t62\nval_1.JPEG\tn01\t0\t0\t62\t62\n';
  const files = (more: Record<string, string | Uint8Array> = {}) => ({
    'tiny-imagenet-200/wnids.txt': Buffer.from('n02\r\nn01\n'),
    'tiny-imagenet-200/train/n01/images/n01_1.JPEG': image('rgb.jpg'),
    'tiny-imagenet-200/train/n01/images/n01_0.JPEG': image('grey.JPEG'),
    'tiny-imagenet-200/train/n01/n01_boxes.txt': Buffer.from('n01_0.JPEG\t0\t0\t62\t62\n'),
    'tiny-imagenet-200/train/n02/images/n02_0.JPEG': image('rgb.jpg'),
    'tiny-imagenet-200/val/images/val_0.JPEG': image('rgb.jpg'),
    'tiny-imagenet-200/val/images/val_1.JPEG': image('grey.JPEG'),
    'tiny-imagenet-200/val/val_annotations.txt': Buffer.from(annotations),
    ...more,
  });
  test('classes in the order of wnids.txt, images by name, grey ones as RGB', async () => {
    const seen: number[] = [];
    const data = await tinyImageNet(folder(files()), { onProgress: ({ done }) => seen.push(done) });
    expect(data.classNames).toEqual(['n02', 'n01']);
    expect([[...data.train.labels], [...data.test!.labels]]).toEqual([
      [0, 1, 1],
      [0, 1],
    ]);
    expect(data.train.shape).toEqual([3, 3, 64, 64]);
    const grey = data.train.image(1);
    expect(grey.subarray(0, 4096)).toEqual(grey.subarray(4096, 8192));
    expect(data.train.image(0)).toEqual(data.train.image(2));
    expect(seen.at(-1)).toBe(5);
  });
  const name = (file: string) => `tiny-imagenet-200/${file}`;
  test.each<[string, string, RegExp, Record<string, string | Uint8Array>]>([
    ['a class twice', 'DATA_MALFORMED', /line 2 is no class/, { [name('wnids.txt')]: Buffer.from('n01\nn01\n') }],
    ['a class without images', 'DATA_MISSING', /n03/, { [name('wnids.txt')]: Buffer.from('n02\nn01\nn03\n') }],
    ['a class that leaves the folder', 'DATA_MALFORMED', /line 1/, { [name('wnids.txt')]: Buffer.from('../n01\n') }],
    ['no classes', 'DATA_MALFORMED', /no classes/, { [name('wnids.txt')]: Buffer.from('\n') }],
    [
      'an unknown class',
      'DATA_MALFORMED',
      /line 1.*'n09'/,
      { [name('val/val_annotations.txt')]: Buffer.from('val_0.JPEG\tn09\n') },
    ],
    [
      'a path',
      'DATA_MALFORMED',
      /no name of a file/,
      { [name('val/val_annotations.txt')]: Buffer.from('../x.JPEG\tn01\n') },
    ],
    [
      'an image twice',
      'DATA_MALFORMED',
      /line 3.*already/,
      { [name('val/val_annotations.txt')]: Buffer.from(`${annotations}val_0.JPEG\tn01\n`) },
    ],
    [
      'an image that is missing',
      'DATA_MISSING',
      /val_2/,
      { [name('val/val_annotations.txt')]: Buffer.from(`${annotations}val_2.JPEG\tn01\n`) },
    ],
    [
      'an image without a class',
      'DATA_MALFORMED',
      /no class for val_3/,
      { [name('val/images/val_3.JPEG')]: image('rgb.jpg') },
    ],
    [
      'no image',
      'DATA_MALFORMED',
      /n01_2\.JPEG: cannot be decoded/,
      { [name('train/n01/images/n01_2.JPEG')]: Buffer.from('x') },
    ],
  ])('%s: %s', async (_, code, message, more) => {
    const error = await failure(tinyImageNet(folder(files(more))));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
  test('no folder, a wrong option, an abort', async () => {
    expect(await failure(tinyImageNet(root))).toMatchObject({ code: 'DATA_MISSING' });
    const grey = { mean: [0], std: [1] };
    for (const options of [{ size: 64 }, { normalise: grey }, { parallel: 0 }])
      expect(await failure(tinyImageNet(root, options as never))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const signal = AbortSignal.abort('enough');
    await expect(tinyImageNet(folder(files()), { signal })).rejects.toBe('enough');
  });
});

test('cifar100 with coarse labels', async () => {
  const record = (coarse: number, fine: number) => Buffer.concat([Buffer.of(coarse, fine), Buffer.alloc(3072, fine)]);
  const dir = folder({
    'train.bin': Buffer.concat([record(19, 99), record(0, 20)]),
    'test.bin': record(7, 50),
  });
  const [coarse, fine] = [await cifar100(dir, { labels: 'coarse' }), await cifar100(dir)];
  expect([coarse.classes, [...coarse.train.labels], [...coarse.test!.labels]]).toEqual([20, [19, 0], [7]]);
  expect([fine.classes, [...fine.train.labels], [...fine.test!.labels]]).toEqual([100, [99, 20], [50]]);
  expect(coarse.train.image(1)).toEqual(fine.train.image(1));
  const wrong = folder({ 'train.bin': record(20, 1), 'test.bin': record(0, 0) });
  expect(await failure(cifar100(wrong, { labels: 'coarse' }))).toMatchObject({ code: 'DATA_MALFORMED' });
  expect(await failure(cifar100(dir, { labels: 'both' as never }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
});
