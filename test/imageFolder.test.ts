/** Folders of images: decoding against Pillow's, classes and splits, what is refused, and sharp that is not there. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageFolder, type ImageFolderOptions, type PtmzError } from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';
import { loadSharp } from '../lib/data/imageDecoder.js';

const images = fileURLToPath(new URL('./fixtures/images', import.meta.url));
const expected = JSON.parse(readFileSync(join(images, 'expected.json'), 'utf8')) as Record<string, number[]>;
const root = mkdtempSync(join(tmpdir(), 'ptmz-images-'));
afterAll(() => rmSync(root, { recursive: true }));

let folders = 0;
/** A new folder with copies of the images, by path in it. */
function folder(files: Record<string, string>): string {
  const dir = join(root, `set${folders++}`);
  mkdirSync(dir);
  for (const [path, name] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    copyFileSync(join(images, name), join(dir, path));
  }
  return dir;
}
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: PtmzError) => error,
  );
const two = { 'a/1.png': 'rgb.png', 'b/1.png': 'grey.png' };

const sharp = await loadSharp('imageFolder').catch(() => undefined);

test('a missing sharp is named, with what to do', async () => {
  const cause = new Error("Cannot find package 'sharp'\nmore");
  const error = await failure(loadSharp('imageFolder', () => Promise.reject(cause)));
  expect(error).toMatchObject({ code: 'MISSING_PEER', hint: 'npm install sharp', cause });
  expect(error!.message).toMatch(/imageFolder needs the package sharp.*Cannot find package 'sharp'$/);
  if (!sharp) expect(await failure(imageFolder(folder(two)))).toMatchObject({ code: 'MISSING_PEER' });
});

const missing = 'DATA_MISSING';
const malformed = 'DATA_MALFORMED';

describe('before anything is decoded', () => {
  test.each<[string, () => string, string, RegExp]>([
    ['no folder', () => join(root, 'nowhere'), missing, /nowhere: no such file or folder/],
    ['a file', () => join(images, 'rgb.png'), missing, /rgb\.png: no such file or folder/],
    ['an empty folder', () => folder({}), missing, /one folder of images per class/],
    ['images without classes', () => folder({ '1.png': 'rgb.png' }), missing, /one folder of images per class/],
    [
      'a class without images',
      () => folder({ ...two, 'c/readme.txt': 'make.py' }),
      missing,
      /c: there are no \.jpg, \.jpeg or \.png/,
    ],
    ['test without train', () => folder({ 'test/a/1.png': 'rgb.png' }), missing, /there is test but no folder train/],
    ['val without train', () => folder({ 'val/a/1.png': 'rgb.png' }), missing, /there is val but no folder train/],
    ['an empty train folder', () => folder({ 'train/1.txt': 'make.py' }), missing, /train: expected one folder/],
    [
      'an unknown class to test',
      () => folder({ 'train/a/1.png': 'rgb.png', 'test/b/1.png': 'rgb.png' }),
      malformed,
      /test.b: a class that the training images do not have/,
    ],
    [
      'a folder in itself',
      () => {
        const dir = folder(two);
        symlinkSync(join(dir, 'a'), join(dir, 'a', 'again'));
        return dir;
      },
      malformed,
      /nested more than 16/,
    ],
  ])('%s', async (_, make, code, message) => {
    expect(await failure(imageFolder(make()))).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each<[string, object, RegExp]>([
    ['size', { size: 0 }, /between 1 and 16384 for size/],
    ['sizes', { size: [8] }, /array of length 2 for size/],
    ['a side', { size: [8, 0.5] }, /for size\[1\]/],
    ['train', { train: 0 }, /for train/],
    ['test', { test: -1 }, /for test/],
    ['test images that are not there', { test: 1 }, /has no test images/],
    ['normalise', { normalise: { mean: [0, 0, 0], std: [0, 1, 1] } }, /normalise\.std\[0\].*0/],
    ['parallel', { parallel: 0 }, /for parallel/],
    ['onProgress', { onProgress: 1 }, /a function for onProgress/],
    ['an unknown option', { resize: 8 }, /only the keys/],
  ])('options: %s', async (_, options, message) => {
    expect(await failure(imageFolder(folder(two), options))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });

  test('options are checked before a folder is looked for', async () => {
    const options = { normalise: { mean: [0, 0, 0], std: [1, 1, -1] } };
    expect(await failure(imageFolder('nowhere', options))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('an aborted signal', async () => {
    const reason = new Error('enough');
    expect(await failure(imageFolder(folder(two), { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

// Without sharp there is nothing to decode with; the error is tested above.
const withSharp = () => {
  test.each(Object.keys(expected))('%s is decoded as Pillow does', async (name) => {
    const { train } = await imageFolder(folder({ [`a/${name}`]: name }));
    expect(train.shape).toEqual([1, 3, 6, 8]);
    const pixels = [...train.image(0)];
    // Decoders of JPEG may round differently.
    const tolerance = /jpe?g$/i.test(name) ? 2 : 0;
    expect(Math.max(...pixels.map((x, i) => Math.abs(x - expected[name]![i]!)))).toBeLessThanOrEqual(tolerance);
  });

  test('classes and files are sorted; hidden and other files are left out; folders within a class belong to it', async () => {
    const dir = folder({
      'train/b/2.png': 'rgb.png',
      'train/b/10.PNG': 'grey.png',
      'train/B/deep/er/1.png': 'palette.png',
      'train/B/9.png': 'grey.png',
      'train/B/notes.txt': 'make.py',
      'train/B/._1.png': 'make.py',
      'train/.cache/1.png': 'rgb.png',
      'test/b/1.png': 'bilevel.png',
    });
    const data = await imageFolder(dir);
    expect([data.name, data.classes, data.classNames]).toEqual([dir.split(/[\\/]/).at(-1), 2, ['B', 'b']]);
    expect([...data.train.labels]).toEqual([0, 0, 1, 1]);
    ['grey.png', 'palette.png', 'grey.png', 'rgb.png'].forEach((name, i) =>
      expect([...data.train.image(i)]).toEqual(expected[name]),
    );
    expect([...data.test!.labels]).toEqual([1]);
    expect([...data.test!.image(0)]).toEqual(expected['bilevel.png']);
    expect(data.test!.normalisation).toBe(data.train.normalisation);
  });

  test('val serves as test, and no split as training images only', async () => {
    const split = await imageFolder(folder({ 'train/a/1.png': 'rgb.png', 'val/a/1.png': 'grey.png' }));
    expect([split.train.count, split.test!.count]).toEqual([1, 1]);
    const flat = await imageFolder(folder(two));
    expect([flat.train.count, flat.test]).toEqual([2, undefined]);
  });

  const many = () =>
    folder(
      Object.fromEntries(['a', 'b', 'c'].flatMap((c) => [...'12345'].map((i) => [`train/${c}/${i}.png`, 'rgb.png']))),
    );

  test('a part is balanced, and only it is decoded', async () => {
    const dir = many();
    writeFileSync(join(dir, 'train/b/5.png'), 'damaged');
    const progress: unknown[] = [];
    const onProgress: ImageFolderOptions['onProgress'] = (at) => progress.push(at);
    const { train } = await imageFolder(dir, { train: 6, onProgress });
    expect([...train.labels]).toEqual([0, 0, 1, 1, 2, 2]);
    expect(progress.at(-1)).toEqual({ done: 6, total: 6 });
  });

  test.each([1, 2, 9])('%i at a time', async (parallel) => {
    const { train } = await imageFolder(many(), { parallel });
    for (let i = 0; i < 15; i++) expect([...train.image(i)]).toEqual(expected['rgb.png']);
  });

  test('images are brought to one size', async () => {
    const square = await imageFolder(folder({ 'a/1.png': 'rgb.png', 'a/2.jpg': 'rgb.jpg' }), { size: 4 });
    expect(square.train.shape).toEqual([2, 3, 4, 4]);
    const same = await imageFolder(folder({ 'a/1.png': 'rgb.png' }), { size: [6, 8] });
    expect([...same.train.image(0)]).toEqual(expected['rgb.png']);
    const wide = await imageFolder(folder({ 'a/1.png': 'grey.png' }), { size: [3, 8] });
    expect(wide.train.shape).toEqual([1, 3, 3, 8]);
    const normalise = { mean: [0, 0, 0], std: [1, 1, 1] };
    expect((await imageFolder(folder(two), { normalise })).train.normalisation).toEqual(normalise);
  });

  test.each([
    ['another size', (png: Buffer) => resized(png), /8 x 7 pixels, but .*1\.png has 8 x 6|cannot be decoded/],
    ['a cut file', (png: Buffer) => png.subarray(0, 60), /2\.png: cannot be decoded/],
    ['another kind of file', () => Buffer.from('GIF89a'), /2\.png: cannot be decoded/],
    ['an empty file', () => Buffer.alloc(0), /2\.png: cannot be decoded/],
  ])('%s is refused by name', async (_, change, message) => {
    const dir = folder({ 'a/1.png': 'rgb.png', 'a/2.png': 'rgb.png', 'a/3.png': 'rgb.png' });
    writeFileSync(join(dir, 'a/2.png'), await change(readFileSync(join(images, 'rgb.png'))));
    expect(await failure(imageFolder(dir))).toMatchObject({
      code: 'DATA_MALFORMED',
      message: expect.stringMatching(message),
    });
  });
  const resized = async (png: Buffer) => {
    const { default: sharp } = (await import(String('sharp'))) as { default: (input: Buffer) => Resizer };
    return sharp(png).resize(8, 7, { fit: 'fill' }).png().toBuffer();
  };
  interface Resizer {
    resize(width: number, height: number, options: object): Resizer;
    png(): Resizer;
    toBuffer(): Promise<Buffer>;
  }

  test('aborted on the way, and a callback that throws', async () => {
    const dir = many();
    const controller = new AbortController();
    const reason = new Error('enough');
    let calls = 0;
    const onProgress = () => {
      calls++;
      controller.abort(reason);
    };
    expect(await failure(imageFolder(dir, { signal: controller.signal, onProgress, parallel: 1 }))).toBe(reason);
    expect(calls).toBe(1);
    const thrown = new Error('of the callback');
    const fail = () => {
      throw thrown;
    };
    expect(await failure(imageFolder(dir, { onProgress: fail }))).toBe(thrown);
  });
};
if (sharp) describe('with sharp', withSharp);
