/** The 1,797 handwritten 8 x 8 digits of the UCI repository (Alpaydin, Kaynak 1998; CC BY 4.0), part of this package. */
import { fileURLToPath } from 'node:url';
import { checkObject } from '../errors.js';
import { arrays, type DataSet } from './dataset.js';
import { readIdxPair } from './idx.js';
import { balancedSubset, checkCounts, selectSamples } from './subset.js';

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
  checkCounts(options, [TRAIN, ALL - TRAIN]);
  const { train = TRAIN, test = ALL - TRAIN } = options;
  const all = await readIdxPair(ASSETS, 'digits-images-idx3-ubyte', 'digits-labels-idx1-ubyte', CLASSES);
  const labels = Uint8Array.from(all.labels);
  const part = (from: number, to: number, count: number) => {
    const positions = balancedSubset(labels.subarray(from, to), CLASSES, count).map((i) => from + i);
    return selectSamples(all.images, all.shape, labels, positions);
  };
  return arrays({ ...part(0, TRAIN, train), classes: CLASSES, test: part(TRAIN, ALL, test), name: 'digits' });
}
