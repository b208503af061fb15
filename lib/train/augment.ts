/** Augmentation: what is done at random to training images, in native code (native/solvers/augment.h). */
import { checkInteger, checkNumber, checkObject } from '../errors.js';

/**
 * Crop, flip and rotation, in this order, as torchvision's RandomCrop, RandomHorizontalFlip and RandomRotation; then
 * images are normalised. What comes from outside an image is 0. Every draw is a function of (member's seed, epoch,
 * position in the data set), whatever the batch size, the other members and the number of threads.
 *
 * @example
 * ```ts
 * import type { Augment } from 'ptmz-native';
 * const cifar: Augment = { crop: { padding: 4 }, flip: 0.5, rotate: 20 };
 * ```
 */
export interface Augment {
  /** A crop of the image's own size out of the image with `padding` pixels of zeros on all sides. */
  crop?: { padding: number };
  /** Probability of a mirror image, left to right. */
  flip?: number;
  /** Degrees to either side, 0 to 180; nearest pixels, about the centre. */
  rotate?: number;
}

/** All settings, complete; zeros where nothing is to be done. Throws `INVALID_ARGUMENT`. @internal */
export function checkAugment(value: Augment = {}): Required<Augment> {
  checkObject('augment', value, ['crop', 'flip', 'rotate']);
  if (value.crop !== undefined) checkObject('augment.crop', value.crop, ['padding']);
  return {
    crop: { padding: value.crop ? checkInteger('augment.crop.padding', value.crop.padding, 0, 2 ** 16) : 0 },
    flip: checkNumber('augment.flip', value.flip ?? 0, 0, 1),
    rotate: checkNumber('augment.rotate', value.rotate ?? 0, 0, 180),
  };
}

/** Settings as the native training takes them, for images of this size. @internal */
export const nativeAugment = ({ crop, flip, rotate }: Required<Augment>, height: number, width: number) => ({
  ...{ height, width, flip, rotate },
  padding: crop.padding,
});
