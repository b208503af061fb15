/** Trajectories: the first steps of SGD and AdamW on a model case, by the trainer that everyone uses. */
import type { RealType } from '../train/batches.js';
import type { Optimizer } from '../train/optimizers.js';
import type { Run } from '../train/run.js';
import type { ScheduleName } from '../train/schedules.js';
import { prepare, type TrainOptions } from '../train/trainer.js';
import { pick, place, positions } from './flat.js';
import { rademacher } from './hash.js';
import type { ModelCase, ModelDetail } from './manifest.js';
import { within } from './ops.js';
import type { Reference } from './reference.js';
import type { Subject } from './subjects.js';

interface Trajectory {
  name: 'sgd' | 'adamw';
  lr: number;
  optimizer: Optimizer;
  schedule: ScheduleName;
  /** Of the schedule; the steps taken are a part of them. */
  totalSteps: number;
  steps: number;
}

function trajectories({ opt: { sgd, adamw } }: ModelCase): Trajectory[] {
  const { weight_decay: weightDecay, eps, betas } = adamw;
  return [
    {
      name: 'sgd',
      lr: sgd.max_lr,
      optimizer: { kind: 'sgd', momentum: sgd.momentum, weightDecay: sgd.weight_decay },
      schedule: 'onecycle',
      totalSteps: sgd.onecycle_total_steps,
      steps: sgd.steps,
    },
    {
      name: 'adamw',
      lr: adamw.lr,
      optimizer: { kind: 'adamw', betas, eps, weightDecay },
      schedule: 'cosine',
      totalSteps: adamw.cosine_T_max,
      steps: adamw.steps,
    },
  ];
}

/** The loss of every step, which a run holds as a sum over its epoch: all steps lie in the first one. */
async function stepLosses(run: Run, steps: number): Promise<number[]> {
  const { batchSize } = run.settings;
  const sums = [0];
  for (let step = 1; step <= steps; step++) {
    await run.train({ until: step });
    const epoch = run.history[0];
    sums.push(epoch ? epoch.trainLoss[0]! * steps * batchSize : run.vectors.state.toArray(0)[2]!);
  }
  return sums.slice(1).map((sum, i) => (sum - sums[i]!) / batchSize);
}

type Weights = (name: string, shape: readonly number[]) => ArrayLike<number>;
type Numbers = ArrayLike<number>;

/** Takes the steps and gives what the oracle holds of them: losses, rates, parameters and the optimizer's state. */
async function takeSteps(
  { name, steps, totalSteps, ...settings }: Trajectory,
  detail: ModelDetail,
  subject: Subject,
  weights: Weights,
  dtype: RealType,
): Promise<[tensor: string, values: Numbers][]> {
  const epochs = totalSteps / steps;
  // The oracle's weight decay pulls on every parameter.
  const options = { ...subject.samples(steps), ...settings, epochs, seeds: [0], dtype, decay: 'all' as const };
  using run = prepare(options as TrainOptions);
  using _ = run.data.train;
  const { params, buffers, velocity, secondMoment } = run.vectors;
  const running = run.layout.buffers.filter(({ persistent }) => persistent);
  params.set(0, place(run.layout.params, params.size, weights));
  if (running.length > 0) buffers!.set(0, place(running, buffers!.size, weights));
  const losses = await stepLosses(run, steps);
  const [schedule, at] = [run.schedules[0]!, positions(detail.index, run.layout.params)];
  const tensors: [string, Numbers][] = [
    ['losses', losses],
    ['lr', schedule.lr.slice(0, steps)],
    ['params', pick(params.toArray(), at)],
  ];
  if (running.length > 0) tensors.push(['running', pick(buffers!.toArray(), positions(detail.running_index, running))]);
  if (name === 'sgd') {
    tensors.push(['momentum', schedule.momentum.slice(0, steps)], ['buf', pick(velocity.toArray(), at)]);
  } else {
    tensors.push(['m', pick(velocity.toArray(), at)], ['v', pick(secondMoment!.toArray(), at)]);
  }
  return tensors.map(([tensor, values]) => [`${name}.${tensor}`, values]);
}

const draws = 4;

/**
 * The weights with every element moved up or down by a few units in the last place of float32: what dozens of layers,
 * each rounded, do to their outputs.
 */
function rounded(weights: Weights, c: ModelCase, draw: number): Weights {
  return (name, shape) => {
    const values = weights(name, shape);
    const signs = rademacher(c.seed, `rounding${draw}:${c.id}/${name}`, values.length);
    return Float64Array.from(values, (w, i) => w * (1 + signs[i]! * 2 ** -21));
  };
}

/**
 * Runs both trajectories in one element type and compares them with the oracle's. Where float32 misses one, float64
 * takes the same steps from weights that differ by roundings: a trajectory that these decide cannot be asked of float32
 * (docs/numerics.md).
 */
export async function checkTrajectories(
  c: ModelCase,
  detail: ModelDetail,
  subject: Subject,
  weights: Weights,
  dtype: RealType,
  reference: Reference,
): Promise<void> {
  for (const trajectory of trajectories(c)) {
    const own = await takeSteps(trajectory, detail, subject, weights, dtype);
    // What float64 misses is wrong, not undecided.
    const wrong = new Set(reference.checks.filter((check) => !within(check)).map(({ tensor }) => tensor));
    const missed = own
      .map(([tensor, values]) => reference.check(tensor, dtype, values))
      .filter((check) => !within(check) && !wrong.has(check.tensor));
    if (dtype === 'float64' || missed.length === 0) continue;
    for (let draw = 0; draw < draws; draw++) {
      const steps = await takeSteps(trajectory, detail, subject, rounded(weights, c, draw), 'float64');
      const other = new Map(steps);
      for (const check of missed)
        check.rounding = Math.max(check.rounding ?? 0, reference.error(check.tensor, other.get(check.tensor)!));
    }
  }
}
