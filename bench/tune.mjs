// npm run tune: finds the sizes of native/backend/cpu/tuning.h on this machine, one after the other. Every candidate is
// built and timed on every SIMD level that the machine has; rounds alternate between the candidates.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '../dist/cli/table.js';
import { describeMachine } from './machine.mjs';
import { integer } from './options.mjs';
import { levels, numberIn, numbersOf, sizes, withNumbers } from './tuning.mjs';

const { build, cmakeOptions } = createRequire(import.meta.url)('../scripts/build-native.cjs');
// One folder for all runs: the path of the header is part of what a build tree is made for.
const folder = fileURLToPath(new URL('../build-cmake/tuning', import.meta.url));
const header = fileURLToPath(new URL('../native/backend/cpu/tuning.h', import.meta.url));

const help = `npm run tune -- [options]

Times convolutions with other sizes of tiles and blocks, and prints the best, and on the way how long it will still take.

  --only A,B      sizes to look at; default: all of ${'`--list`'}
  --write         write the best into native/backend/cpu/tuning.h
  --time MS       measuring time of each convolution in a round; default 40
  --rounds N      alternations between the candidates; default 3
  --json FILE     write machine and all times
  --list          name the sizes and what is tried

Examples:
  npm run tune -- --only tile,window
  npm run tune -- --write --json bench/results/tune.json`;

/** A gain below this is taken for noise. */
const least = 0.015;

const describe = (candidate) => Object.values(candidate).join(' x ');

/** Builds the timing program with a header of its own and keeps a copy. */
async function compile(text, name) {
  const tuned = join(folder, 'include', 'backend', 'cpu', 'tuning.h');
  mkdirSync(dirname(tuned), { recursive: true });
  writeFileSync(tuned, text);
  const options = { ...cmakeOptions(), PTMZ_TUNING: join(folder, 'include'), PTMZ_CUDA: 'OFF' };
  const tree = await build({ target: 'ptmz_convolutions', options });
  const copy = join(folder, name);
  copyFileSync(join(tree, 'ptmz_convolutions'), copy);
  return copy;
}

/** Least microseconds per shape and contraction, of all rounds. */
function keepLeast(all, lines) {
  for (const { shape, ...times } of lines)
    for (const [contraction, time] of Object.entries(times)) {
      const key = `${contraction}, ${shape}`;
      all[key] = Math.min(all[key] ?? Infinity, time);
    }
}

function measure(executable, level, time) {
  const output = execFileSync(executable, [String(time)], {
    encoding: 'utf8',
    env: { ...process.env, PTMZ_SIMD: level },
  });
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** How much faster `times` are than `base`, in the geometric mean. */
function speedup(base, times) {
  const ratios = Object.keys(base).map((key) => Math.log(base[key] / times[key]));
  return Math.exp(ratios.reduce((a, b) => a + b, 0) / ratios.length);
}

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      write: { type: 'boolean', default: false },
      time: { type: 'string', default: '40' },
      rounds: { type: 'string', default: '3' },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const only = values.only?.split(',') ?? Object.keys(sizes);
  const unknown = only.filter((name) => !(name in sizes));
  if (unknown.length > 0)
    throw new RangeError(
      `Expected sizes among ${Object.keys(sizes).join(', ')} for --only but received '${unknown.join(',')}'`,
    );
  const [time, rounds] = [integer('time', values.time, 1), integer('rounds', values.rounds, 1)];
  return { ...values, only, time, rounds };
}

/** Times all candidates of one size; gives the numbers to change and a row per candidate and level. */
async function tune(name, text, available, { time, rounds }) {
  const { perLevel = false, candidates } = sizes[name];
  const isCurrent = (candidate, level) =>
    Object.entries(numbersOf(name, candidate, level)).every(([key, value]) => numberIn(text, key) === value);
  const programs = [];
  for (const [i, candidate] of candidates.entries()) {
    const numbers = Object.assign({}, ...levels.map((level) => numbersOf(name, candidate, level)));
    programs.push(await compile(withNumbers(text, numbers), `${name}${i}`));
    process.stderr.write(`${name}: built ${describe(candidate)}\n`);
  }
  const current = await compile(text, `${name}-current`);
  const all = [...[...programs, current].entries()];
  const times = Object.fromEntries(available.map((level) => [level, [...candidates, 'current'].map(() => ({}))]));
  for (let round = 0; round < rounds; round++)
    for (const level of available)
      // There and back, so that none is always the first of a round or the last.
      for (const [i, program] of round % 2 === 0 ? all : all.toReversed())
        keepLeast(times[level][i], measure(program, level, time));
  const gain = (level, i) => speedup(times[level].at(-1), times[level][i]);
  const changed = {};
  const choose = (over) => {
    const gains = candidates.map(
      (_, i) => over.reduce((product, level) => product * gain(level, i), 1) ** (1 / over.length),
    );
    const best = gains.indexOf(Math.max(...gains));
    if (gains[best] > 1 + least && !over.every((level) => isCurrent(candidates[best], level)))
      for (const level of over) Object.assign(changed, numbersOf(name, candidates[best], level));
  };
  if (perLevel) available.forEach((level) => choose([level]));
  else choose(available);
  const rows = candidates.flatMap((candidate, i) =>
    available.map((level) => ({ size: name, level, tried: describe(candidate), faster: gain(level, i) })),
  );
  return { changed, rows, times };
}

async function main() {
  const chosen = options();
  if (chosen.help) return console.log(help);
  if (chosen.list)
    return console.log(
      Object.entries(sizes)
        .map(([name, { candidates }]) => `${name}: ${candidates.map(describe).join(', ')}`)
        .join('\n'),
    );
  try {
    let text = readFileSync(header, 'utf8');
    const copy = await compile(text, 'first');
    const available = levels.filter(
      (level) => spawnSync(copy, ['1'], { env: { ...process.env, PTMZ_SIMD: level } }).status === 0,
    );
    const [rows, results, start] = [[], {}, Date.now()];
    for (const [i, name] of chosen.only.entries()) {
      const { changed, rows: own, times } = await tune(name, text, available, chosen);
      text = withNumbers(text, changed);
      rows.push(...own);
      results[name] = { changed, times };
      const left = ((Date.now() - start) / 60000 / (i + 1)) * (chosen.only.length - i - 1);
      process.stderr.write(`${name}: ${JSON.stringify(changed)}, ${left.toFixed(0)} min left\n`);
    }
    const columns = ['size', 'level', 'tried'].map((heading) => ({ heading, cell: (row) => row[heading] }));
    columns.push({ heading: 'faster than now', cell: ({ faster }) => `${faster.toFixed(3)}x` });
    console.log(formatTable(columns, rows));
    const changes = Object.assign({}, ...Object.values(results).map(({ changed }) => changed));
    console.log(
      Object.keys(changes).length > 0 ? `better: ${JSON.stringify(changes)}` : 'the table is the best of these',
    );
    if (chosen.write) writeFileSync(header, text);
    if (chosen.json)
      writeFileSync(chosen.json, `${JSON.stringify({ machine: describeMachine(), results }, null, 1)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = error instanceof RangeError || error.code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
}
