/** Augmentation: what is done at random to training images, in native code (native/solvers/augment.h, random_ops.h). */
import { checkInteger, checkNumber, checkObject, invalidArgument, unexpected } from '../errors.js';
import type { Split } from '../data/split.js';
import {
  checkRandomOps,
  hasRandomOps,
  type ColorJitter,
  type RandAugment,
  type RandomErasing,
  type RandomOps,
} from './randomOps.js';

/**
 * Crop, flip, rotation, colour jitter and RandAugment, in this order, as torchvision's RandomCrop, RandomHorizontalFlip,
 * RandomRotation, ColorJitter and RandAugment do them to images of Pillow; then images are normalised, and then comes
 * RandomErasing. What comes from outside an image is 0. Every draw is a function of (member's seed, epoch, position in
 * the data set), whatever the batch size, the other members and the number of threads.
 *
 * @example
 * ```ts
 * import type { Augment } from 'ptmz-native';
 * const cifar: Augment = { crop: { padding: 4 }, flip: 0.5, rotate: 20 };
 * const more: Augment = { ...cifar, jitter: { brightness: 0.4, hue: 0.1 }, randAugment: {}, erase: { value: 'random' } };
 * ```
 */
export interface Augment {
  /** A crop of the image's own size out of the image with `padding` pixels of zeros on all sides. */
  crop?: { padding: number };
  /** Probability of a mirror image, left to right. */
  flip?: number;
  /** Degrees to either side, 0 to 180; nearest pixels, about the centre. */
  rotate?: number;
  /** Of byte images with 1 or 3 channels, in an order that is drawn too; grey has neither saturation nor hue. */
  jitter?: ColorJitter;
  /** Of byte images with 1 or 3 channels; `{}` is torchvision's default. */
  randAugment?: RandAugment;
  /** `{}` is torchvision's default. */
  erase?: RandomErasing;
}

/** All settings of {@link Augment}, complete: zeros where nothing is to be done, no key for colours and erasing. */
export type AugmentSettings = Required<Pick<Augment, 'crop' | 'flip' | 'rotate'>> & RandomOps;

/** Throws `INVALID_ARGUMENT`. @internal */
export function checkAugment(value: Augment = {}): AugmentSettings {
  checkObject('augment', value, ['crop', 'flip', 'rotate', 'jitter', 'randAugment', 'erase']);
  if (value.crop !== undefined) checkObject('augment.crop', value.crop, ['padding']);
  return {
    crop: { padding: value.crop ? checkInteger('augment.crop.padding', value.crop.padding, 0, 2 ** 16) : 0 },
    flip: checkNumber('augment.flip', value.flip ?? 0, 0, 1),
    rotate: checkNumber('augment.rotate', value.rotate ?? 0, 0, 180),
    ...checkRandomOps(value),
  };
}

/** Whether images are augmented at all. @internal */
export const augments = ({ crop, flip, rotate, ...ops }: AugmentSettings): boolean =>
  crop.padding > 0 || flip > 0 || rotate > 0 || hasRandomOps(ops);

/** Throws `INVALID_ARGUMENT` where these images do not have what is to be changed. @internal */
export function checkAugmentFits({ jitter, randAugment, erase }: AugmentSettings, { native, shape }: Split): void {
  const channels = shape[1]!;
  const name = jitter ? 'augment.jitter' : randAugment ? 'augment.randAugment' : undefined;
  const { dtype } = native.samples!;
  if (name !== undefined && dtype !== 'uint8') throw unexpected(name, 'images of bytes', `images of ${dtype}`);
  if (name !== undefined && channels !== 1 && channels !== 3)
    throw unexpected(name, 'images of 1 or 3 channels', `${channels} channels`);
  const value = erase?.value;
  if (Array.isArray(value) && value.length !== channels)
    throw invalidArgument('augment.erase.value', `one number or ${channels}, one per channel`, value);
}

/** Settings as the native training takes them, for images of this size. @internal */
export const nativeAugment = ({ crop, flip, rotate, ...ops }: AugmentSettings, height: number, width: number) => ({
  ...{ height, width, flip, rotate },
  padding: crop.padding,
  ops: hasRandomOps(ops),
});
