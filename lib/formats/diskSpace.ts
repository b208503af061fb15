/** Disk space: how much there is, how much a write needs, and the error of a disk that is full. */
import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { PtmzError } from '../errors.js';

/** What a write needs, and what was free when it began; undefined where the system does not say. @internal */
export interface DiskSpace {
  needed: number | undefined;
  free: number | undefined;
}

/**
 * The `DISK_FULL` error, with the numbers of its message.
 *
 * @example
 * ```ts
 * import { mkdtempSync, rmSync } from 'node:fs';
 * import { digits, trainResNet, type DiskFullError } from 'ptmz-native';
 * const saveTo = mkdtempSync('run-');
 * const data = await digits({ train: 200, test: 100 });
 * const onDiskFull = ({ needed, free }: DiskFullError) => console.warn(`paused: ${needed} bytes needed, ${free} free`);
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0], saveTo, onDiskFull });
 * rmSync(saveTo, { recursive: true });
 * ```
 */
export class DiskFullError extends PtmzError {
  constructor(
    message: string,
    /** Bytes that the whole file or checkpoint takes. */
    readonly needed: number | undefined,
    /** Bytes that were free before it was begun. */
    readonly free: number | undefined,
    cause?: unknown,
  ) {
    const hint = 'Free some space and go on from the last checkpoint; nothing that was there before is lost.';
    super('DISK_FULL', message, { hint, cause });
  }
}

/** Bytes free where `path` is, or will be; undefined where the system does not say. @internal */
export function freeBytes(path: string): number | undefined {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  try {
    const { bavail, bsize } = statfsSync(at);
    return bavail * bsize;
  } catch {
    // Not every file system tells; the write itself will say whether there is room.
    return undefined;
  }
}

// File systems name blocks of up to a megabyte and allocate smaller ones; none allocates less than this by default.
const block = 4096;

/** The space that files of these sizes take in a directory of their own, and what is free at `path`. @internal */
export function spaceFor(path: string, sizes: readonly number[]): DiskSpace {
  const blocks = sizes.reduce((sum, size) => sum + Math.ceil(size / block), 1);
  return { needed: blocks * block, free: freeBytes(path) };
}
