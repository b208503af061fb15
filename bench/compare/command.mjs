// The frame of the comparisons: options, a Python process, and errors.
import { parseArgs } from 'node:util';
import { integer } from '../options.mjs';
import { findPython, Peer } from '../peer.mjs';

/**
 * Runs a comparison as a command.
 *
 * @param help what `--help` prints
 * @param defaults options and their defaults: numbers are integers of at least 1; `--json FILE` is always there
 * @param work gets the options and a {@link Peer} with `threads` threads
 */
export async function comparison(help, defaults, work) {
  let peer;
  try {
    const options = parse(defaults);
    if (options.help) return console.log(help);
    const python = findPython();
    if (python.missing) throw new RangeError(`This compares with PyTorch: ${python.missing}`);
    peer = new Peer(python.command, options.threads);
    await work(options, peer);
  } catch (error) {
    const mistaken = error instanceof RangeError || error.code?.startsWith('ERR_PARSE_ARGS');
    console.error(mistaken ? `error: ${error.message}` : (error.trace ?? error));
    process.exitCode = 1;
  } finally {
    await peer?.close();
  }
}

function parse(defaults) {
  const known = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' }]));
  const { values } = parseArgs({ options: { ...known, json: { type: 'string' }, help: { type: 'boolean' } } });
  const options = { ...defaults, ...values };
  for (const [name, value] of Object.entries(defaults))
    if (typeof value === 'number') options[name] = integer(name, options[name], 1);
  return options;
}
