/** What a training says while it runs: where it is, and that it waits for space on the disk. */
import type { DiskFullError } from '../formats/diskSpace.js';
import type { TrainProgress } from '../train/progress.js';
import type { Progress } from './progress.js';
import { formatList } from './table.js';

/** `epoch 2/10  loss 0.512 0.498  8,000 images/s`. */
export function describeTraining({ epoch, epochs, loss, samplesPerSecond }: TrainProgress): string {
  const speed = `${Math.round(samplesPerSecond).toLocaleString('en')} images/s`;
  return `epoch ${epoch}/${epochs}  loss ${formatList(loss)}  ${speed}`;
}

/** For `onDiskFull`. */
export const sayPaused =
  (progress: Progress) =>
  ({ message }: DiskFullError): void =>
    progress.note(`paused: ${message}\n  the training goes on once there is space; Ctrl-C ends it`);
