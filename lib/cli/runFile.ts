/** `run.json` of a run's directory: what the command line was told and the checkpoints do not know. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { checkInteger, checkObject, checkString, PtmzError } from '../errors.js';
import { attempt, disk, writeFileAtomic } from '../formats/atomicFile.js';
import type { SaveOptions } from '../train/saving.js';
import { dataKeys, type DataOptions } from './dataOptions.js';

/** What a later command on the same run takes from it. */
export interface RunFile {
  /** As `--data` and its companions; paths are absolute. Null for a network that has its own points. */
  data: DataOptions | null;
  saveEvery: NonNullable<SaveOptions['saveEvery']>;
  keep: number;
}

const format = 'ptmz-run';
const version = 1;

/** The directory of a run, also where one of its checkpoints is given. */
export function runDirectory(path: string): string {
  return existsSync(join(path, 'checkpoint.json')) ? dirname(resolve(path)) : path;
}

/** Writes it, whole or not at all. Throws `DISK_FULL`, `NOT_WRITABLE`, `IO_ERROR`. */
export function writeRunFile(directory: string, contents: RunFile): void {
  const text = JSON.stringify({ format, version, ...contents }, null, 2);
  writeFileAtomic(join(directory, 'run.json'), Buffer.from(`${text}\n`));
}

/**
 * Reads it; undefined where there is none, as in a run that was saved by a program.
 *
 * @throws PtmzError `DATA_MALFORMED`, `IO_ERROR`
 */
export function readRunFile(directory: string): RunFile | undefined {
  const path = join(directory, 'run.json');
  if (!existsSync(path)) return undefined;
  const bytes = attempt('read', path, () => disk.read(path));
  try {
    return parse(bytes.toString());
  } catch (cause) {
    throw new PtmzError('DATA_MALFORMED', `${path}: ${(cause as Error).message}`, {
      hint: 'It may be removed: the checkpoints do not need it, but --data is then asked for.',
      cause,
    });
  }
}

function parse(text: string): RunFile {
  const contents = JSON.parse(text) as RunFile & { format: string; version: number };
  checkObject('its contents', contents);
  if (contents.format !== format || contents.version > version)
    throw new PtmzError('DATA_MALFORMED', `expected ${format} up to ${version}, it says ${contents.format}`);
  const { data, saveEvery, keep } = contents;
  if (data !== null) checkData(data);
  checkObject('saveEvery', saveEvery, ['epochs', 'steps']);
  checkInteger('keep', keep, 1);
  return { data, saveEvery, keep };
}

function checkData(data: DataOptions): void {
  checkObject('data', data);
  checkString('data.data', data.data);
  for (const key of dataKeys.slice(1)) if (data[key] !== undefined) checkInteger(`data.${key}`, data[key], 1);
}
