/** What training reports: records of finished epochs, and progress while it runs. */

/** What one epoch gave, one value per member; NaN where it was not evaluated or the member had diverged. */
export interface EpochRecord {
  /** From 1. */
  epoch: number;
  /** Mean over the epoch's samples in training mode, while the parameters moved. */
  trainLoss: number[];
  trainAccuracy: number[];
  /** Over all test samples after the epoch, in evaluation mode. */
  testLoss: number[];
  testAccuracy: number[];
}

/** Where a training is. */
export interface TrainProgress {
  /** The epoch under way, from 1. */
  epoch: number;
  epochs: number;
  /** Steps finished, of all epochs. */
  step: number;
  steps: number;
  phase: 'train' | 'evaluate';
  /** Of the next step. */
  lr: number;
  /** Of all members together. */
  samplesPerSecond: number;
  /** Expected seconds to the end. */
  eta: number;
  /** Per member, over the epoch so far. */
  loss: number[];
  accuracy: number[];
  /** The last epoch that was finished. */
  last?: EpochRecord;
}

/** Values per member in the native history. @internal */
export const historyColumns = 4;

/** A row of the native history. @internal */
export function toRecord(epoch: number, row: number[]): EpochRecord {
  const column = (c: number) => row.filter((_, i) => i % historyColumns === c);
  return {
    epoch,
    trainLoss: column(0),
    trainAccuracy: column(1),
    testLoss: column(2),
    testAccuracy: column(3),
  };
}

/** What the native training reports, with the time that is left. @internal */
export function toProgress(fields: number[], members: number, seconds: number, firstStep: number): TrainProgress {
  const [epoch, epochs, step, steps, evaluating, lr, samplesPerSecond] = fields as [
    ...[number, number, number, number, number, number, number],
  ];
  const lists = fields.slice(7);
  const last = lists.slice(2 * members);
  return {
    epoch: Math.min(epoch + 1, epochs),
    epochs,
    step,
    steps,
    phase: evaluating ? 'evaluate' : 'train',
    lr,
    samplesPerSecond,
    eta: step > firstStep ? (seconds / (step - firstStep)) * (steps - step) : NaN,
    loss: lists.slice(0, members),
    accuracy: lists.slice(members, 2 * members),
    ...(last.length > 0 ? { last: toRecord(epoch, last) } : {}),
  };
}
