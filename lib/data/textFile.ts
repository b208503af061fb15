/** textFile: a text as it lies in a file, for language models on characters. */
import { basename, extname } from 'node:path';
import { checkObject } from '../errors.js';
import { malformed, readWhole } from './files.js';
import { characters, type CharacterSet } from './characters.js';
import { firstWindows } from './text.js';

/** Longer texts are better tokenised once, and then read as they are needed. */
const largest = 2 ** 28;

/** What {@link textFile} takes. */
export interface TextFileOptions {
  /** Length of a window. */
  block: number;
  /** Part at the end for evaluation, in (0, 1); default 0.1. */
  test?: number;
  /** The first so many windows of both parts; default: all. */
  windows?: { train?: number; test?: number };
}

/**
 * Reads a text in UTF-8 as characters.
 *
 * @throws PtmzError `DATA_MALFORMED` where it is not UTF-8, `LIMIT_EXCEEDED` above 256 MiB, `IO_ERROR`,
 * `INVALID_ARGUMENT` where there are fewer characters than a window has
 * @example
 * ```ts
 * import { rmSync, writeFileSync } from 'node:fs';
 * import { textFile } from 'ptmz-native';
 * writeFileSync('hamlet.txt', 'to be or not to be, that is the question');
 * const data = await textFile('hamlet.txt', { block: 4, test: 0.25 });
 * data.test?.count; // 2 windows
 * rmSync('hamlet.txt');
 * ```
 */
export async function textFile(path: string, options: TextFileOptions): Promise<CharacterSet> {
  checkObject('options of textFile', options, ['block', 'test', 'windows']);
  const { windows = {}, ...rest } = options;
  const bytes = await readWhole(path, largest);
  let source: string;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw malformed(path, 'it is not text in UTF-8', cause);
  }
  if (source === '') throw malformed(path, 'there is no text');
  const data = characters(source, { test: 0.1, ...rest, name: basename(path, extname(path)) });
  const test = data.test && firstWindows('windows.test', data.test, windows.test);
  return { ...data, train: firstWindows('windows.train', data.train, windows.train), ...(test && { test }) };
}
