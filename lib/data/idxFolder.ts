/** Folders of four IDX files named as MNIST's: MNIST itself, KMNIST, or anything else that was written that way. */
import { basename, resolve } from 'node:path';
import { checkString } from '../errors.js';
import { arrays, type DataSet } from './dataset.js';
import { readIdxPair } from './idx.js';
import { checkCounts, takeBalanced } from './subset.js';

/** Labels are bytes. */
const MOST_CLASSES = 256;

/**
 * Reads grey images from `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, gzipped or not;
 * there are as many classes as the largest label says. The name of the data set is the folder's.
 *
 * @param counts images for training and testing: fixed subsets with equal numbers of all classes
 * @throws PtmzError `DATA_MISSING`, `DATA_MALFORMED`, `INVALID_ARGUMENT`
 * @internal
 */
export async function idxFolder(dir: string, counts: { train?: number; test?: number } = {}): Promise<DataSet> {
  checkString('dir', dir);
  checkCounts(counts);
  const train = await readIdxPair(dir, 'train-images-idx3-ubyte', 'train-labels-idx1-ubyte', MOST_CLASSES);
  const test = await readIdxPair(dir, 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte', MOST_CLASSES);
  const classes = 1 + [train, test].flatMap(({ labels }) => [...labels]).reduce((a, b) => Math.max(a, b), 0);
  const part = (samples: typeof train, count: number | undefined) => takeBalanced(samples, classes, count);
  const name = basename(resolve(dir));
  return arrays({ ...part(train, counts.train), classes, test: part(test, counts.test), name });
}
