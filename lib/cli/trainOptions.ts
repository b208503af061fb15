/** The settings of a training as options of the command line, and the run that they make. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { DataSet } from '../data/dataset.js';
import { unexpected } from '../errors.js';
import { models } from '../models/registry.js';
import type { ResNetOptions } from '../models/resnet.js';
import type { Optimizer } from '../train/optimizers.js';
import { resnetDecay, resnetDefaults } from '../train/presets.js';
import type { Run } from '../train/run.js';
import type { SaveOptions } from '../train/saving.js';
import type { ScheduleName } from '../train/schedules.js';
import { prepare } from '../train/trainer.js';
import { integer, list, number } from './options.js';

/** What is fixed for a run once it has begun. */
export interface SettingOptions {
  model: keyof typeof models;
  width: number;
  stem: NonNullable<ResNetOptions['stem']>;
  batchSize: number;
  epochs: number;
  seeds: readonly number[];
  lr?: readonly number[];
  optimizer: Optimizer['kind'];
  momentum?: number;
  nesterov?: boolean;
  weightDecay?: readonly number[];
  schedule: ScheduleName;
  crop?: number;
  flip?: number;
  rotate?: number;
  evaluateEvery: number;
  dtype: 'float32' | 'float64';
  device: string;
}

const seeds = [0];
/** torch's default of AdamW; the rate of the SGD presets would make it diverge. */
const adamwRate = 1e-3;
const decays = `${resnetDecay.weightDecay}; adamw 0.01`;

const choice = (flags: string, description: string, choices: readonly string[], standard: string) =>
  new Option(flags, description).choices(choices).default(standard);

/** Adds the options; their defaults are those of the ResNet zoos. */
export function addSettingOptions(command: Command): Command {
  return command
    .optionsGroup('Network:')
    .addOption(choice('--model <name>', 'network', Object.keys(models), 'resnet18'))
    .option('--width <n>', 'channels of its first stage', integer(1, 65536), 64)
    .addOption(choice('--stem <kind>', 'its first layers', ['cifar', 'imagenet'], 'cifar'))
    .optionsGroup('Training:')
    .option('--batch-size <n>', 'images per step', integer(1, 2 ** 31 - 1), 64)
    .option('--epochs <n>', 'passes over the training images', integer(1, 2 ** 31 - 1), 10)
    .option('--seeds <n...>', 'members of the population, one for each seed', list(integer(0), seeds), seeds)
    .option(
      '--lr <x...>',
      `peak learning rate, one or one per seed (default: ${resnetDefaults.lr}; adamw ${adamwRate})`,
      list(number(0)),
    )
    .addOption(choice('--optimizer <name>', 'optimizer', ['sgd', 'adamw'], 'sgd'))
    .option('--momentum <x>', 'of sgd, where the schedule does not set it (default: 0.9)', number(0, 1))
    .option('--nesterov', 'of sgd: momentum as Nesterov')
    .option('--weight-decay <x...>', `one or one per seed (default: ${decays})`, list(number(0)))
    .addOption(choice('--schedule <name>', 'of the rate', ['onecycle', 'cosine', 'constant'], resnetDefaults.schedule))
    .option('--evaluate-every <epochs>', 'epochs between evaluations on the test images', integer(1), 1)
    .addOption(choice('--dtype <type>', 'type of all numbers', ['float32', 'float64'], 'float32'))
    .optionsGroup('Augmentation of the training images:')
    .option('--crop <pixels>', 'random crops after this much padding', integer(0, 65536))
    .option('--flip <p>', 'mirror images with this probability', number(0, 1))
    .option('--rotate <degrees>', 'rotation by up to so much', number(0, 180));
}

function oneOrPerSeed(flag: string, values: readonly number[] | undefined, members: number) {
  if (values === undefined || values.length === members) return values;
  if (values.length === 1) return values[0];
  throw unexpected(flag, `one value or ${members}, one per seed`, `${values.length} values`);
}

/** What of {@link SettingOptions} can be refused before the images are read. Throws `INVALID_ARGUMENT`. */
export function checkSettings(options: SettingOptions): void {
  oneOrPerSeed('--lr', options.lr, options.seeds.length);
  oneOrPerSeed('--weight-decay', options.weightDecay, options.seeds.length);
  if (options.optimizer === 'sgd') return;
  for (const key of ['momentum', 'nesterov'] as const)
    if (options[key] !== undefined)
      throw unexpected(`--${key}`, `nothing beside --optimizer ${options.optimizer}`, `${options[key]}`);
}

/** A population with its first values. Throws as `prepare`. */
export function prepareRun(options: SettingOptions, data: DataSet): Run {
  const { model, width, stem, optimizer, crop, flip, rotate } = options;
  const [, channels, height, imageWidth] = data.train.shape;
  const members = options.seeds.length;
  const sgd = optimizer === 'sgd';
  return prepare({
    model: models[model]({ width, stem, input: [channels, height, imageWidth], classes: data.classes }),
    data,
    batchSize: options.batchSize,
    epochs: options.epochs,
    seeds: options.seeds,
    lr: oneOrPerSeed('--lr', options.lr, members) ?? (sgd ? resnetDefaults.lr : adamwRate),
    optimizer,
    weightDecay:
      oneOrPerSeed('--weight-decay', options.weightDecay, members) ?? (sgd ? resnetDecay.weightDecay : undefined),
    momentum: options.momentum,
    nesterov: options.nesterov,
    schedule: options.schedule,
    evaluateEvery: options.evaluateEvery,
    dtype: options.dtype,
    device: options.device,
    augment: { flip, rotate, ...(crop !== undefined && { crop: { padding: crop } }) },
  });
}

/** `5`, `5epochs` or `100steps`. */
export function saveInterval(text: string): NonNullable<SaveOptions['saveEvery']> {
  const match = /^(\d+) ?(epoch|step)?s?$/.exec(text);
  const every = Number(match?.[1] ?? 0);
  if (!Number.isSafeInteger(every) || every < 1)
    throw new InvalidArgumentError('Expected a number of epochs or steps, such as 2, 2epochs or 100steps.');
  return match![2] === 'step' ? { steps: every } : { epochs: every };
}
