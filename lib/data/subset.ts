/** Subsets of data sets: fixed parts with as equal numbers of every class as possible. */
import { checkInteger } from '../errors.js';
import type { ImageArrays, ImageShape } from './dataset.js';

/** Checks how many images were asked for, of those that there are. Throws `INVALID_ARGUMENT`. @internal */
export function checkCounts(
  counts: { train?: number; test?: number },
  [train, test]: readonly [train?: number, test?: number] = [],
): void {
  if (counts.train !== undefined) checkInteger('train', counts.train, 1, train);
  if (counts.test !== undefined) checkInteger('test', counts.test, 1, test);
}

/**
 * Positions of `count` samples with as equal numbers of every class as possible, the first ones of the file; in file
 * order. @internal
 */
export function balancedSubset(labels: ArrayLike<number>, classes: number, count: number): number[] {
  const left = Array.from({ length: classes }, (_, c) => Math.floor(count / classes) + (c < count % classes ? 1 : 0));
  const chosen: number[] = [];
  const spare: number[] = [];
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (left[label]! > 0) {
      left[label]!--;
      chosen.push(i);
    } else {
      spare.push(i);
    }
  }
  // A class that is too small leaves room for others.
  chosen.push(...spare.slice(0, count - chosen.length));
  return chosen.sort((a, b) => a - b);
}

/** The samples at `positions`. @internal */
export function selectSamples(
  images: Uint8Array,
  shape: ImageShape,
  labels: ArrayLike<number>,
  positions: readonly number[],
): ByteImages & { labels: number[] } {
  const size = shape[1] * shape[2] * shape[3];
  const selected = new Uint8Array(positions.length * size);
  positions.forEach((from, to) => selected.set(images.subarray(from * size, (from + 1) * size), to * size));
  return {
    images: selected,
    shape: [positions.length, shape[1], shape[2], shape[3]],
    labels: positions.map((i) => labels[i]!),
  };
}

/** Images of bytes, as they were read. @internal */
export type ByteImages = ImageArrays & { images: Uint8Array };

/** `count` of the samples, balanced; all where there are no more, or none is given. @internal */
export function takeBalanced<T extends ByteImages>(
  samples: T,
  classes: number,
  count = Infinity,
): T | (ByteImages & { labels: number[] }) {
  const { images, shape, labels } = samples;
  if (count >= shape[0]) return samples;
  return selectSamples(images, shape, labels, balancedSubset(labels, classes, count));
}
