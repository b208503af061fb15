/** Looking for and reading files of data sets, with errors that name them. */
import { open, stat } from 'node:fs/promises';
import { PtmzError } from '../errors.js';

/** @internal */
export function malformed(path: string, what: string, cause?: unknown): PtmzError {
  return new PtmzError('DATA_MALFORMED', `${path}: ${what}`, cause === undefined ? {} : { cause });
}

/** The error for a system call on `path` that failed: `DATA_MISSING` or `IO_ERROR`. @internal */
export function fileError(path: string, cause: unknown): PtmzError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new PtmzError('DATA_MISSING', `${path}: no such file or folder`, { cause });
  return new PtmzError('IO_ERROR', `${path}: cannot be read: ${message}`, { cause });
}

/** What is at `path`, links followed. @internal */
export async function entryKind(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  try {
    const entry = await stat(path);
    if (entry.isFile()) return 'file';
    return entry.isDirectory() ? 'folder' : 'other';
  } catch (cause) {
    const error = fileError(path, cause);
    if (error.code === 'DATA_MISSING') return undefined;
    throw error;
  }
}

/** A whole file, if it is not larger than `limit`; its size is looked at before memory is taken. @internal */
export async function readWhole(path: string, limit: number): Promise<Uint8Array> {
  let size: number;
  try {
    const file = await open(path);
    try {
      ({ size } = await file.stat());
      if (size <= limit) return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
  throw new PtmzError('LIMIT_EXCEEDED', `${path}: ${size} bytes are more than the ${limit} that such a file may have`);
}
