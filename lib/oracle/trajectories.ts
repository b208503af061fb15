/** Trajectories: the first steps of SGD and AdamW on a model case, by the trainer that everyone uses. */
import type { RealType } from '../train/batches.js';
import type { Optimizer } from '../train/optimizers.js';
import type { Run } from '../train/run.js';
import type { ScheduleName } from '../train/schedules.js';
import { prepare, type TrainOptions } from '../train/trainer.js';
import { pick, place, positions } from './flat.js';
import type { ModelCase, ModelDetail } from './manifest.js';
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

/** Runs both trajectories in one element type and compares losses, rates, parameters and the optimizers' state. */
export async function checkTrajectories(
  c: ModelCase,
  detail: ModelDetail,
  subject: Subject,
  weights: (name: string, shape: readonly number[]) => ArrayLike<number>,
  dtype: RealType,
  reference: Reference,
): Promise<void> {
  for (const { name, steps, totalSteps, ...settings } of trajectories(c)) {
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
    const check = (tensor: string, own: ArrayLike<number>) => reference.check(`${name}.${tensor}`, dtype, own);
    check('losses', losses);
    check('lr', schedule.lr.slice(0, steps));
    check('params', pick(params.toArray(), at));
    if (running.length > 0) check('running', pick(buffers!.toArray(), positions(detail.running_index, running)));
    if (name === 'sgd') {
      check('momentum', schedule.momentum.slice(0, steps));
      check('buf', pick(velocity.toArray(), at));
    } else {
      check('m', pick(velocity.toArray(), at));
      check('v', pick(secondMoment!.toArray(), at));
    }
  }
}
