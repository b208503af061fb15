/** Training of populations. */
export type { Augment, AugmentSettings } from './augment.js';
export type { ColorJitter, JitterRange, RandAugment, RandomErasing, RandomOps } from './randomOps.js';
export type { RealType } from './batches.js';
export { evaluate, type Evaluation } from './evaluate.js';
export type { JobOptions } from './job.js';
export { prepareCNN, trainCNN, type CNNNetwork, type TrainCNNOptions } from './trainCNN.js';
export { prepareGPT2, trainGPT2, type GPT2Network, type TrainGPT2Options } from './trainGPT2.js';
export { prepareMLP, trainMLP, type MLPNetwork, type TrainMLPOptions } from './trainMLP.js';
export { preparePINN, trainPINN, type EquationChoice, type TrainPINNOptions } from './trainPINN.js';
export { prepareViT, trainViT, type TrainViTOptions, type ViTNetwork } from './trainViT.js';
export { zoos, type ResNetRecipe, type ViTRecipe, type Zoo, type ZooAxis } from './zoos.js';
export { prepareResNet, trainResNet, type ResNetNetwork, type TrainResNetOptions } from './trainResNet.js';
export type { Adam, AdamW, LBFGS, Optimizer, OptimizerName, OptimizerSettings, RMSprop, SGD } from './optimizers.js';
export type { EpochRecord, TrainProgress } from './progress.js';
export { loadRun, type LoadRunOptions } from './loadRun.js';
export { loadStateDict } from './loadState.js';
export { Run, type RunSettings, type RunTrainOptions, type StateTensor } from './run.js';
export type { SavedCheckpoint, SaveOptions } from './saving.js';
export {
  scheduleTable,
  type Constant,
  type Cosine,
  type OneCycle,
  type Schedule,
  type ScheduleName,
  type ScheduleTable,
  type Step,
} from './schedules.js';
export {
  prepare,
  train,
  type ProblemTrainOptions,
  type TrainJobOptions,
  type TrainOptions,
  type TrainSettings,
} from './trainer.js';
