// An evaluation of loss and gradient of L-BFGS on a physics-informed network, against PyTorch.
import { preparePINN } from 'ptmz-native';
import { stateTensors } from '../inputs.mjs';

export const title = 'L-BFGS with strong Wolfe line search on the convection equation, 2-50-50-50-50-1: per evaluation';
export const groups = ['cpu'];

const beta = 30;
const history = 50;
const iterations = 300;
const checked = [1, 10];
const layers = [2, 50, 50, 50, 50, 1];
const points = { initial: 256, left: 100, right: 100, inside: 100 };

/** Rows of the race. */
export const rows = [
  { id: 'pinn-lbfgs', label: `beta ${beta}, ${iterations} iterations`, unit: 'ms/evaluation', open },
];

/**
 * FLOPs of one evaluation: forward and backward over all points, and over the collocation points the same once more for
 * the derivative along (beta, 1). 2 FLOPs a multiply-add, tanh counts as nothing.
 */
export function pinnFlops() {
  const macs = layers.slice(1).reduce((total, out, i) => total + layers[i] * out, 0);
  const all = Object.values(points).reduce((a, b) => a + b);
  return 6 * macs * (all + points.inside);
}

/**
 * A run that has made its first step, which compiles; tolerances of 0 keep it going. One epoch is left over, because the
 * last one's error on the grid is no part of the race.
 */
async function started(threads) {
  const optimizer = { kind: 'lbfgs', historySize: history, toleranceGrad: 0, toleranceChange: 0 };
  const run = preparePINN({
    beta,
    seeds: [0],
    lr: 1,
    epochs: iterations + 2,
    stepsPerEpoch: 1,
    evaluateEvery: iterations + 2,
    optimizer,
  });
  const state = run.stateDict(0);
  const buffers = run.vectors.buffers.toArray();
  const entries = run.layout.buffers;
  await run.train({ until: 1, threads });
  return { run, state, buffers, entries };
}

async function measure(milliseconds, threads) {
  let best = Infinity;
  const began = performance.now();
  while (best === Infinity || performance.now() - began < milliseconds) {
    const { run } = await started(threads);
    const before = run.evaluations[0];
    const start = performance.now();
    await run.train({ until: iterations + 1, threads });
    best = Math.min(best, (performance.now() - start) / (run.evaluations[0] - before));
    run.dispose();
  }
  return best;
}

async function open({ threads, peer, handover }) {
  const { run, state, buffers, entries } = await started(threads);
  const ours = { measure: (milliseconds) => measure(milliseconds, threads) };
  const flops = pinnFlops();
  const note = ({ ours: own, peer: other }) => {
    const rate = (ms) => Math.round(1000 / ms);
    return `L-BFGS: ${rate(own)} evaluations/s${other ? `, PyTorch ${rate(other)}` : ''}`;
  };
  if (!peer) return { ours, variants: [], flops, note, close: () => run.dispose() };

  // A step is an iteration, and its loss that after it.
  await run.train({ until: Math.max(...checked), threads });
  const losses = checked.map((step) => run.history[step - 1].trainLoss[0]);
  run.dispose();
  const columns = entries
    .filter(({ name }) => /^(initial|left|right|inside)\./.test(name))
    .map(({ name, offset, shape }) => [name, { dtype: 'F32', shape, data: buffers.slice(offset, offset + shape[0]) }]);
  const file = handover.write([...columns, ...stateTensors(state, 'net.')]);
  const side = await peer.open('pinn', { file, beta, history, iterations });
  return {
    ...{ ours, flops, note },
    variants: [{ name: 'eager', ...side }],
    check: async () => {
      const gaps = [];
      for (const [i, iterations] of checked.entries()) {
        const theirs = await side.check({ iterations });
        gaps.push(Math.abs(losses[i] - theirs) / theirs);
      }
      const what = `losses after ${checked.join(' and ')} iterations`;
      return { what, difference: Math.max(...gaps), tolerance: 1e-4 };
    },
    close: () => side.close(),
  };
}
