// The checks of gpu-check.sh: what one run on a machine with a GPU has to tell. Prints as it goes, writes one JSON.
//
//   node scripts/gpu/check.mjs [--oracle DIR] [--out FILE] [--minutes N] [--quick]
//   node scripts/gpu/check.mjs --digest | --digest-training       (what it calls itself with)
//
// Races against PyTorch (races.mjs) and the sanitizer get what the checks leave of so many minutes (9); the report is
// written before them and at the end. --quick leaves timings short, for the emulated device; such a report says so.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { integer } from '../../bench/options.mjs';
import { compareDevices, compileModel, manyPixels, models, results, wideLayer } from './models.mjs';
import { digestOf, gapOf, leastMemory, ofWords, trained, trainedOnFile, trainings } from './training.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const self = fileURLToPath(import.meta.url);
const { values: given } = parseArgs({
  options: {
    ...{ oracle: { type: 'string' }, out: { type: 'string' }, quick: { type: 'boolean' } },
    minutes: { type: 'string', default: '9' },
    ...{ digest: { type: 'boolean' }, 'digest-training': { type: 'boolean' } },
  },
});
const first = 'ResNet-18 of width 2';
const [firstTraining] = Object.keys(trainings);
const single = { device: 'cuda', dtype: 'float32' };
const report = { quick: given.quick ?? false, checks: [], skipped: [], timings: [] };
const minutes = integer('minutes', given.minutes, 1);
const secondsOfSanitizer = 100;
/** Until the end of the run. */
const secondsLeft = () => 60 * minutes - performance.now() / 1000;

if (given.digest) console.log(await digest(3));
else if (given['digest-training']) console.log(digestOf(await trained(firstTraining, single)));
else await main();

async function main() {
  const doctor = JSON.parse(node(['dist/cli/main.js', 'doctor', '--json']).stdout);
  const gpu = doctor.devices.find(({ name }) => name === 'cuda:0');
  Object.assign(report, { devices: doctor.devices, package: doctor.package, node: doctor.node });
  if (!gpu?.available) {
    console.error(`no CUDA device: ${JSON.stringify(doctor.devices)}`);
    process.exitCode = 2;
    return;
  }
  console.log(gpu.detail);
  runOracle(given.oracle);
  await checkModels();
  await checkEquality();
  await checkTraining();
  await checkMemory();
  await time();
  const card = gpu.detail.split(',')[0].replace(/\W+/g, '-').toLowerCase();
  const out = given.out ?? join(root, 'bench/results', `gpu-${card}-${new Date().toISOString().slice(0, 10)}.json`);
  mkdirSync(dirname(out), { recursive: true });
  const save = () => writeFileSync(out, `${JSON.stringify(report, null, 2)}\n`);
  save();
  race();
  checkSanitizer();
  report.seconds = performance.now() / 1000;
  save();
  const failed = report.checks.filter(({ passed }) => !passed).length;
  for (const what of report.skipped) console.log(`skipped ${what}`);
  console.log(`${out}\ngpu: ${report.checks.length - failed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

function check(name, passed, detail) {
  report.checks.push({ name, passed, detail });
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${name}${detail === undefined ? '' : `: ${detail}`}`);
}

function node(args, { env = {}, wrapper = [], ...options } = {}) {
  const [command, ...rest] = [...wrapper, process.execPath, ...args];
  return spawnSync(command, rest, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 180_000,
    maxBuffer: 2 ** 27,
    ...options,
  });
}

function runOracle(directory) {
  if (directory === undefined) return report.skipped.push('oracle: give its folder with --oracle');
  for (const part of ['ops', 'models']) {
    const { stdout, stderr } = node(['dist/oracle/main.js', directory, '--device', 'cuda', '--only', part]);
    const line = /\d+ passed, (\d+) failed.*/.exec(stdout);
    const good = line !== null && Number(line[1]) === 0;
    check(`oracle, ${part}`, good, line ? line[0] : stderr.slice(-300));
    if (!good) report.checks.at(-1).log = stdout.slice(0, 4000);
  }
}

async function checkModels() {
  for (const name of Object.keys(models))
    for (const members of [1, 3])
      for (const [dtype, tolerance] of [
        ['float64', 1e-9],
        ['float32', 5e-3],
      ])
        for (const [key, gap] of Object.entries(await compareDevices(name, members, dtype)))
          check(`${name}, ${members} members, ${dtype}: ${key}`, gap < tolerance, `differs by ${gap.toExponential(1)}`);
}

/** A hash of the bits of a program's results over several runs - launched, recorded, replayed - or those that differ. */
async function digest(members, options = {}, name = first, runs = 3) {
  const model = compileModel(name, { dtype: 'float32', device: 'cuda', members });
  const vectors = Object.fromEntries(
    model.program.inputs.map(({ name }) => [name, model.program.vector(name, members)]),
  );
  for (const { name, size } of model.program.inputs)
    for (let row = 0; row < vectors[name].rows; ++row)
      vectors[name].set(row, model.inputs[name].slice(row * size, (row + 1) * size));
  const into = Object.fromEntries(model.program.outputs.map(({ name }) => [name, model.program.vector(name, members)]));
  const digests = [];
  for (let run = 0; run < runs; ++run) {
    await model.program.run(vectors, { members, into, ...options });
    const hash = createHash('sha256');
    for (const vector of Object.values(into))
      for (let row = 0; row < vector.rows; ++row) hash.update(Buffer.from(vector.toArray(row).buffer));
    digests.push(hash.digest('hex').slice(0, 16));
  }
  for (const vector of [...Object.values(vectors), ...Object.values(into)]) vector.dispose();
  model.dispose();
  return [...new Set(digests)].join(' ');
}

async function checkEquality() {
  const recorded = await digest(3);
  check('launched, recorded and replayed: the same bits', !recorded.includes(' '), recorded);
  const plain = node([self, '--digest'], { env: { PTMZ_NO_GRAPHS: '1' } }).stdout.trim();
  check('without graphs: the same bits', plain === recorded, plain);
  check('again: the same bits', (await digest(3)) === recorded);
  // Which block is the last that leaves its part of a sum differs from run to run.
  const shared = await digest(5, {}, manyPixels, given.quick ? 3 : 500);
  check('sums that blocks share, again and again: the same bits', !shared.includes(' '), shared);
  const wide = await digest(3, {}, wideLayer);
  check('a product of cuBLASLt, launched, recorded and replayed: the same bits', !wide.includes(' '), wide);
  // Room for two of three members: what they need is not known beforehand, so the limit is lowered until it chunks.
  const model = compileModel(first, { dtype: 'float32', device: 'cuda', members: 3 });
  await results(model, { members: 3 });
  const all = model.program.lastRun.arenaBytes;
  model.dispose();
  const chunked = await digest(3, { memoryLimit: Math.floor(all * 0.75) });
  check('in chunks: the same bits', chunked === recorded, chunked);
}

/** Trajectories against the CPU's; and on this device the same bits, however a training is cut. */
async function checkTraining() {
  for (const name of Object.keys(trainings)) {
    const [cpu, cuda] = [
      await trained(name, { dtype: 'float64' }),
      await trained(name, { dtype: 'float64', device: 'cuda' }),
    ];
    const gap = gapOf(cpu, cuda);
    check(`training, ${name}, against the CPU`, gap < 1e-7, `differs by ${gap.toExponential(1)}`);
  }
  const whole = await trained(firstTraining, single);
  const expected = digestOf(whole);
  const same = (what, digest) => check(`training, ${what}: the same bits`, digest === expected, digest);
  same('again', digestOf(await trained(firstTraining, single)));
  same('without graphs', node([self, '--digest-training'], { env: { PTMZ_NO_GRAPHS: '1' } }).stdout.trim());
  same('stopped twice and gone on', digestOf(await trained(firstTraining, { ...single, stops: [1, 4] })));
  const memoryLimit = await leastMemory(firstTraining, single);
  same('one member at a time', digestOf(await trained(firstTraining, { ...single, job: { memoryLimit } })));
  const [beside] = await Promise.all([firstTraining, ...Object.keys(trainings)].map((name) => trained(name, single)));
  same('beside others', digestOf(beside));
  const alone = [];
  for (const member of whole.keys()) alone.push(...(await trained(firstTraining, { ...single, member })));
  same('every member alone', digestOf(alone));
  const inMemory = digestOf(await trained(ofWords, single));
  for (const [way, bytes] of [
    ['as a whole', 2 ** 20],
    ['in windows', 0],
  ]) {
    const digest = digestOf(await trainedOnFile(bytes, single));
    check(`training, tokens of a file ${way}: the same bits`, digest === inMemory, digest);
  }
}

async function checkMemory() {
  const { Vector } = await import('../../dist/index.js');
  let code = 'nothing thrown';
  try {
    new Vector('float32', 2 ** 12, 2 ** 28, 'cuda').dispose();
  } catch (error) {
    code = `${error.code}: ${error.message}`;
  }
  check('too much memory is a typed error', code.startsWith('OUT_OF_MEMORY'), code);
  check('and work goes on after it', !(await digest(2)).includes(' '));
}

/** Rows of speed beside PyTorch's; what was measured stays where time runs out. */
function race() {
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-races-'));
  const out = join(folder, 'races.json');
  const seconds = Math.floor(secondsLeft() - secondsOfSanitizer);
  // A row that is begun takes a minute or two where PyTorch compiles.
  const limits = ['--out', out, '--minutes', `${Math.max(0, Math.floor(seconds / 60) - 1)}`];
  const quick = given.quick ? ['--quick', '--time', '1', '--rounds', '1', '--rows', 'ceilings'] : [];
  const timeout = 1000 * Math.max(1, seconds);
  const { status } = node(['scripts/gpu/races.mjs', ...limits, ...quick], { timeout, stdio: 'inherit' });
  if (existsSync(out)) report.races = JSON.parse(readFileSync(out, 'utf8'));
  if (status === null) report.skipped.push('races: the last row, as time ran out');
  else check('races: no losses differ from those of PyTorch, where it is', status === 0);
  rmSync(folder, { recursive: true });
}

function checkSanitizer() {
  if (spawnSync('compute-sanitizer', ['--version']).status !== 0)
    return report.skipped.push('compute-sanitizer: not installed');
  for (const tool of ['memcheck', 'racecheck'])
    for (const what of ['--digest', '--digest-training']) {
      const wrapper = ['compute-sanitizer', '--tool', tool, '--error-exitcode', '9'];
      const name = `compute-sanitizer ${tool} ${what.slice(2)}`;
      const env = { PTMZ_NO_GRAPHS: '1', PTMZ_CUBLAS: 'off' };
      const timeout = 1000 * Math.max(1, Math.floor(secondsLeft()));
      const { status, stdout } = node([self, what], { env, wrapper, timeout });
      if (status === null) report.skipped.push(`${name}: time ran out`);
      else check(name, status === 0, stdout?.trim().split('\n').at(-1));
    }
}

/** Calls `run(n)` with more and more repetitions until they take long enough; repetitions per second. */
async function rate(run) {
  const least = given.quick ? 1 : 2000;
  await run(given.quick ? 1 : 5);
  for (let n = given.quick ? 1 : 5; ; n *= 2) {
    const start = performance.now();
    await run(n);
    const milliseconds = performance.now() - start;
    if (milliseconds >= least) return (1000 * n) / milliseconds;
  }
}

function timed(row) {
  report.timings.push(row);
  const { what, members, perSecond } = row;
  console.log(
    `${what}, ${members} members: ${perSecond.toFixed(1)}/s, ${(perSecond * members).toFixed(1)} of one member/s`,
  );
}

async function time() {
  for (const members of given.quick ? [1, 3] : [1, 3, 24, 132]) {
    await timeGradient(members);
    await timeTraining(members);
  }
}

/** Runs per second of the gradient program, vectors resident. */
async function timeGradient(members) {
  const model = compileModel(first, { dtype: 'float32', device: 'cuda', members, hvp: false });
  const { program } = model;
  const vectors = Object.fromEntries(program.inputs.map(({ name }) => [name, program.vector(name, members)]));
  const into = Object.fromEntries(program.outputs.map(({ name }) => [name, program.vector(name, members)]));
  const perSecond = await rate(async (n) => {
    for (let i = 0; i < n; ++i) await program.run(vectors, { members, into });
  });
  timed({ what: `gradient of ${first}, batch 4 of 3x16x16`, members, perSecond });
  for (const vector of [...Object.values(vectors), ...Object.values(into)]) vector.dispose();
  model.dispose();
}

/** Training steps per second of ResNet-18 2x8: samples resident, cropped and flipped; without evaluation. */
async function timeTraining(members) {
  const { arrays, prepareResNet } = await import('../../dist/index.js');
  const [count, side] = given.quick ? [16, 8] : [1024, 32];
  const images = Uint8Array.from({ length: count * 3 * side * side }, (_, i) => (i * 7919) % 251);
  const labels = Array.from({ length: count }, (_, i) => i % 10);
  const normalise = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const data = arrays({ images, shape: [count, 3, side, side], labels, classes: 10, normalise });
  const seeds = Array.from({ length: members }, (_, i) => i);
  const augment = { crop: { padding: given.quick ? 1 : 4 }, flip: 0.5 };
  const run = prepareResNet({ depth: 18, width: 2, data, batchSize: 8, epochs: 5000, seeds, augment, device: 'cuda' });
  const perSecond = await rate((n) => run.train({ until: run.step + n }));
  timed({ what: `training step of ResNet-18 2x8, images of 3x${side}x${side}`, members, perSecond });
  run.dispose();
}
