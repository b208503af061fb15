/** Training of populations. */
export type { RealType } from './batches.js';
export { evaluate, type Evaluation } from './evaluate.js';
export type { JobOptions } from './job.js';
export { prepareResNet, trainResNet, type TrainResNetOptions } from './presets.js';
export type { EpochRecord, TrainProgress } from './progress.js';
export { Run, type RunSettings, type StateTensor } from './run.js';
export {
  scheduleTable,
  type Constant,
  type Cosine,
  type OneCycle,
  type Schedule,
  type ScheduleName,
  type ScheduleTable,
} from './schedules.js';
export { prepare, train, type TrainJobOptions, type TrainOptions } from './trainer.js';
