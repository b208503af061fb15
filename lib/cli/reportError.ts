/** Errors as a user wants to read them: what happened and what to do; the stack only for faults of our own. */
import { PtmzError } from '../errors.js';

/** Prints an error on stderr, without control codes. */
export function reportError(error: unknown): void {
  if (!(error instanceof Error)) console.error(`error: ${String(error)}`);
  else if (error.name === 'AbortError') console.error('stopped');
  else if (error instanceof PtmzError && error.code !== 'INTERNAL') {
    console.error(`error: ${error.message}`);
    if (error.hint !== undefined && !error.message.includes(error.hint)) console.error(`  ${error.hint}`);
  } else console.error(error.stack);
}
