/** What readers of published image data sets have in common: their options, and taking a part of the images. */
import { checkInteger, checkObject, checkString } from '../errors.js';
import { balancedSubset, selectSamples, type ImageArrays, type ImageShape, type Normalisation } from './dataset.js';

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
  if (options.train !== undefined) checkInteger('train', options.train, 1, counts[0]);
  if (options.test !== undefined) checkInteger('test', options.test, 1, counts[1]);
}

/** Images and labels of one part of a data set, as they were read. @internal */
export interface ReadImages {
  images: Uint8Array;
  shape: ImageShape;
  labels: ArrayLike<number>;
}

/** All of them, or a balanced part. @internal */
export function takeImages({ images, shape, labels }: ReadImages, classes: number, count?: number): ImageArrays {
  if (count === undefined || count >= labels.length) return { images, shape, labels };
  return selectSamples(images, shape, labels, balancedSubset(labels, classes, count));
}
