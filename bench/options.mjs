// Options of the benchmark command, checked before anything is measured.
import { parseArgs } from 'node:util';

export const help = `npm run bench -- [options]

  --only A,B      workloads, or groups of them, to run; default: all
  --rows A,B      rows of the workloads, such as 2x8 or r18-2x8; default: all that are not marked slow
  --slow          the slow rows too
  --threads N     threads of both sides, where a workload does not set them; default 1
  --rounds N      alternations of peer and package; default 5
  --time MS       measuring time of each side in a round, and of each plain timing; default 1000
  --compile       let PyTorch also run under torch.compile (half a minute more for every row)
  --no-peer       measure this package alone
  --json FILE     write machine, versions and all numbers
  --list          name the workloads and their rows

PyTorch is looked for in the Python that PTMZ_PYTHON names, else in python3.`;

/** A number of the command line; throws a RangeError. */
export const integer = (name, text, least) => {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new RangeError(`Expected an integer of at least ${least} for --${name} but received '${text}'`);
};

const list = (text) =>
  text
    ?.split(',')
    .map((item) => item.trim())
    .filter(Boolean);

/** The options of a command line; throws on what is unknown or out of range. */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      rows: { type: 'string' },
      slow: { type: 'boolean', default: false },
      threads: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '5' },
      time: { type: 'string', default: '1000' },
      compile: { type: 'boolean', default: false },
      'no-peer': { type: 'boolean', default: false },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    only: list(values.only),
    rows: list(values.rows),
    slow: values.slow,
    threads: integer('threads', values.threads, 1),
    rounds: integer('rounds', values.rounds, 1),
    time: integer('time', values.time, 1),
    compile: values.compile,
    peer: !values['no-peer'],
    json: values.json,
    list: values.list,
    help: values.help,
  };
}

/** The workloads that are named, or of which a group is named. */
export function chooseWorkloads(workloads, only) {
  if (!only) return workloads;
  const known = new Set(workloads.flatMap(({ name, groups }) => [name, ...groups]));
  const unknown = only.filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw new RangeError(`Expected some of ${[...known].join(', ')} for --only but received '${unknown.join(', ')}'`);
  return workloads.filter(({ name, groups }) => only.some((wanted) => wanted === name || groups.includes(wanted)));
}

/** The rows that are named, in full or by what follows the first dash; else those that are not slow. */
export function chooseRows(rows, { rows: wanted, slow }) {
  if (!wanted) return rows.filter((row) => slow || !row.slow);
  return rows.filter(({ id }) => wanted.some((name) => name === id || name === id.slice(id.indexOf('-') + 1)));
}
