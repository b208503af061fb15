/** Pausing while the disk is full: a training that cannot be saved waits for space instead of ending. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskFullError, freeBytes } from '../formats/diskSpace.js';
import type { SavePlan } from './saving.js';

/** Milliseconds between two looks at the free space. */
const interval = 500;

/** Returns when there is space, or at an abort. */
async function waitForSpace({ needed = 0 }: DiskFullError, path: string, signal: AbortSignal | undefined) {
  try {
    do {
      await sleep(interval, undefined, signal && { signal });
    } while ((freeBytes(path) ?? Infinity) < needed);
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

/**
 * Calls `save`; where the disk is full and the plan says so, again whenever there is space. An abort ends the wait with
 * one last try: the steps since the last checkpoint are not thrown away silently.
 *
 * @throws PtmzError what `save` throws
 * @internal
 */
export async function saveWithPatience(
  save: () => string,
  plan: Pick<SavePlan, 'directory' | 'whenDiskFull' | 'onDiskFull'>,
  signal: AbortSignal | undefined,
): Promise<string> {
  for (let told = false; ; told = true) {
    try {
      return save();
    } catch (error) {
      if (!(error instanceof DiskFullError) || plan.whenDiskFull === 'throw' || signal?.aborted) throw error;
      if (!told) plan.onDiskFull(error);
      await waitForSpace(error, plan.directory, signal);
    }
  }
}
