/** STL-10 (Coates et al. 2011): 5,000 + 8,000 colour images of 96 x 96 in 10 classes, as bytes. */
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { arrays, type DataSet } from './dataset.js';
import { entryKind, malformed, readWhole } from './files.js';
import { checkImageSet, type ImageSetOptions } from './imageSet.js';
import { takeBalanced, type ByteImages } from './subset.js';
import { transposePlanes } from './svhn.js';

const CLASSES = 10;
const SIDE = 96;
const PIXELS = 3 * SIDE * SIDE;
const COUNTS = [5000, 8000] as const;
const FOLDER = 'stl10_binary';
const FILES = ['train_X.bin', 'train_y.bin', 'test_X.bin', 'test_y.bin'] as const;
const MAX_BYTES = 2 ** 29;

/**
 * Reads the labelled part of STL-10: train (5000,3,96,96), test (8000,3,96,96), or a fixed class-balanced part.
 *
 * @param dir `stl10_binary`, or the folder that holds it
 * @throws PtmzError `DATA_MISSING`; `DATA_MALFORMED` or `LIMIT_EXCEEDED` with the file and what is wrong;
 * `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { PtmzError, stl10 } from 'ptmz-native';
 * try {
 *   const data = await stl10('data', { train: 1000, test: 1000 });
 *   console.log(data.train.shape); // [1000, 3, 96, 96]
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export async function stl10(dir: string, options: ImageSetOptions = {}): Promise<DataSet> {
  checkImageSet(dir, options, COUNTS);
  const folder = await locate(dir);
  const [trainX, trainY, testX, testY] = FILES.map((name) => join(folder, name)) as [string, string, string, string];
  const train = takeBalanced(await readPart(trainX, trainY), CLASSES, options.train);
  const test = takeBalanced(await readPart(testX, testY), CLASSES, options.test);
  const normalise = options.normalise && { normalise: options.normalise };
  return arrays({ ...train, classes: CLASSES, test, name: 'STL-10', ...normalise });
}

async function locate(dir: string): Promise<string> {
  for (const folder of [dir, join(dir, FOLDER)]) {
    const kinds = await Promise.all(FILES.map((name) => entryKind(join(folder, name))));
    if (kinds.every((kind) => kind === 'file')) return folder;
  }
  const hint = `ptmz data get stl10 downloads it; pass the folder that holds ${FOLDER}, unpacked.`;
  throw new PtmzError('DATA_MISSING', `${dir}: no STL-10 there; looked for ${FILES.join(', ')}, also in ${FOLDER}`, {
    hint,
  });
}

/** Planes of columns; labels from 1. */
async function readPart(imagePath: string, labelPath: string): Promise<ByteImages> {
  const labels = (await readWhole(labelPath, MAX_BYTES)).map((label) => label - 1);
  const images = await readWhole(imagePath, MAX_BYTES);
  if (labels.length === 0) throw malformed(labelPath, 'there are no labels');
  const odd = labels.findIndex((label) => label >= CLASSES);
  if (odd >= 0) throw malformed(labelPath, `label ${(labels[odd]! + 1) & 255} of image ${odd} is not one from 1 to 10`);
  if (images.length !== labels.length * PIXELS)
    throw malformed(
      imagePath,
      `${labels.length} images take ${labels.length * PIXELS} bytes, there are ${images.length}`,
    );
  transposePlanes(images, SIDE);
  return { images, shape: [labels.length, 3, SIDE, SIDE], labels };
}
