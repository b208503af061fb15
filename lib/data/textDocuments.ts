/** Texts and the documents in them: parts between `<|endoftext|>`, or lines of JSON with a field `text`. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { PtmzError } from '../errors.js';
import { fileError, malformed, readWhole } from './files.js';

const END_OF_TEXT = '<|endoftext|>';
/** Node's longest text has 2^29 - 24 characters. */
const MAX_TEXT = 2 ** 29 - 24;
/** Characters that are encoded at once: a token of many takes eight bytes until it is written. */
const PIECE = 2 ** 20;

/** @internal */
export interface Document {
  text: string;
  /** Where it begins among the bytes of all files. */
  begin: number;
}

/**
 * The documents of a file that are not blank.
 *
 * @param offset bytes of the files before it
 * @throws PtmzError `DATA_MALFORMED`, `LIMIT_EXCEEDED` for a text of more than 2^29 bytes, `IO_ERROR`
 * @internal
 */
export async function* documentsOf(path: string, offset: number): AsyncGenerator<Document> {
  if (path.toLowerCase().endsWith('.jsonl')) {
    yield* linesOf(path, offset);
    return;
  }
  const bytes = await readWhole(path, MAX_TEXT);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw malformed(path, 'not UTF-8', cause);
  }
  let begin = offset;
  for (const part of text.split(END_OF_TEXT)) {
    if (part.trim() !== '') yield { text: part, begin };
    begin += Buffer.byteLength(part) + END_OF_TEXT.length;
  }
}

async function* linesOf(path: string, offset: number): AsyncGenerator<Document> {
  const stream = createReadStream(path);
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  let [number, begin] = [0, offset];
  try {
    for await (const line of lines) {
      number++;
      const text = line.trim() === '' ? '' : textOf(line);
      if (text === undefined) throw malformed(path, `line ${number}: expected an object with a field 'text'`);
      if (text !== '') yield { text, begin };
      begin += Buffer.byteLength(line) + 1;
    }
  } catch (cause) {
    throw cause instanceof PtmzError ? cause : fileError(path, cause);
  } finally {
    lines.close();
    stream.destroy();
  }
}

function textOf(line: string): string | undefined {
  try {
    const { text } = JSON.parse(line) as { text?: unknown };
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Parts of a text that can be encoded one by one: GPT-2 never joins what stands on two sides of a single line break
 * between characters that are no blanks.
 * @internal
 */
export function* piecesOf(text: string, length = PIECE): Generator<string> {
  const place = /\S\n(?=\S)/g;
  for (let begin = 0; begin < text.length;) {
    place.lastIndex = begin + length;
    const end = place.test(text) ? place.lastIndex : text.length;
    yield text.slice(begin, end);
    begin = end;
  }
}
