/** TinyImageNet (Stanford CS231n): 100,000 + 10,000 JPEG files of 64 x 64 in 200 classes. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { checkObject, checkString, PtmzError } from '../errors.js';
import { arrays, type Normalisation } from './dataset.js';
import { entryKind, fileError, malformed, readWhole } from './files.js';
import {
  checkImageFiles,
  chooseFiles,
  ImageDecoder,
  imageFileKeys,
  loadSharp,
  type ImageFileOptions,
  type LabelledFile,
} from './imageDecoder.js';
import type { NamedDataSet } from './imageFolder.js';

/** What {@link tinyImageNet} takes. */
export interface TinyImageNetOptions extends ImageFileOptions {
  /** Per channel; that of ImageNet where left out. */
  normalise?: Normalisation;
}

const FOLDER = 'tiny-imagenet-200';
const NORMALISE = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const MAX_TEXT = 2 ** 24;

/**
 * Reads TinyImageNet: train (100000,3,64,64); its images for validation are those for testing, as its own ones have no
 * labels. Class numbers follow the lines of `wnids.txt`; images are sorted by name, so that the order is the same
 * everywhere; grey ones become RGB.
 *
 * @param dir `tiny-imagenet-200`, or the folder that holds it
 * @throws PtmzError `MISSING_PEER` where sharp is not installed; `DATA_MISSING`; `DATA_MALFORMED` naming the file;
 * `OUT_OF_MEMORY`; `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { PtmzError, tinyImageNet } from 'ptmz-native';
 * try {
 *   const data = await tinyImageNet('data', { train: 4000, test: 1000 });
 *   console.log(data.train.shape, data.classNames[0]); // [4000, 3, 64, 64] 'n02124075'
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export async function tinyImageNet(dir: string, options: TinyImageNetOptions = {}): Promise<NamedDataSet> {
  checkString('dir', dir);
  checkObject('options', options, imageFileKeys);
  checkImageFiles(options);
  options.signal?.throwIfAborted();
  const folder = await locate(dir);
  const names = await readNames(join(folder, 'wnids.txt'));
  const train = chooseFiles(await trainFiles(folder, names), names.length, options.train);
  const test = chooseFiles(await testFiles(folder, names), names.length, options.test);
  const { parallel, signal, onProgress } = options;
  const decoding = { size: 64, parallel, signal, onProgress };
  const decoder = new ImageDecoder(await loadSharp('tinyImageNet'), decoding, train.length + test.length);
  const trainImages = await decoder.decode(train);
  const testImages = await decoder.decode(test);
  const data = arrays({
    ...trainImages,
    classes: names.length,
    test: testImages,
    name: 'TinyImageNet',
    normalise: options.normalise ?? NORMALISE,
  });
  return { ...data, classNames: names };
}

async function locate(dir: string): Promise<string> {
  for (const folder of [dir, join(dir, FOLDER)])
    if ((await entryKind(join(folder, 'wnids.txt'))) === 'file') return folder;
  const hint = `ptmz data get tiny-imagenet downloads it; pass the folder that holds ${FOLDER}, unpacked.`;
  throw new PtmzError('DATA_MISSING', `${dir}: no TinyImageNet there; wnids.txt is missing`, { hint });
}

async function readLines(path: string): Promise<string[]> {
  const text = Buffer.from(await readWhole(path, MAX_TEXT)).toString('utf8');
  return text.split(/\r?\n/).filter((line) => line !== '');
}

async function readNames(path: string): Promise<string[]> {
  const names = await readLines(path);
  const odd = names.findIndex((name, i) => !/^\w{1,64}$/.test(name) || names.indexOf(name) < i);
  if (odd >= 0 || names.length === 0)
    throw malformed(
      path,
      odd < 0 ? 'there are no classes' : `line ${odd + 1} is no class, or one that was there before`,
    );
  return names;
}

async function imagesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  return names.filter((name) => /\.jpe?g$/i.test(name)).sort();
}

async function trainFiles(folder: string, names: readonly string[]): Promise<LabelledFile[]> {
  const files: LabelledFile[] = [];
  for (const [label, name] of names.entries()) {
    const images = join(folder, 'train', name, 'images');
    const found = await imagesIn(images);
    if (found.length === 0) throw new PtmzError('DATA_MISSING', `${images}: there are no .JPEG files`);
    for (const file of found) files.push({ path: join(images, file), label });
  }
  return files;
}

/** Lines `val_0.JPEG<tab>n03444034<tab>0<tab>32<tab>44<tab>62`: name, class, and a box that is not used. */
async function testFiles(folder: string, names: readonly string[]): Promise<LabelledFile[]> {
  const path = join(folder, 'val', 'val_annotations.txt');
  const labels = new Map<string, number>();
  for (const [index, line] of (await readLines(path)).entries()) {
    const [file = '', name = ''] = line.split('\t');
    const label = names.indexOf(name);
    const wrong = (what: string) => malformed(path, `line ${index + 1}: ${what}`);
    if (label < 0) throw wrong(`the class '${name.slice(0, 40)}' is not in wnids.txt`);
    if (file === '' || basename(file) !== file) throw wrong(`'${file.slice(0, 80)}' is no name of a file`);
    if (labels.has(file)) throw wrong(`${file} has a class already`);
    labels.set(file, label);
  }
  const images = join(folder, 'val', 'images');
  const found = await imagesIn(images);
  const present = new Set(found);
  const missing = [...labels.keys()].find((file) => !present.has(file));
  const unknown = found.find((file) => !labels.has(file));
  if (missing !== undefined) throw new PtmzError('DATA_MISSING', `${join(images, missing)}: no such file`);
  if (unknown !== undefined) throw malformed(path, `there is no class for ${unknown}`);
  return found.map((file) => ({ path: join(images, file), label: labels.get(file)! }));
}
