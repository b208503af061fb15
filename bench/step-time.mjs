// Step time over width, batch and members, beside the floor: `node bench/step-time.mjs --help`. Looks for cliffs.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { renderPng, renderSvg } from 'ptmz-native';
import { gemmPeak } from './gemm.mjs';
import { describeMachine, formatMachine } from './machine.mjs';
import { integer } from './options.mjs';
import { trainingFlops } from './resnet-work.mjs';
import { residentResNet, trainingSide } from './training.mjs';

const help = `node bench/step-time.mjs [options]

Times a training step of ResNet-18 on 3 x 32 x 32 images, float32, of this package alone: over the batch size (also sizes
that no vector divides), over the width, and over the number of members. The figure shows microseconds per image and
member, and as a dashed line its multiply-adds at the rate of a 1024^3 matrix product.

  --threads N     default 1
  --time MS       measuring time of each point; default 500
  --json FILE     write all numbers
  --figure FILE   draw the figure: FILE.svg and FILE.png

Example: node bench/step-time.mjs --json bench/results/step-time-2026-11-21.json --figure docs/step-time`;

const point = (panel, line, at, cell) => ({ panel, line, at, width: 2, batch: 128, members: 1, ...cell });

/** Every point of the three panels; `at` is its place on the horizontal axis. */
const points = [
  ...[2, 8].flatMap((width) =>
    [1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 80, 96, 100, 112, 127, 128, 192, 256].map((batch) =>
      point('batch size', `width ${width}`, batch, { width, batch }),
    ),
  ),
  ...[8, 128].flatMap((batch) =>
    [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32].map((width) => point('width', `batch ${batch}`, width, { width, batch })),
  ),
  ...[
    { width: 2, batch: 8 },
    { width: 8, batch: 16 },
  ].flatMap(({ width, batch }) =>
    [1, 2, 3, 4, 8, 16, 32].map((members) =>
      point('members', `width ${width}, batch ${batch}`, members, { width, batch, members }),
    ),
  ),
];

async function measure({ width, batch, members, ...place }, { threads, time }, peak) {
  const seeds = Array.from({ length: members }, (_, m) => m);
  const side = trainingSide(residentResNet({ depth: 18, width, seeds }, batch), threads);
  const step = await side.measure(time);
  side.dispose();
  const perImage = (milliseconds) => Number(((1000 * milliseconds) / (batch * members)).toPrecision(4));
  const floor = (members * trainingFlops(18, width, batch)) / (peak * 1e6);
  return { ...place, width, batch, members, 'ms per step': step, us: perImage(step), floor: perImage(floor) };
}

const axis = { gridColor: '#eee', labelFont: 'Inter', titleFont: 'Inter' };
const encode = (panel, field) => ({
  x: { field: 'at', type: 'quantitative', scale: { type: 'log', base: 2 }, title: panel, axis },
  y: { field, type: 'quantitative', scale: { type: 'log' }, title: 'microseconds per image and member', axis },
  color: { field: 'line', type: 'nominal', title: null, legend: { orient: 'top', labelFont: 'Inter' } },
});

/** Three panels side by side, in Vega-Lite. */
function figure(rows) {
  const panels = [...new Set(rows.map(({ panel }) => panel))];
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    config: { font: 'Inter' },
    resolve: { scale: { color: 'independent' } },
    hconcat: panels.map((panel) => ({
      data: { values: rows.filter((row) => row.panel === panel) },
      width: 260,
      height: 260,
      layer: [
        { mark: { type: 'line', point: true }, encoding: encode(panel, 'us') },
        { mark: { type: 'line', strokeDash: [5, 4] }, encoding: encode(panel, 'floor') },
      ],
    })),
  };
}

async function main() {
  const { values } = parseArgs({
    options: {
      threads: { type: 'string', default: '1' },
      time: { type: 'string', default: '500' },
      json: { type: 'string' },
      figure: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return console.log(help);
  const options = { threads: integer('threads', values.threads, 1), time: integer('time', values.time, 1) };
  const machine = describeMachine({ missing: 'this measures the package alone' });
  console.log(formatMachine(machine));
  const { peak } = await gemmPeak(options.threads);
  const rows = [];
  for (const [i, cell] of points.entries()) {
    const row = await measure(cell, options, peak);
    rows.push(row);
    const { line, panel, at, us, floor } = row;
    console.log(
      `${i + 1}/${points.length}  ${line}, ${panel} ${at}: ${us} us per image and member, ${(us / floor).toFixed(1)}x`,
    );
  }
  const write = (file, text) => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  if (values.json)
    write(
      values.json,
      `${JSON.stringify({ date: new Date().toISOString(), options, machine, peak, rows }, null, 2)}\n`,
    );
  if (values.figure) {
    const svg = await renderSvg(figure(rows));
    write(`${values.figure}.svg`, svg);
    write(`${values.figure}.png`, await renderPng(svg));
  }
}

try {
  await main();
} catch (error) {
  const mistaken = error instanceof RangeError || error.code?.startsWith('ERR_PARSE_ARGS');
  console.error(mistaken ? `error: ${error.message}` : error);
  process.exitCode = 1;
}
