/** What a training says while it runs: where it is, and that it waits for space on the disk. */
import type { DiskFullError } from '../formats/diskSpace.js';
import { isLanguageModel, isProblem, type Trainable } from '../models/trainable.js';
import type { TrainProgress } from '../train/progress.js';
import type { Progress } from './progress.js';
import { formatList } from './table.js';

/** What a training is counted in: windows of text, evaluations of a problem. */
export function sampleNoun(model: Trainable): string {
  if (isProblem(model)) return 'evaluation';
  return isLanguageModel(model) ? 'window' : 'image';
}

/** `epoch 2/10  loss 0.512 0.498  8,000 images/s`. */
export function describeTraining({ epoch, epochs, loss, samplesPerSecond }: TrainProgress, noun = 'image'): string {
  const speed = `${Math.round(samplesPerSecond).toLocaleString('en')} ${noun}s/s`;
  return `epoch ${epoch}/${epochs}  loss ${formatList(loss)}  ${speed}`;
}

/** For `onDiskFull`. */
export const sayPaused =
  (progress: Progress) =>
  ({ message }: DiskFullError): void =>
    progress.note(`paused: ${message}\n  the training goes on once there is space; Ctrl-C ends it`);
