/** Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey 28 x 28 images of clothing in 10 classes, as IDX files. */
import { checkObject, checkString, PtmzError } from '../errors.js';
import { arrays, type DataSet } from './dataset.js';
import { readIdxPair } from './idx.js';
import { checkCounts } from './subset.js';

/** Where Debian's package dataset-fashion-mnist puts the files. */
const DEBIAN = '/usr/share/datasets/fashion-mnist';
const CLASSES = 10;

/** What {@link fashionMnist} takes. */
export interface FashionMnistOptions {
  /** Folder with the four `*-ubyte.gz` files (or unpacked ones). */
  dir?: string;
  /** Number of training images: a fixed subset with equal numbers of all classes. */
  train?: number;
  /** Number of test images. */
  test?: number;
}

/**
 * Reads Fashion-MNIST, or a fixed class-balanced part of it: the first images of each class.
 *
 * @throws PtmzError `DATA_MISSING` with a hint where the files are not there, `DATA_MALFORMED` where they are damaged
 * @example
 * ```ts no-run
 * import { fashionMnist } from 'ptmz-native';
 * const data = await fashionMnist({ train: 4000, test: 1000 });
 * data.train.shape; // [4000, 1, 28, 28]
 * ```
 */
export async function fashionMnist(options: FashionMnistOptions = {}): Promise<DataSet> {
  checkObject('options', options, ['dir', 'train', 'test']);
  const dir = options.dir === undefined ? DEBIAN : checkString('dir', options.dir);
  checkCounts(options, [60_000, 10_000]);
  try {
    const train = await readIdxPair(dir, 'train-images-idx3-ubyte', 'train-labels-idx1-ubyte', CLASSES, options.train);
    const test = await readIdxPair(dir, 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte', CLASSES, options.test);
    return arrays({ ...train, classes: CLASSES, test, name: 'Fashion-MNIST' });
  } catch (cause) {
    if (!(cause instanceof PtmzError) || cause.code !== 'DATA_MISSING') throw cause;
    const hint =
      'ptmz data get fashion-mnist downloads it; pass { dir } with the four *-ubyte.gz files. On Debian: ' +
      'apt install dataset-fashion-mnist.';
    throw new PtmzError('DATA_MISSING', cause.message, { hint, cause });
  }
}
