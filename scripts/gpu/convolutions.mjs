// Every way of computing a convolution, side by side over the layers of ResNets, and every order of images in memory, over
// training steps: what the rates of native/backend/cuda/way.cpp and the channels from which these lie last
// (native/backend/device.cpp) are set from. One JSON.
//
//   scripts/gpu-check.sh --convolutions [--device cuda:0] [--time MS] [--members 1] [--out FILE] [--quick]
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { programTime, steps } from './sides.mjs';

const { conv2d, Graph } = await import('../../dist/index.js');

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = { type: 'string' };
const { values: given } = parseArgs({
  options: {
    ...{
      device: { ...text, default: 'cuda' },
      time: { ...text, default: '100' },
      out: text,
      quick: { type: 'boolean' },
    },
    ...{ members: { ...text, default: '1' }, measure: text },
  },
});
const ways = ['chosen', 'tiles', 'narrow', 'columns'];
const kinds = ['y', 'dx', 'dw'];
/** The fewest channels that come last: by default none. */
const orders = { outermost: undefined, last: 1, lastFrom64: 64 };

/** Channels in and out, side of the map that is read, kernel, stride: of widths 2 to 64, and of a bottleneck's 1x1. */
const layers = given.quick
  ? [[2, 4, 8, 3, 2]]
  : [
      [3, 2, 32, 3, 1],
      ...[2, 8, 16, 32, 64].flatMap((width) => [
        [width, width, 32, 3, 1],
        [width, 2 * width, 32, 3, 2],
        [8 * width, 8 * width, 4, 3, 1],
      ]),
      [64, 256, 32, 1, 1],
      [256, 256, 8, 3, 1],
    ];
const batches = given.quick ? [2] : [8, 128];

/** Width, batch and precision of a ResNet-18's step. */
const networks = given.quick
  ? [[2, 2, 'float32']]
  : [16, 64].flatMap((width) => [8, 128].flatMap((batch) => ['float32', 'tf32'].map((p) => [width, batch, p])));

if (given.measure) console.log(JSON.stringify(await { layers: layerTimes, networks: stepTimes }[given.measure]()));
else compare();

/** Milliseconds of a member's step of all networks, in the order of images that the environment names. */
async function stepTimes() {
  const rows = [];
  const { device, time, members } = given;
  for (const [width, batch, precision] of networks) {
    const samples = given.quick ? 4 : undefined;
    const side = steps({ width, batch, precision, device, members: Number(members), samples });
    rows.push(await side.measure(Number(time)));
  }
  return rows;
}

/** Milliseconds of all layers by the way that the environment names. */
async function layerTimes() {
  const rows = [];
  for (const [into, out, side, kernel, stride] of layers)
    for (const batch of batches)
      for (const kind of kinds) rows.push(await timeOf({ into, out, side, kernel, stride, batch, kind }));
  return rows;
}

async function timeOf({ into, out, side, kernel, stride, batch, kind }) {
  const graph = new Graph();
  const [x, w] = [graph.input('x', [batch, into, side, side]), graph.input('w', [out, into, kernel, kernel])];
  const y = conv2d(x, w, { stride, padding: kernel >> 1 });
  const [dx, dw] = graph.vjp([y], [graph.input('u', [...y.shape])], [x, w]);
  const members = Number(given.members);
  const options = { varying: ['x', 'w', 'u'], members };
  return programTime(graph, { [kind]: { y, dx, dw }[kind] }, given.device, Number(given.time), options);
}

/** What a process of its own measures, with a variable of the environment set; `undefined` leaves that as it is. */
function measured(what, variable, value) {
  const env = { ...process.env, ...(value !== undefined && { [variable]: String(value) }) };
  const args = [fileURLToPath(import.meta.url), '--measure', what, ...process.argv.slice(2)];
  const child = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout);
}

function compare() {
  const times = Object.fromEntries(
    ways.map((way) => {
      const name = way === 'chosen' ? undefined : way;
      return [way, measured('layers', 'PTMZ_CUDA_CONVOLUTIONS', name)];
    }),
  );
  const cases = layers.flatMap((layer) => batches.flatMap((batch) => kinds.map((kind) => [layer, batch, kind])));
  const rows = cases.map(([[into, out, side, kernel, stride], batch, kind], i) => ({
    ...{ into, out, side, kernel, stride, batch, kind },
    ms: Object.fromEntries(ways.map((way) => [way, times[way][i]])),
  }));
  for (const { into, out, side, kernel, stride, batch, kind, ms } of rows) {
    const fastest = Math.min(...Object.values(ms));
    const cells = ways.map((way) => `${way} ${ms[way].toFixed(4)}`).join(', ');
    const verdict = ms.chosen > 1.2 * fastest ? `  (chosen is ${(ms.chosen / fastest).toFixed(1)}x the fastest)` : '';
    console.log(`${kind} ${into}->${out} ${side}x${side} k${kernel} s${stride} b${batch}: ${cells}${verdict}`);
  }
  const byOrder = Object.entries(orders).map(([order, channels]) => [
    order,
    measured('networks', 'PTMZ_CUDA_CHANNELS_LAST', channels),
  ]);
  const stepRows = networks.map(([width, batch, precision], i) => ({
    ...{ width, batch, precision },
    ms: Object.fromEntries(byOrder.map(([order, row]) => [order, row[i]])),
  }));
  for (const { width, batch, precision, ms } of stepRows) {
    const cells = Object.entries(ms).map(([order, time]) => `${order} ${time.toFixed(4)}`);
    console.log(`step of a ResNet-18 of width ${width}, b${batch}, ${precision}: ${cells.join(', ')}`);
  }
  const out =
    given.out ?? join(root, 'bench/results', `gpu-convolutions-${new Date().toISOString().slice(0, 10)}.json`);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(
    out,
    `${JSON.stringify({ quick: given.quick ?? false, members: Number(given.members), rows, steps: stepRows }, null, 2)}\n`,
  );
  console.log(out);
}
