// The rows G1 to G5 and G7 against PyTorch on the same card, and what the card itself can do; one JSON.
//
//   scripts/gpu-check.sh --races [--rows G1 --rows G3 ...] [--device cuda:0] [--time MS] [--rounds N] [--no-compile]
//                                [--minutes N] [--quick]
//
// PyTorch is that of $PTMZ_PYTHON (default python3); where it is missing, or its workload fails, our side runs alone and
// the report says so. It is written after every row, and none is begun after so many minutes (9), so that a machine that
// is lent for ten keeps what was measured. --quick with --device cpu tries the script itself: shapes are small and
// figures mean nothing.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { batchTensors, Handover, stateTensors } from '../../bench/inputs.mjs';
import { integer } from '../../bench/options.mjs';
import { findPython, Peers } from '../../bench/peer.mjs';
import { race } from '../../bench/race.mjs';
import { hessianFlops, trainingFlops } from '../../bench/resnet-work.mjs';
import { compareLosses } from '../../bench/training.mjs';
import * as sides from './sides.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const flag = { type: 'boolean' };
const text = { type: 'string' };
const { values: given } = parseArgs({
  options: {
    ...{ rows: { ...text, multiple: true }, device: { ...text, default: 'cuda' }, out: text },
    ...{ time: { ...text, default: '400' }, rounds: { ...text, default: '3' }, 'no-compile': flag, quick: flag },
    minutes: { ...text, default: '9' },
  },
});
const { device, quick = false } = given;
const timing = { time: integer('time', given.time, 1), rounds: integer('rounds', given.rounds, 1) };
const minutes = integer('minutes', given.minutes, 0);
const modes = ['eager', 'graph', ...(given['no-compile'] ? [] : ['compile'])];
const report = { quick, device, ceilings: {}, rows: [], skipped: [] };
const python = findPython();
const peers = new Peers(python);
const peer = peers.with(1);
if (!peer) report.skipped.push(`PyTorch: ${python.missing}`);

// ---- the two sides

/** The peer's variants that open, by name; of one that does not the report says why. `units` are those of a measure. */
async function variants(all) {
  const open = [];
  for (const [name, settings, units = 1] of peer ? all : []) {
    try {
      const workload = await peer.open('gpu', { device, ...settings });
      open.push({ name, measure: async (ms) => (await workload.measure(ms)) / units, close: workload.close });
    } catch (error) {
      report.skipped.push(`${name} of ${JSON.stringify(settings)}: ${error.message.split('\n')[0].slice(0, 200)}`);
    }
  }
  return open;
}

/** Races what we have against the same variants of the peer, which are closed then; times in milliseconds per unit. */
async function compete(others, ...own) {
  const results = [];
  try {
    for (const ours of own) results.push(await race(ours, others, timing));
  } finally {
    for (const { close } of others) await close();
  }
  return results;
}

/** Losses of the first ten steps from the same weights, in float32 on both sides. */
async function checked(width, batch) {
  if (!peer) return undefined;
  const { images, state, losses } = await sides.firstLosses({ width, batch, device, steps: 10 });
  const handover = new Handover();
  try {
    const file = handover.write([...batchTensors(images), ...stateTensors(state, 'net.')]);
    const workload = await peer.open('gpu', { device, file, ...training(width, batch, 'float32', 'eager') });
    const outcome = compareLosses(losses, [await workload.check({ steps: 10 })]);
    await workload.close();
    return { ...outcome, passed: outcome.difference <= outcome.tolerance };
  } finally {
    handover.dispose();
  }
}

const training = (width, batch, precision, mode) => ({
  ...{ kind: 'train', depth: 18, width, batch, mode, precision, sgd: sides.sgd },
});
const trainPeers = (width, batch, precision, of = modes) =>
  variants(of.map((mode) => [mode, training(width, batch, precision, mode)]));

function keep(row, what, result, more = {}) {
  const entry = { row, what, unit: 'ms', ...result, ...more };
  report.rows.push(entry);
  const { ours, peer: theirs, ratio, variant, check } = entry;
  const against =
    theirs === undefined ? 'alone' : `${theirs.toFixed(4)} ms of PyTorch (${variant}), ${ratio.toFixed(2)}x`;
  const figures = Object.entries(more).filter(([, value]) => typeof value === 'number');
  const rest = figures.map(([name, value]) => `, ${name} ${Number(value.toPrecision(4))}`).join('');
  const verdict = check === undefined ? '' : `, losses ${check.passed ? 'agree' : 'DIFFER'}`;
  console.log(`${row} ${what}: ${ours.toFixed(4)} ms against ${against}${rest}${verdict}`);
}

// ---- what the card can do

async function ceilings() {
  const [short, long] = quick ? [8, 24] : [64, 1024];
  const count = quick ? 2 ** 18 : 2 ** 28;
  const side = quick ? 128 : 8192;
  const at = async (of) => of.measure(timing.time);
  const node = ([few, many]) => (1000 * (many - few)) / (long - short);
  report.ceilings.ours = {
    'us per launch of a graph': node([
      await at(sides.chain({ length: short, device })),
      await at(sides.chain({ length: long, device })),
    ]),
    'copy GB/s': (8 * count) / (await at(sides.copy({ count, device }))) / 1e6,
  };
  for (const precision of device === 'cpu' ? ['float32'] : ['float32', 'tf32', 'bf16'])
    report.ceilings.ours[`product TFLOP/s, ${precision}`] =
      (2 * side ** 3) / (await at(sides.product({ side, device, precision }))) / 1e9;
  const open = await variants([
    ['few', { kind: 'chain', length: short }],
    ['many', { kind: 'chain', length: long }],
    ['copy', { kind: 'copy', bytes: 4 * count }],
    ...['float32', 'tf32', 'bf16'].map((precision) => [precision, { kind: 'product', side, precision }]),
  ]);
  const times = Object.fromEntries(
    await open.reduce(async (all, one) => [...(await all), [one.name, await at(one)]], Promise.resolve([])),
  );
  for (const { close } of open) await close();
  if (open.length > 0)
    report.ceilings.torch = {
      'us per launch of a graph': node([times.few, times.many]),
      'copy GB/s': (8 * count) / times.copy / 1e6,
      ...Object.fromEntries(
        ['float32', 'tf32', 'bf16'].map((name) => [`product TFLOP/s, ${name}`, (2 * side ** 3) / times[name] / 1e9]),
      ),
    };
  console.log(JSON.stringify(report.ceilings, null, 1));
}

// ---- the rows

const precisions = (...all) => (device === 'cpu' ? ['float32'] : all);

async function single(row, width, batch, theirs, ...own) {
  const tried = precisions(...own);
  const ours = tried.map((precision) => sides.steps({ width, batch, members: 1, device, precision }));
  const results = await compete(await trainPeers(width, batch, theirs), ...ours);
  for (const [i, result] of results.entries())
    keep(row, `ResNet-18 ${width}x${batch}, ${tried[i]}`, result, {
      'precision of PyTorch': theirs,
      'steps/s': 1000 / result.ours,
      'TFLOP/s': trainingFlops(18, width, batch) / result.ours / 1e9,
      ...(tried[i] === 'float32' && { check: await checked(width, batch) }),
    });
}

async function manyMembers() {
  const members = quick ? 3 : 132;
  const ours = sides.steps({ width: 2, batch: 8, members, device });
  const alone = ['eager', 'graph'].map((mode) => [`one after the other, ${mode}`, training(2, 8, 'tf32', mode)]);
  const stacked = ['eager', 'graph'].map((mode) => [
    `vmap, ${mode}`,
    { ...training(2, 8, 'tf32', mode), kind: 'population', members },
    members,
  ]);
  const [result] = await compete(await variants([...alone, ...stacked]), ours);
  keep('G2', `ResNet-18 2x8, a step of one of ${members} members`, result, { 'model steps/s': 1000 / result.ours });
}

/** Hours of a zoo's training from the steps per second of every cell; nothing is trained to its end. */
async function zoo(row, widths) {
  const batches = quick ? [8, 16] : [8, 16, 32, 64, 128, 256, 512, 1024];
  const [train, test, epochs, seeds] = [50_000, 10_000, 150, 3];
  const total = { ours: 0, tests: 0, peer: 0, cells: [] };
  for (const width of widths) {
    const tests = await sides.tests({ width, batch: 8, members: seeds, device }).measure(timing.time);
    total.tests += (batches.length * seeds * epochs * test * tests) / 3.6e6;
    for (const batch of batches) {
      const steps = epochs * Math.ceil(train / batch) * seeds;
      const ours = sides.steps({ width, batch, members: seeds, device });
      const [result] = await compete(await trainPeers(width, batch, 'tf32', ['eager']), ours);
      total.ours += (steps * result.ours) / 3.6e6;
      total.peer += (steps * (result.peer ?? NaN)) / 3.6e6;
      total.cells.push({ width, batch, ours: result.ours, peer: result.peer });
    }
  }
  const models = widths.length * batches.length * seeds;
  const name = `${models} models of widths ${widths.join(', ')}, ${epochs} epochs`;
  report.rows.push({ row, what: name, unit: 'hours, extrapolated', ...total });
  const against = peer ? `${total.peer.toFixed(2)} h of PyTorch, run eagerly, without tests` : 'nothing: no PyTorch';
  console.log(
    `${row} ${name}, extrapolated: ${total.ours.toFixed(3)} h and ${total.tests.toFixed(3)} h of tests against ${against}`,
  );
}

/** PyHessian's caps: 100 products for the trace and 100 for the eigenvalue, on 10 batches of 64 of both splits. */
async function hessians() {
  const models = 24;
  for (const width of quick ? [2] : [2, 8, 16, 64])
    for (const precision of precisions('float32', 'tf32')) {
      const settings = quick ? { images: 64, block: 2 } : { images: 640, block: 16 };
      const ours = sides.products({ width, device, precision, ...settings });
      const others = await variants([['eager', { kind: 'hvp', width, batch: 64, precision: 'tf32' }]]);
      const [result] = await compete(others, ours);
      const hours = (ms) => (models * 200 * 10 * 2 * ms) / 3.6e6;
      keep('G7', `product of 64 images, ResNet-18 of width ${width}, ${precision}`, result, {
        'TFLOP/s': hessianFlops(18, width, 64, settings.block) / result.ours / 1e9,
        [`hours of ${models} models`]: hours(result.ours),
        ...(result.peer !== undefined && { [`hours of PyTorch`]: hours(result.peer) }),
      });
    }
}

const rows = {
  ceilings,
  G1: () => single('G1', 2, 8, 'tf32', 'float32', 'tf32'),
  G2: manyMembers,
  G3: () => (quick ? single('G3', 2, 16, 'bf16', 'float32') : single('G3', 64, 128, 'bf16', 'float32', 'tf32', 'bf16')),
  G4: () => zoo('G4', [2]),
  G5: () => zoo('G5', quick ? [2, 4] : [2, 4, 8, 16]),
  G7: hessians,
};

const wanted = given.rows ?? Object.keys(rows);
const unknown = wanted.find((name) => !(name in rows));
if (unknown !== undefined) throw new Error(`--rows: expected some of ${Object.keys(rows).join(', ')}, got ${unknown}`);
const began = performance.now();
const day = new Date().toISOString().slice(0, 10);
const out = given.out ?? join(root, 'bench/results', `gpu-races-${device.replace(':', '')}-${day}.json`);
mkdirSync(dirname(out), { recursive: true });
const save = () => writeFileSync(out, `${JSON.stringify(report, null, 2)}\n`);
try {
  report.torch = peer && (await peer.call('info'));
  for (const name of wanted) {
    if (performance.now() - began > 60_000 * minutes) report.skipped.push(`${name}: ${minutes} minutes were over`);
    else await rows[name]().catch((error) => report.skipped.push(`${name}: ${error.message}`));
    save();
  }
} finally {
  await peers.close();
  save();
  for (const what of report.skipped) console.log(`skipped ${what}`);
  console.log(out);
}
if (report.rows.some(({ check }) => check?.passed === false)) process.exitCode = 1;
