// Every way of computing a convolution, side by side over the layers of ResNets: what the rates of
// native/backend/cuda/way.cpp are set from. One JSON.
//
//   scripts/gpu-check.sh --convolutions [--device cuda:0] [--time MS] [--members 1] [--out FILE] [--quick]
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { programTime } from './sides.mjs';

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
    ...{ members: { ...text, default: '1' }, measure: { type: 'boolean' } },
  },
});
const ways = ['chosen', 'tiles', 'narrow', 'columns'];
const kinds = ['y', 'dx', 'dw'];

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

if (given.measure) console.log(JSON.stringify(await measure()));
else compare();

/** Milliseconds of all layers by the way that the environment names. */
async function measure() {
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

function compare() {
  const times = Object.fromEntries(
    ways.map((way) => {
      const environment = way === 'chosen' ? {} : { PTMZ_CUDA_CONVOLUTIONS: way };
      const args = [fileURLToPath(import.meta.url), '--measure', ...process.argv.slice(2)];
      const child = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
      if (child.status !== 0) throw new Error(child.stderr);
      return [way, JSON.parse(child.stdout)];
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
  const out =
    given.out ?? join(root, 'bench/results', `gpu-convolutions-${new Date().toISOString().slice(0, 10)}.json`);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(
    out,
    `${JSON.stringify({ quick: given.quick ?? false, members: Number(given.members), rows }, null, 2)}\n`,
  );
  console.log(out);
}
