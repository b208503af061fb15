/** The 1,797 handwritten 8 x 8 digits of the UCI repository (Alpaydin, Kaynak 1998; CC BY 4.0), part of this package. */
import { fileURLToPath } from 'node:url';
import { checkInteger, checkObject } from '../errors.js';
import { arrays, balancedSubset, selectSamples, type DataSet } from './dataset.js';
import { readIdxPair } from './idx.js';

// The same relative path from lib/data and from dist/data: the package holds both folders.
const ASSETS = fileURLToPath(new URL('../../lib/data/assets', import.meta.url));
const CLASSES = 10;
const TRAIN = 1437;
const ALL = 1797;

/** What {@link digits} takes. */
export interface DigitsOptions {
  /** Number of training images, of 1,437; a fixed class-balanced subset. */
  train?: number;
  /** Number of test images, of 360. */
  test?: number;
}

/**
 * Reads the digits data set: grey 8 x 8 images with values 0 to 16, the first 1,437 for training, 360 for testing.
 *
 * @example
 * ```ts
 * import { digits } from 'ptmz-native';
 * const data = await digits();
 * data.train.shape; // [1437, 1, 8, 8]
 * ```
 */
export async function digits(options: DigitsOptions = {}): Promise<DataSet> {
  checkObject('options', options, ['train', 'test']);
  const trainCount = options.train === undefined ? TRAIN : checkInteger('train', options.train, 1, TRAIN);
  const testCount = options.test === undefined ? ALL - TRAIN : checkInteger('test', options.test, 1, ALL - TRAIN);
  const all = await readIdxPair(ASSETS, 'digits-images-idx3-ubyte', 'digits-labels-idx1-ubyte', CLASSES);
  const labels = Uint8Array.from(all.labels);
  const part = (from: number, to: number, count: number) => {
    const positions = balancedSubset(labels.subarray(from, to), CLASSES, count).map((i) => from + i);
    return selectSamples(all.images, all.shape, labels, positions);
  };
  const test = part(TRAIN, ALL, testCount);
  return arrays({ ...part(0, TRAIN, trainCount), classes: CLASSES, test, name: 'digits' });
}
