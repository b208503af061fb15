/** Downloads of single files: resumed where they broke off, checked against their checksums, whole or not there. */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PtmzError } from '../errors.js';
import { attempt, disk, makeWritable, OutputFile, syncDirectory } from '../formats/atomicFile.js';
import { InputFile, statOf } from '../formats/inputFile.js';
import type { DownloadFile } from './downloads.js';

/** Where a download is. */
export interface DownloadProgress {
  /** What is under way. */
  file: string;
  /** Bytes that are there. */
  received: number;
  /** Bytes that there will be; undefined where the server does not say. */
  total?: number;
}

/** @internal */
export interface DownloadFileOptions {
  signal?: AbortSignal;
  onProgress?: (progress: DownloadProgress) => void;
  /** Milliseconds before the first new attempt; each later one waits twice as long. */
  pause?: number;
  /** Milliseconds without a byte after which a connection counts as broken. */
  patience?: number;
}

// In a row, without a byte between them.
const maxFailures = 6;
const standardPause = 1000;
const standardPatience = 60_000;
const hashBlock = 2 ** 24;

/** A failed attempt that may go better the next time, or at another address. */
class Broken extends Error {
  constructor(
    message: string,
    /** The server has said that it does not have the file. */
    readonly refused = false,
  ) {
    super(message);
  }
}

/** MD5 as hexadecimal digits: what is published. @internal */
export async function md5Of(path: string, signal?: AbortSignal): Promise<string> {
  using file = new InputFile(path);
  const hash = createHash('md5');
  for (let at = 0; at < file.size; at += hashBlock) {
    hash.update(file.read(at, Math.min(hashBlock, file.size - at)));
    // Signals come in between.
    await sleep(0);
    signal?.throwIfAborted();
  }
  return hash.digest('hex');
}

/** Bytes of a file; undefined where there is none. */
const sizeOf = (path: string): number | undefined => {
  const stat = statOf(path);
  return stat?.isFile() === true ? stat.size : undefined;
};

/**
 * Downloads a file unless it is there. What was received stays in `path.part` when the download is stopped or fails, and
 * the next one goes on from there.
 *
 * @returns whether it was there already
 * @throws PtmzError `CHECKSUM_MISMATCH`, `IO_ERROR` naming the address and what it said, `NOT_WRITABLE`, `DISK_FULL`;
 * with an aborted signal it rejects with `signal.reason`
 * @internal
 */
export async function downloadFile(
  { name, urls, md5 }: DownloadFile,
  path: string,
  options: DownloadFileOptions = {},
): Promise<{ present: boolean }> {
  options.signal?.throwIfAborted();
  if (sizeOf(path) !== undefined) {
    if ((await md5Of(path, options.signal)) === md5) return { present: true };
    throw new PtmzError('CHECKSUM_MISMATCH', `${path}: not the published file, which has the MD5 ${md5}`, {
      hint: 'Remove it, or choose another folder with --dir.',
    });
  }
  makeWritable(dirname(path));
  const part = `${path}.part`;
  // What two servers sent, or one before and after a change, does not fit together: then all of it comes anew.
  for (let resumed = (sizeOf(part) ?? 0) > 0; ; resumed = false) {
    await receive(name, urls, part, options);
    const actual = await md5Of(part, options.signal);
    if (actual === md5) break;
    attempt('remove', part, () => disk.remove(part));
    if (!resumed)
      throw new PtmzError('CHECKSUM_MISMATCH', `${urls[0]}: the MD5 of what came is ${actual}, published is ${md5}`);
  }
  attempt('rename', path, () => disk.rename(part, path));
  syncDirectory(dirname(path));
  return { present: false };
}

/** Attempts, at one address after the other, until the file is whole. */
async function receive(
  name: string,
  urls: readonly string[],
  part: string,
  options: DownloadFileOptions,
): Promise<void> {
  const refusals = new Map<string, string>();
  let failures = 0;
  for (let turn = 0; ; turn++) {
    const url = urls[turn % urls.length]!;
    const before = sizeOf(part) ?? 0;
    try {
      return await attemptOnce(name, url, part, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof Broken)) throw error;
      failures = (sizeOf(part) ?? 0) > before ? 1 : failures + 1;
      if (error.refused) refusals.set(url, error.message);
      const hopeless = refusals.size === urls.length || failures >= maxFailures;
      if (hopeless)
        throw new PtmzError('IO_ERROR', `${url}: ${error.message}`, {
          hint: 'What came is kept; the same command goes on from there.',
          cause: error,
        });
      const pause = (options.pause ?? standardPause) * 2 ** (failures - 1);
      await sleep(pause, undefined, { signal: options.signal }).catch(() => options.signal!.throwIfAborted());
    }
  }
}

async function attemptOnce(name: string, url: string, part: string, options: DownloadFileOptions): Promise<void> {
  const { onProgress, patience = standardPatience } = options;
  const silence = new AbortController();
  const watch = setTimeout(() => silence.abort(new Error('nothing came for too long')), patience);
  const signal = options.signal ? AbortSignal.any([options.signal, silence.signal]) : silence.signal;
  let file: OutputFile | undefined;
  try {
    const begin = sizeOf(part) ?? 0;
    const response = await request(url, begin, signal);
    let received = response.status === 206 ? begin : 0;
    const length = Number(response.headers.get('content-length') ?? NaN);
    const total = Number.isSafeInteger(length) ? received + length : undefined;
    file = new OutputFile(part, received > 0 ? 'a' : 'w');
    for await (const chunk of chunksOf(response)) {
      watch.refresh();
      file.write(chunk);
      received += chunk.length;
      onProgress?.({ file: name, received, ...(total !== undefined && { total }) });
    }
    if (total !== undefined && received !== total) throw new Broken(`${received} of ${total} bytes came`);
    file.commit();
  } finally {
    clearTimeout(watch);
    file?.abandon();
  }
}

async function request(url: string, begin: number, signal: AbortSignal): Promise<Response> {
  // Compressed on the way it would have other bytes, and other places to go on from.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (begin > 0) headers.range = `bytes=${begin}-`;
  let response: Response;
  try {
    response = await fetch(url, { headers, signal });
  } catch (cause) {
    throw new Broken(reasonOf(cause));
  }
  const { status } = response;
  const range = response.headers.get('content-range');
  if (status === 200 || (status === 206 && range?.startsWith(`bytes ${begin}-`))) return response;
  await response.body?.cancel().catch(() => undefined);
  // The server's file is no longer than what is here, or it sends another part: begin anew.
  if (begin > 0 && (status === 416 || status === 206)) return request(url, 0, signal);
  throw new Broken(`the server says ${status} ${response.statusText}`.trim(), status >= 400 && status < 500);
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body!.getReader();
  for (;;) {
    let result;
    try {
      result = await reader.read();
    } catch (cause) {
      throw new Broken(reasonOf(cause));
    }
    if (result.done) return;
    yield result.value;
  }
}

/** fetch says only that it failed; why stands in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}
