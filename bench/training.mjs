// Our side of a training race: a population on data at hand, through the public API.
import { arrays, prepareResNet } from 'ptmz-native';
import { randomImages, unchanged } from './inputs.mjs';
import { bestOf } from './race.mjs';

/**
 * Both sides' optimizer: SGD with momentum at a constant rate, so small that ten steps in float32 do not yet leave each
 * other. At 0.001 PyTorch's own two layouts differ by 3e-4 after ten steps of ResNet-18 16 x 8.
 */
export const sgd = { lr: 1e-4, momentum: 0.9, weightDecay: 5e-4 };

// An epoch of several batches, so that its end is as rare as in real training, and as few epochs as can be timed
// without reaching the end: the schedule's table is handed over at every call.
const batches = 8;
const epochs = 2500;

/**
 * A side of a race as a function: `({ batches, epochs })` makes a run whose epoch has so many batches, and what disposes
 * of both run and data. This is that of ResNets on random images.
 */
export const residentResNet =
  ({ depth, width, seeds }, batch) =>
  ({ batches, epochs }) => {
    const data = arrays({ ...randomImages(batch * batches), normalise: unchanged });
    const run = prepareResNet({ depth, width, data, batchSize: batch, epochs, seeds, schedule: 'constant', ...sgd });
    const dispose = () => {
      run.dispose();
      data.train.dispose();
    };
    return { run, dispose };
  };

/**
 * Losses of the first steps, all on one batch, and the weights they began with.
 *
 * @returns `losses[step][member]`, `states[member]`
 */
export async function firstLosses(side, steps, threads) {
  const { run, dispose } = side({ batches: 1, epochs: steps });
  const states = run.seeds.map((_, m) => run.stateDict(m));
  await run.train({ threads });
  const losses = run.history.map(({ trainLoss }) => trainLoss);
  dispose();
  return { losses, states };
}

/**
 * Milliseconds per step of the whole population: gathering and normalising the batch, forward, backward, the optimizer,
 * and the counts of loss and right answers that the history keeps. The first call compiles and is not counted.
 */
export function trainingSide(side, threads) {
  let open;
  const renew = async () => {
    open?.dispose();
    open = side({ batches, epochs });
    await open.run.train({ until: 1, threads });
  };
  const steps = async (count) => {
    const { run } = open;
    const until = run.step + count;
    await run.train({ until, threads });
    if (run.step !== until) throw new Error(`training stopped at step ${run.step}, diverged at ${run.divergedAt}`);
  };
  return {
    async measure(milliseconds) {
      await renew();
      return bestOf(milliseconds, steps);
    },
    dispose: () => open?.dispose(),
  };
}

/** The largest relative difference of losses at the first and at the last step; `[step][member]` each. */
function lossDifference(ours, theirs) {
  const at = (step) => ours[step].map((loss, m) => Math.abs(loss - theirs[step][m]) / Math.abs(theirs[step][m]));
  return Math.max(...at(0), ...at(ours.length - 1));
}

/**
 * The check of a training race. Where PyTorch's own variants differ by more than 1e-4 after these steps, as they do in
 * ResNet-50 (docs/numerics.md says why), that is what float32 allows.
 *
 * @param theirs losses of PyTorch's variants, the reference first
 */
export function compareLosses(ours, theirs) {
  const spread = Math.max(0, ...theirs.slice(1).map((variant) => lossDifference(variant, theirs[0])));
  return {
    what: `losses of steps 1 and ${ours.length}`,
    difference: lossDifference(ours, theirs[0]),
    peerSpread: spread,
    tolerance: Math.max(1e-4, spread),
  };
}
