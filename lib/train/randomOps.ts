/** Colour jitter, RandAugment and erasing: what is done at random to colours and rectangles of training images. */
import { checkArray, checkInteger, checkNumber, checkObject, invalidArgument } from '../errors.js';
import type { NativeRandomOps } from '../native.js';

/** How far a factor may go from 1, or its smallest and largest value. */
export type JitterRange = number | readonly [low: number, high: number];

/** torchvision's ColorJitter; what is left out stays as it is. */
export interface ColorJitter {
  brightness?: JitterRange;
  contrast?: JitterRange;
  saturation?: JitterRange;
  /** Turns of the hue, at most 0.5: one number h for -h to h, or both ends. */
  hue?: JitterRange;
}

/** torchvision's RandAugment, with its 14 operations and their magnitudes. */
export interface RandAugment {
  /** Operations one after the other; default 2. */
  operations?: number;
  /** Strength of all of them, below `bins`; default 9. */
  magnitude?: number;
  /** Default 31. */
  bins?: number;
}

/** torchvision's RandomErasing, after normalisation. */
export interface RandomErasing {
  /** Default 0.5. */
  probability?: number;
  /** Part of the image that the rectangle covers; default [0.02, 0.33]. */
  scale?: readonly [low: number, high: number];
  /** Its height by its width; default [0.3, 3.3]. */
  ratio?: readonly [low: number, high: number];
  /** What the rectangle holds: a number, one per channel, or noise of N(0, 1). Default 0, the mean of the images. */
  value?: number | readonly number[] | 'random';
}

/** The three with all their settings; those that are left out have no key. */
export interface RandomOps {
  /** Ranges of the factors, and of the turns of the hue. */
  jitter?: Record<'brightness' | 'contrast' | 'saturation' | 'hue', [low: number, high: number]>;
  randAugment?: Required<RandAugment>;
  erase?: {
    probability: number;
    scale: [low: number, high: number];
    ratio: [low: number, high: number];
    value: number | number[] | 'random';
  };
}

type Pair = [low: number, high: number];

function checkPair(name: string, value: readonly number[], low: number, high: number): Pair {
  checkArray(name, value, 2);
  const [from, to] = value.map((end, i) => checkNumber(`${name}[${i}]`, end, low, high)) as Pair;
  if (from > to) throw invalidArgument(name, 'the smaller number first', value);
  return [from, to];
}

/** As torchvision: x stands for [centre - x, centre + x], where factors stay at 0 or above. */
function checkRange(name: string, value: JitterRange | undefined, centre: 0 | 1): Pair {
  if (value === undefined) return [centre, centre];
  const [low, high] = centre === 1 ? [0, Number.MAX_VALUE] : [-0.5, 0.5];
  if (typeof value !== 'number') return checkPair(name, value, low, high);
  const most = checkNumber(name, value, 0, centre === 1 ? Number.MAX_VALUE : 0.5);
  return centre === 1 ? [Math.max(0, 1 - most), 1 + most] : [-most, most];
}

function checkJitter(value: ColorJitter): NonNullable<RandomOps['jitter']> {
  checkObject('augment.jitter', value, ['brightness', 'contrast', 'saturation', 'hue']);
  return {
    brightness: checkRange('augment.jitter.brightness', value.brightness, 1),
    contrast: checkRange('augment.jitter.contrast', value.contrast, 1),
    saturation: checkRange('augment.jitter.saturation', value.saturation, 1),
    hue: checkRange('augment.jitter.hue', value.hue, 0),
  };
}

function checkRandAugment(value: RandAugment): Required<RandAugment> {
  checkObject('augment.randAugment', value, ['operations', 'magnitude', 'bins']);
  const bins = checkInteger('augment.randAugment.bins', value.bins ?? 31, 2, 2 ** 16);
  return {
    operations: checkInteger('augment.randAugment.operations', value.operations ?? 2, 1, 2 ** 16),
    magnitude: checkInteger('augment.randAugment.magnitude', value.magnitude ?? 9, 0, bins - 1),
    bins,
  };
}

function checkErasing(value: RandomErasing): NonNullable<RandomOps['erase']> {
  checkObject('augment.erase', value, ['probability', 'scale', 'ratio', 'value']);
  const { value: content = 0 } = value;
  const values = typeof content === 'number' ? [content] : content;
  if (values !== 'random') {
    checkArray('augment.erase.value', values);
    values.forEach((x, c) => checkNumber(`augment.erase.value[${c}]`, x, -Number.MAX_VALUE, Number.MAX_VALUE));
  }
  const ratio = checkPair('augment.erase.ratio', value.ratio ?? [0.3, 3.3], Number.MIN_VALUE, Number.MAX_VALUE);
  return {
    probability: checkNumber('augment.erase.probability', value.probability ?? 0.5, 0, 1),
    scale: checkPair('augment.erase.scale', value.scale ?? [0.02, 0.33], 0, 1),
    ratio,
    value: typeof content === 'string' || typeof content === 'number' ? content : [...content],
  };
}

/** All settings, complete. Throws `INVALID_ARGUMENT`. @internal */
export function checkRandomOps(value: {
  jitter?: ColorJitter;
  randAugment?: RandAugment;
  erase?: RandomErasing;
}): RandomOps {
  const { jitter, randAugment, erase } = value;
  return {
    ...(jitter && { jitter: checkJitter(jitter) }),
    ...(randAugment && { randAugment: checkRandAugment(randAugment) }),
    ...(erase && { erase: checkErasing(erase) }),
  };
}

/** @internal */
export const hasRandomOps = ({ jitter, randAugment, erase }: RandomOps): boolean =>
  jitter !== undefined || randAugment !== undefined || erase !== undefined;

const still = { brightness: [1, 1], contrast: [1, 1], saturation: [1, 1], hue: [0, 0] };

/** Settings as the native training takes them, for images of so many channels. @internal */
export function nativeRandomOps(ops: RandomOps, channels: number): NativeRandomOps | null {
  if (!hasRandomOps(ops)) return null;
  const { probability = 0, scale = [0, 0], ratio = [1, 1], value = 0 } = ops.erase ?? {};
  const noise = value === 'random';
  return {
    ...(ops.jitter ?? still),
    randAugment: ops.randAugment ?? { operations: 0, magnitude: 0, bins: 2 },
    erase: {
      ...{ probability, scale: [...scale], ratio: [...ratio], noise },
      value: noise ? [] : typeof value === 'number' ? new Array<number>(channels).fill(value) : [...value],
    },
  };
}
