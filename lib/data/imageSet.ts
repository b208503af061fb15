/** What readers of published image data sets have in common: their options and their checks. */
import { checkObject, checkString } from '../errors.js';
import { checkNormalisation, type Normalisation } from './dataset.js';
import { checkCounts } from './subset.js';

/** What the readers of CIFAR, SVHN and STL-10 take. */
export interface ImageSetOptions {
  /** Number of training images: a fixed subset with equal numbers of all classes, the first ones of each. */
  train?: number;
  /** Number of test images, in the same way. */
  test?: number;
  /** Per channel; the usual values for the data set where left out. */
  normalise?: Normalisation;
}

/** @internal */
export const imageSetKeys = ['train', 'test', 'normalise'] as const;

/** Checks a folder and options; `counts` are the images that the data set has. @internal */
export function checkImageSet(
  dir: string,
  options: ImageSetOptions,
  counts: readonly [train: number, test: number],
  keys: readonly string[] = imageSetKeys,
): void {
  checkString('dir', dir);
  checkObject('options', options, keys);
  checkCounts(options, counts);
  if (options.normalise !== undefined) checkNormalisation(options.normalise, 3);
}
