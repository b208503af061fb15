/** What the commands print: tables of facts and errors, plain text without control codes. */
import { PtmzError } from '../errors.js';

/** Lines of `name  value`, the values aligned. */
export function alignPairs(pairs: [name: string, value: string][]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs
    .map(([name, value]) => `${name.padEnd(width)}  ${value.replaceAll('\n', `\n${' '.repeat(width + 2)}`)}`)
    .join('\n');
}

/** Prints an error as a user wants to read it: what happened and what to do; the stack only for faults of our own. */
export function reportError(error: unknown): void {
  if (!(error instanceof Error)) console.error(`error: ${String(error)}`);
  else if (error.name === 'AbortError') console.error('stopped');
  else if (error instanceof PtmzError && error.code !== 'INTERNAL') {
    console.error(`error: ${error.message}`);
    if (error.hint !== undefined && !error.message.includes(error.hint)) console.error(`  ${error.hint}`);
  } else console.error(error.stack);
}
