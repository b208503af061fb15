/** Flags of what is done at random to training images, and the augmentation that they make. */
import { unexpected } from '../errors.js';
import type { Augment } from '../train/augment.js';
import { pick, type FlagTable, type Given } from './flags.js';
import { integer, number } from './options.js';

const images = ['images'];

/** In the order in which they act; the kinds are what the network is trained on. */
export const augmentFlags: FlagTable = {
  crop: {
    flags: '--crop <pixels>',
    description: 'random crops after this much padding',
    parse: integer(0, 65_536),
    of: images,
  },
  flip: { flags: '--flip <p>', description: 'mirror images with this probability', parse: number(0, 1), of: images },
  rotate: { flags: '--rotate <degrees>', description: 'rotation by up to so much', parse: number(0, 180), of: images },
  brightness: { flags: '--brightness <x>', description: 'factor from 1 - x to 1 + x', parse: number(0), of: images },
  contrast: { flags: '--contrast <x>', description: 'factor from 1 - x to 1 + x', parse: number(0), of: images },
  saturation: { flags: '--saturation <x>', description: 'factor from 1 - x to 1 + x', parse: number(0), of: images },
  hue: { flags: '--hue <x>', description: 'turns of the hue, up to so much', parse: number(0, 0.5), of: images },
  randAugment: {
    flags: '--rand-augment <n>',
    description: 'so many operations of RandAugment; torchvision has 2',
    parse: integer(1, 65_536),
    of: images,
  },
  magnitude: {
    flags: '--magnitude <n>',
    description: 'of these operations, up to 30; default 9',
    parse: integer(0, 30),
    of: images,
  },
  erase: {
    flags: '--erase <p>',
    description: 'erase a rectangle with this probability; torchvision has 0.5',
    parse: number(0, 1),
    of: images,
  },
};

const jitters = ['brightness', 'contrast', 'saturation', 'hue'] as const;

/**
 * The flags change single entries of the augmentation of a preset.
 *
 * @throws PtmzError `INVALID_ARGUMENT` for a magnitude of no operations
 */
export function chooseAugment(standard: Augment | undefined, given: Given): Augment | undefined {
  const flags = pick(augmentFlags, given);
  if (Object.keys(flags).length === 0) return standard;
  const { crop, flip, rotate, randAugment: operations, magnitude, erase } = flags as Record<string, number | undefined>;
  const jitter = Object.fromEntries(jitters.flatMap((key) => (flags[key] === undefined ? [] : [[key, flags[key]]])));
  const randAugment = { ...standard?.randAugment, ...defined({ operations, magnitude }) };
  if (magnitude !== undefined && operations === undefined && !standard?.randAugment)
    throw unexpected('--magnitude', 'nothing without --rand-augment', String(magnitude));
  return {
    ...standard,
    ...defined({ flip, rotate }),
    ...(crop !== undefined && { crop: { padding: crop } }),
    ...(Object.keys(jitter).length > 0 && { jitter: { ...standard?.jitter, ...jitter } }),
    ...(Object.keys(randAugment).length > 0 && { randAugment }),
    ...(erase !== undefined && { erase: { ...standard?.erase, probability: erase } }),
  };
}

const defined = (values: Record<string, number | undefined>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
