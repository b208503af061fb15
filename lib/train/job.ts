/** Waiting for a native job: cancels it when a signal aborts and gives its errors the caller's stack. */
import { wrapNative } from '../errors.js';
import type { NativeJob } from '../native.js';

/** What every long call takes. */
export interface JobOptions {
  /** Stops the work within a few milliseconds; the promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Threads, 0 (default): all cores. Results do not depend on it. */
  threads?: number;
  /** Bytes for intermediate results, 0 (default): what the machine has free. */
  memoryLimit?: number;
}

/** @internal */
export async function awaitJob<T>(start: () => NativeJob<T>, signal: AbortSignal | undefined): Promise<T> {
  const site: { stack?: string } = {};
  Error.captureStackTrace(site, awaitJob);
  signal?.throwIfAborted();
  let job: NativeJob<T> | undefined;
  const cancel = () => job?.cancel();
  try {
    job = start();
    signal?.addEventListener('abort', cancel, { once: true });
    return await job.promise;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ABORTED') signal?.throwIfAborted();
    throw wrapNative(error, site);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
