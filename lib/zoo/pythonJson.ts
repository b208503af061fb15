/** JSON as Python writes it: with NaN and Infinity, which JSON does not have; and files with one value per line. */
import { attempt, disk } from '../formats/atomicFile.js';

/** Any object of such a file. A key `__proto__` is a key of its own. */
export type JsonObject = Readonly<Record<string, unknown>>;

const numbers: Record<string, number> = { NaN, Infinity, '-Infinity': -Infinity };
// No text of a real file; in a hostile one it becomes a number, which harms nobody.
const mark = '\u0000number:';

/** @throws SyntaxError */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (token) =>
      token.startsWith('"') ? token : JSON.stringify(mark + token),
    );
    return JSON.parse(marked, (_, value: unknown) =>
      typeof value === 'string' && value.startsWith(mark) ? numbers[value.slice(mark.length)] : value,
    ) as unknown;
  }
}

/** The lines of a file that could be read, and those that could not. */
export interface JsonLines {
  rows: JsonObject[];
  /** Numbers of lines, from 1, that hold no object. */
  badLines: number[];
  /** Whether the last line was cut: its writer was stopped while it wrote. */
  truncated: boolean;
}

/**
 * Reads one object per line; blank lines are passed over.
 *
 * @throws PtmzError `IO_ERROR`
 */
export function readJsonLines(path: string): JsonLines {
  const text = attempt('read', path, () => disk.read(path)).toString('utf8');
  const result: JsonLines = { rows: [], badLines: [], truncated: false };
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    if (line.trim() === '') return;
    const row = tryParse(line);
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) result.rows.push(row as JsonObject);
    // What stands after the last line break was not finished.
    else if (index === lines.length - 1) result.truncated = true;
    else result.badLines.push(index + 1);
  });
  return result;
}

function tryParse(line: string): unknown {
  try {
    return parsePythonJson(line);
  } catch {
    return undefined;
  }
}
