/** Peers: optional packages that some functions need; a missing one is named with the command that installs it. */
import { PtmzError } from './errors.js';

const figures = 'npm install vega vega-lite @resvg/resvg-js';
const commands = {
  'gpt-tokenizer': 'npm install gpt-tokenizer',
  sharp: 'npm install sharp',
  vega: figures,
  'vega-lite': figures,
  '@resvg/resvg-js': figures,
} as const;
/** What is imported of a package, where that is a part of it. */
const parts: Partial<Record<keyof typeof commands, string>> = { 'gpt-tokenizer': 'gpt-tokenizer/encoding/r50k_base' };

/** Imports a package; tests put a failing one in its place. @internal */
export type ImportPackage = (name: string) => Promise<unknown>;

/**
 * What an optional package exports.
 *
 * @param user the function that needs it
 * @throws PtmzError `MISSING_PEER`
 * @internal
 */
export async function loadPeer<T>(
  name: keyof typeof commands,
  user: string,
  load: ImportPackage = (name) => import(name),
): Promise<T> {
  try {
    const found = (await load(parts[name] ?? name)) as T & { default?: T };
    return found.default ?? found;
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0];
    throw new PtmzError('MISSING_PEER', `${user} needs the package ${name}, which could not be loaded: ${reason}`, {
      hint: commands[name],
      cause,
    });
  }
}
