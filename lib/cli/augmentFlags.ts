/** Flags of what is done at random to training images, and the augmentation that they make. */
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
};

/** The flags change single entries of the augmentation of a preset. */
export function chooseAugment(standard: Augment | undefined, given: Given): Augment | undefined {
  const { crop, ...flags } = pick(augmentFlags, given);
  if (crop === undefined && Object.keys(flags).length === 0) return standard;
  return { ...standard, ...flags, ...(crop !== undefined && { crop: { padding: crop as number } }) };
}
