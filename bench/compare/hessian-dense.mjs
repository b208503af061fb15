// Trace and extreme eigenvalues of a small trained ResNet against its dense Hessian in float64, and against PyHessian.
import { writeFileSync } from 'node:fs';
import { digits, Graph, hessianEigenvalues, hessianTrace, prepareResNet, Vector } from 'ptmz-native';
import { formatTable } from '../../dist/cli/table.js';
import { Handover, splitVector, stateTensors } from '../inputs.mjs';
import { describeMachine, formatMachine } from '../machine.mjs';
import { comparison } from './command.mjs';

const help = `node bench/compare/hessian-dense.mjs [options]

Trains a ResNet-18 on the digits, in float32 and in float64, and compares the curvature of its loss with the dense
Hessian that PyTorch builds column by column in float64 from the same weights, and with PyHessian's rules on the same
random vectors. PyHessian itself takes part where Python can import it.

  --width N       channels of the first stage; default 1
  --images N      images of the loss; default 64
  --epochs N      of training; default 10
  --probes N      random vectors of the trace; default 100
  --threads N     default 2
  --json FILE     write all numbers`;

const rtol = 1e-3;
const steps = 100;

/** One trained network: what this package says of its Hessian, and what PyTorch and PyHessian say. */
async function compare(dtype, data, { width, images, epochs, probes, threads }, peer) {
  const run = prepareResNet({ depth: 18, width, data, batchSize: 64, epochs, seeds: [0], dtype });
  await run.train({ threads });
  const directions = randomDirections(run, probes);
  const handover = new Handover();
  try {
    const file = handover.write([
      ...lossTensors(data.train, images),
      ...stateTensors(run.stateDict(0), 'net.'),
      ...directions.tensors,
    ]);
    const ours = await measure(run, data.train, directions, { samples: images, batchSize: images, threads });
    const theirs = await peer.open('dense_hessian', { file, depth: 18, width, probes });
    const dense = await theirs.ask('dense');
    const forms = await theirs.ask('quadratic_forms');
    const rules = { dtype, rtol, steps };
    const [anew, original] = [await theirs.ask('algorithm', rules), await theirs.ask('original', rules)];
    await theirs.close();
    const { testAccuracy, trainLoss } = run.history.at(-1);
    return { dtype, width, images, testAccuracy, trainLoss, ours, dense, forms, anew, original };
  } finally {
    handover.dispose();
    directions.dispose();
    run.dispose();
  }
}

/** Random signs for the trace and a normal start vector, as vectors of the run and as tensors for the peer. */
function randomDirections(run, probes) {
  const graph = new Graph();
  run.model.build(graph, graph.input('x', [1, ...run.model.input]), { training: false });
  const { entries } = graph.params;
  const { dtype } = run.settings;
  const draw = (rows, distribution) => {
    const seeds = Array.from({ length: rows }, (_, i) => i);
    return new Vector(dtype, rows, run.vectorSize).random({ distribution, seeds });
  };
  const vectors = draw(probes, 'rademacher');
  const start = draw(1, 'normal');
  const named = (vector, row) => splitVector(vector.toArray(row), entries);
  const tensors = Array.from({ length: probes }, (_, m) => stateTensors(named(vectors, m), `v${m}.`)).flat();
  tensors.push(...stateTensors(named(start, 0), 'start.'));
  graph.dispose();
  const dispose = () => [vectors, start].forEach((vector) => vector.dispose());
  return { vectors, start, probes, tensors, dispose };
}

/** The first images as the network sees them, in float64. */
function lossTensors(split, count) {
  const [, channels, height, width] = split.shape;
  const plane = height * width;
  const { mean, std } = split.normalisation;
  const x = new Float64Array(count * channels * plane);
  for (let i = 0; i < count; ++i)
    split.image(i).forEach((byte, j) => {
      const c = Math.floor(j / plane);
      x[i * channels * plane + j] = (byte / 255 - mean[c]) / std[c];
    });
  return [
    ['x', { dtype: 'F64', shape: [count, channels, height, width], data: x }],
    ['y', { dtype: 'I32', shape: [count], data: split.labels.slice(0, count) }],
  ];
}

async function measure(run, split, { vectors, start, probes }, options) {
  const hutchinson = await hessianTrace(run, split, { ...options, probes, vectors });
  const stopped = await hessianTrace(run, split, { ...options, probes, vectors, method: 'pyhessian', rtol });
  const ends = await hessianEigenvalues(run, split, { ...options, which: 'both', tolerance: 1e-6 });
  const power = await hessianEigenvalues(run, split, {
    ...options,
    method: 'pyhessian',
    start,
    steps,
    tolerance: rtol,
  });
  const [largest, smallest] = ends.eigenvalues[0];
  // PyHessian returns the value before the product that made it stop; eigenvalues() here returns the last.
  const history = power.history[0][0];
  const eigenvalue = history.length < steps ? history.at(-2) : history.at(-1);
  return {
    samples: hutchinson.samples[0],
    trace: hutchinson.trace[0],
    standardError: hutchinson.standardError[0],
    ...{ largest, smallest, products: ends.iterations[0] },
    pyhessian: {
      trace: { mean: stopped.trace[0], probes: stopped.samples[0].length },
      eigenvalue,
      lastEigenvalue: power.eigenvalues[0][0],
    },
  };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Pairs of numbers that should be equal, as a table. */
function format({ dtype, width, images, testAccuracy, ours, dense, forms, anew, original }) {
  const largestForm = Math.max(...forms.map(Math.abs));
  const worst = Math.max(...forms.map((form, m) => Math.abs(form - ours.samples[m]))) / largestForm;
  const rule = (label, pick) => [
    {
      what: `${label}: PyHessian's rule, written anew in PyTorch ${dtype}`,
      theirs: pick(anew),
      ours: pick(ours.pyhessian),
    },
    ...(original ? [{ what: `${label}: PyHessian itself`, theirs: pick(original), ours: pick(ours.pyhessian) }] : []),
  ];
  const rows = [
    { what: 'trace over the same probes, dense float64', theirs: mean(forms), ours: ours.trace },
    { what: 'largest eigenvalue, dense float64', theirs: dense.largest, ours: ours.largest },
    { what: 'smallest eigenvalue, dense float64', theirs: dense.smallest, ours: ours.smallest },
    ...rule('trace', ({ trace }) => trace.mean),
    ...rule('probes until it stops', ({ trace }) => trace.probes),
    ...rule('eigenvalue', ({ eigenvalue }) => eigenvalue),
  ];
  const columns = [
    { heading: '', cell: ({ what }) => what },
    { heading: 'theirs', cell: ({ theirs }) => theirs.toPrecision(9) },
    { heading: 'ours', cell: ({ ours }) => ours.toPrecision(9) },
    { heading: 'differs', cell: ({ theirs, ours }) => Math.abs(ours / theirs - 1).toExponential(1) },
  ];
  const deviations = (ours.trace - dense.trace) / ours.standardError;
  return [
    `\n${dtype}: ResNet-18 of width ${width}, ${dense.parameters} parameters, test accuracy ${testAccuracy[0].toFixed(3)}, ` +
      `${images} images; dense Hessian in ${dense.seconds.toFixed(0)} s, asymmetric by ${dense.asymmetry.toExponential(1)}`,
    formatTable(columns, rows),
    `v^T H v of ${forms.length} probes: worst difference ${worst.toExponential(1)} of the largest`,
    `exact trace ${dense.trace.toPrecision(6)}; estimate ${ours.trace.toPrecision(6)} with standard error ` +
      `${ours.standardError.toPrecision(3)}: ${Math.abs(deviations).toFixed(2)} of them away`,
  ].join('\n');
}

await comparison(help, { width: 1, images: 64, epochs: 10, probes: 100, threads: 2 }, async (options, peer) => {
  const machine = describeMachine(await peer.call('info'));
  console.log(formatMachine(machine));
  const data = await digits();
  const results = [];
  for (const dtype of ['float32', 'float64']) {
    const result = await compare(dtype, data, options, peer);
    console.log(format(result));
    results.push(result);
  }
  if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, options, results }, null, 2)}\n`);
});
