/** X1: NaN and infinity in inputs, labels, weights, moments, statistics, learning rates and in the model's own arithmetic. */
import { arrays, batchNorm, digits, linear, loadRun, prepare } from '../../dist/index.js';
import { readCheckpoint } from '../../dist/train/checkpoint.js';
import { listCheckpoints } from '../../dist/train/checkpoints.js';
import { inFolder } from '../../test/support/mounts.mjs';

/**
 * @typedef {import('../../lib/index.ts').Run} Run
 * @typedef {import('../../lib/index.ts').Value} Value
 */

const batchSize = 8;
const pixels = 64;
/** Steps that are done before the injection. */
const before = 2;
const bad = 1;
const init = /** @type {const} */ ({ kind: 'kaimingUniform' });

/** The fault parameter f is 1 until it is set: what it does to the logits must then be harmless. */
const arithmetic = {
  '0 / 0': { value: 0, with: (/** @type {Value} */ z, /** @type {Value} */ f) => z.mul(f.div(f)) },
  'sqrt(-1)': { value: -1, with: (/** @type {Value} */ z, /** @type {Value} */ f) => z.add(f.sqrt()) },
  'sqrt(0), infinite in the gradient only': {
    value: 0,
    with: (/** @type {Value} */ z, /** @type {Value} */ f) => z.add(f.sqrt()),
  },
  'exp(1000)': { value: 1000, with: (/** @type {Value} */ z, /** @type {Value} */ f) => z.mul(f.exp()) },
};

/** A small network with batch normalisation, whose logits go through `fault`. @param {(z: Value, f: Value) => Value} fault */
const network = (fault) => ({
  name: 'faulty',
  input: /** @type {const} */ ([1, 8, 8]),
  classes: 10,
  /** @type {import('../../lib/index.ts').Model['build']} */
  build(graph, x, { training }) {
    const w = graph.param('weight', [16, 64], { init });
    const runningMean = graph.buffer('running_mean', [16]);
    const runningVar = graph.buffer('running_var', [16], { init: { kind: 'constant', value: 1 } });
    const h = linear(x.reshape([-1, 64]), w, graph.param('bias', [16]));
    const hidden = batchNorm(h, { runningMean, runningVar, training }).tanh();
    const z = linear(hidden, graph.param('out.weight', [10, 16], { init }), graph.param('out.bias', [10]));
    return fault(z, graph.param('fault', [1], { init: { kind: 'constant', value: 1 } }));
  },
});

/** @param {Run} run @param {string} name @param {number} value */
const setParameter = (run, name, value) =>
  run.vectors.params.set(bad, [value], run.layout.params.find((entry) => entry.name === name)?.offset);

/** What is put into member 1 after two steps; `poisoned` where its state itself is not finite then. */
const injections = [
  ...[NaN, Infinity].map((value) => ({
    name: `weight ${value}`,
    poisoned: true,
    inject: (/** @type {Run} */ run) => setParameter(run, 'weight', value),
  })),
  {
    name: 'weights that overflow',
    inject(/** @type {Run} */ run) {
      // z + bias is finite; multiplied by f it is not.
      setParameter(run, 'out.bias', run.settings.dtype === 'float32' ? 3e38 : 1.7e308);
      setParameter(run, 'fault', 1e3);
    },
    fault: (/** @type {Value} */ z, /** @type {Value} */ f) => z.mul(f),
  },
  {
    name: 'NaN in the running statistics',
    poisoned: true,
    inject: (/** @type {Run} */ run) => run.vectors.buffers?.set(bad, [NaN]),
  },
  {
    name: 'NaN in the momentum',
    poisoned: true,
    inject: (/** @type {Run} */ run) => run.vectors.velocity.set(bad, [NaN]),
  },
  ...Object.entries(arithmetic).map(([name, { value, with: fault }]) => ({
    name,
    fault,
    inject: (/** @type {Run} */ run) => setParameter(run, 'fault', value),
  })),
  // The step is the first whose update or loss is beyond the type: with the largest rates that is the first or second.
  { name: 'learning rate', lr: { float32: 1e38, float64: 1e308 }, steps: [0, 1] },
  { name: 'input NaN', sample: NaN },
  { name: 'input infinite', sample: Infinity },
  { name: 'label out of range', label: 99 },
];

/** Digits as floats, so that they can be something else than numbers. */
async function floatDigits() {
  const { train } = await digits({ train: 6 * batchSize, test: 8 });
  const images = new Float32Array(train.count * pixels);
  for (let i = 0; i < train.count; i++) images.set(train.image(i), i * pixels);
  return arrays({ images, shape: train.shape, labels: train.labels, classes: 10, name: 'float digits' });
}

/** All numbers of a member. @param {Run} run @param {number} m */
const stateOf = (run, m) => {
  const { params, buffers, velocity, secondMoment } = run.vectors;
  return [params, buffers, velocity, secondMoment].flatMap((vector) => (vector ? [...vector.toArray(m)] : []));
};
const isFinite = (/** @type {ArrayLike<unknown>} */ numbers) =>
  Array.from(numbers).every((x) => Number.isFinite(Number(x)));
const isSame = (/** @type {unknown[]} */ a, /** @type {unknown[]} */ b) =>
  a.length === b.length && a.every((x, i) => Object.is(x, b[i]));

/** Whether all numbers of the newest checkpoint are finite. @param {string} directory */
function newestIsFinite(directory) {
  const newest = listCheckpoints(directory).at(-1);
  return (
    newest !== undefined &&
    readCheckpoint(newest).members.every((m) => [...m.values()].every(({ data }) => isFinite(data)))
  );
}

/**
 * Injects into one run, and compares it with one without the bad member.
 * @param {any} injection one of {@link injections}
 * @param {'sgd' | 'adamw'} optimizer
 * @param {'float32' | 'float64'} dtype
 * @returns {Promise<string[]>} what went wrong
 */
async function trial(
  { fault = (/** @type {Value} */ z) => z, inject, lr, sample, label, poisoned, steps = [before] },
  optimizer,
  dtype,
) {
  const data = await floatDigits();
  const rate = optimizer === 'sgd' ? 0.05 : 0.002;
  const model = network((z, f) => fault(z, f));
  const common = {
    model,
    data,
    batchSize,
    epochs: 2,
    optimizer,
    dtype,
    shuffle: false,
    schedule: /** @type {const} */ ('constant'),
  };
  const run = prepare({ ...common, seeds: [0, 1, 2], lr: [rate, lr?.[dtype] ?? rate, rate] });
  const wrong = [];
  const check = (/** @type {string} */ what, /** @type {boolean} */ good) => void (good || wrong.push(what));
  await inFolder(async (directory) => {
    if (!lr) await run.train({ until: before, saveTo: directory });
    if (sample !== undefined)
      data.train.native.samples.write(0, before * batchSize * pixels + 5, Float32Array.of(sample));
    if (label !== undefined) data.train.native.labels.write(0, before * batchSize, Int32Array.of(label));
    inject?.(run);
    const state = stateOf(run, bad);
    if (label !== undefined) {
      // No member can take this step: the job ends, and all of them stand where they stood.
      const code = await run.train().catch((error) => error.code);
      check(`${code} at step ${run.step}`, code === 'INDEX_OUT_OF_RANGE' && run.step === before);
      check('its state moved on', isSame(stateOf(run, bad), state));
      check('the newest checkpoint is not finite', newestIsFinite(directory));
      return;
    }
    await run.train({ until: before + 1 });
    check(`frozen at ${run.divergedAt.join()}`, steps.includes(run.divergedAt[bad] ?? -1));
    if (!lr) check('its state moved on', isSame(stateOf(run, bad), state));
    if (!poisoned) check('its state is not finite', isFinite(stateOf(run, bad)));
    await run.train();
    const saved = await run.save(directory).then(
      () => 'saved',
      (error) => error.code,
    );
    check(`save: ${saved}`, saved === (poisoned ? 'NON_FINITE' : 'saved'));
    check('the newest checkpoint is not finite', newestIsFinite(directory));
    (await loadRun(directory, { data, model })).dispose();
  });
  if (label !== undefined) {
    check(
      'a member was frozen',
      run.divergedAt.every((step) => step === null),
    );
  } else if (sample !== undefined) {
    // Every member meets the sample in this step.
    check(
      'a member went on',
      run.divergedAt.every((step) => step === before),
    );
  } else {
    const well = prepare({ ...common, seeds: [0, 2], lr: rate });
    await well.train();
    check(
      'another member changed',
      isSame([...stateOf(run, 0), ...stateOf(run, 2)], [...stateOf(well, 0), ...stateOf(well, 1)]),
    );
    check('another member is not finite', isFinite(stateOf(run, 0)) && isFinite(stateOf(run, 2)));
    well.dispose();
  }
  run.dispose();
  return wrong;
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'X1',
  fault:
    'NaN or infinity in inputs, weights, batch statistics, momentum, learning rate, arithmetic, and labels out of range; SGD and AdamW, float32 and float64',
  trials: { full: 4 * injections.length, quick: injections.length },
  async run({ trials, report }) {
    let [done, good] = [0, 0];
    for (const dtype of /** @type {const} */ (['float32', 'float64'])) {
      for (const optimizer of /** @type {const} */ (['sgd', 'adamw'])) {
        for (const injection of injections) {
          if (done === trials) break;
          const wrong = await trial(injection, optimizer, dtype);
          if (wrong.length === 0) good += 1;
          else process.stderr.write(`  ${injection.name}, ${optimizer}, ${dtype}: ${wrong.join('; ')}\n`);
          report(++done / trials, `${done} of ${trials}`);
        }
      }
    }
    return {
      passed: good === trials,
      figures: `${good} of ${trials} stopped in the same step; other members bit-equal to a run without the bad one, newest checkpoint finite`,
    };
  },
};
