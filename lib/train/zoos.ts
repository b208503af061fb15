/**
 * Zoos: the twelve published model zoos as data - grids, seeds, epochs and recipes. Every field that is not stated in
 * the paper says where it comes from.
 */
import type { Augment } from './augment.js';
import { pinnDefaults, type EquationChoice, type TrainPINNOptions } from './trainPINN.js';
import { gpt2Defaults, type TrainGPT2Options } from './trainGPT2.js';
import { resnetDecay, resnetDefaults, type TrainResNetOptions } from './trainResNet.js';
import { vitDefaults, type TrainViTOptions } from './trainViT.js';

/** What one axis of a zoo's grid varies. */
export interface ZooAxis {
  /** An option of the training. */
  readonly option: string;
  readonly values: readonly number[];
}

/** A zoo: `recipe` is spread into its training function, beside data, seeds and one value of each axis. */
export interface Zoo<Recipe> {
  /** How it is called in the paper. */
  readonly name: string;
  /** The network; `ptmz train --model` takes it too. */
  readonly network: 'resnet18' | 'resnet50' | 'vit' | 'gpt2' | 'pinn';
  readonly load: ZooAxis;
  readonly temperature: ZooAxis;
  readonly seeds: readonly number[];
  /** Epoch whose checkpoints were measured; null where it is not said. */
  readonly metricEpoch: number | null;
  /** Of language models: tokens in a window. */
  readonly block?: number;
  readonly recipe: Recipe;
}

/** Options of which a recipe leaves some to the user. */
type Optional<T, Given extends PropertyKey> = Omit<T, Given> & Partial<T>;
type Data = 'data' | 'batchSize' | 'seeds';
/** What a zoo of ResNets fixes of {@link trainResNet}. */
export type ResNetRecipe = Required<Pick<TrainResNetOptions, 'depth' | 'epochs'>> &
  Pick<TrainResNetOptions, 'lr' | 'schedule' | 'weightDecay' | 'augment'>;
/** What a zoo of vision transformers fixes of {@link trainViT}. */
export type ViTRecipe = Optional<TrainViTOptions, Data | 'dim'>;
type GPT2Recipe = Optional<TrainGPT2Options, Data | 'dim'>;
type PINNRecipe = Optional<Omit<TrainPINNOptions, keyof EquationChoice>, 'seeds' | 'epochs'>;

const powers = (from: number, to: number): number[] => {
  const values = [];
  for (let value = from; value <= to; value *= 2) values.push(value);
  return values;
};

function resnetZoo(
  name: string,
  depth: 18 | 50,
  epochs: number,
  metricEpoch: number,
  augment: Augment,
): Zoo<ResNetRecipe> {
  return {
    name,
    network: `resnet${depth}`,
    load: { option: 'width', values: powers(2, 256) },
    temperature: { option: 'batchSize', values: powers(8, 1024) },
    seeds: [0, 1, 2],
    metricEpoch,
    recipe: { depth, epochs, ...resnetDefaults, ...resnetDecay, augment },
  };
}

function vitZoo(name: string, weightDecay: number, augment: Augment): Zoo<ViTRecipe> {
  return {
    name,
    network: 'vit',
    load: { option: 'dim', values: [6, 12, 24, 48, 60, 96, 192] },
    temperature: { option: 'batchSize', values: powers(8, 512) },
    seeds: [0, 1, 2],
    metricEpoch: null,
    recipe: { ...vitDefaults, optimizer: { kind: 'adamw', weightDecay }, epochs: 150, augment },
  };
}

const none: Augment = {};
const turned: Augment = { crop: { padding: 4 }, rotate: 20 };
const flippedToo: Augment = { ...turned, flip: 0.5 };
const heavy: Augment = { crop: { padding: 4 }, randAugment: {}, erase: {} };

/**
 * The twelve zoos of the paper. ResNet zoos: everything is published but the augmentation of CIFAR, see there.
 *
 * @example
 * ```ts
 * import { digits, trainResNet, zoos } from 'ptmz-native';
 * const { recipe, load } = zoos.cifar10ResNet18;
 * load.values[0]; // width 2
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ ...recipe, epochs: 1, width: 2, batchSize: 50, seeds: [0, 1, 2], data });
 * ```
 */
export const zoos = {
  /** Augmentation: crop and rotation in the published code; digits are not flipped, though the paper says so of all. */
  svhnResNet18: resnetZoo('R18-SVHN', 18, 150, 135, turned),
  /**
   * Augmentation: inferred. The published code crops, flips and rotates, but the published numbers (training accuracy
   * 1.000 at a test accuracy of .72) are those of images as they are.
   */
  cifar10ResNet18: resnetZoo('R18-CIFAR10', 18, 150, 115, none),
  /** Augmentation: inferred, as for CIFAR-10 (generalisation gaps up to .67). */
  cifar100ResNet18: resnetZoo('R18-CIFAR100', 18, 150, 115, none),
  /** Augmentation as in the published code. */
  tinyImageNetResNet18: resnetZoo('R18-TinyImagenet', 18, 100, 90, flippedToo),
  /** As ResNet-18. The zoo accumulated gradients in six cells, wrongly: `compat: 'ptmz'` with `accumulate` does it too. */
  svhnResNet50: resnetZoo('R50-SVHN', 50, 150, 135, turned),
  /** Augmentation inferred, as for ResNet-18. */
  cifar10ResNet50: resnetZoo('R50-CIFAR10', 50, 150, 125, none),
  /** Augmentation inferred, as for ResNet-18. */
  cifar100ResNet50: resnetZoo('R50-CIFAR100', 50, 150, 125, none),
  /** Metric epoch: 100 in the published scripts, 90 in the notebook. */
  tinyImageNetResNet50: resnetZoo('R50-TinyImagenet', 50, 100, 100, flippedToo),
  /**
   * Published: dimensions, batch sizes, AdamW at 6e-3, weight decay, ReLU, Kaiming uniform. Chosen, since nothing is
   * said: patch 4, 12 layers, 3 heads, MLP ratio 4, class token, 150 epochs. Augmentation: crop, flip and rotation are
   * published, their parameters are those of the other zoos' code.
   */
  cifar10ViT: vitZoo('ViT-CIFAR10', 5e-4, flippedToo),
  /**
   * As CIFAR-10. Augmentation: the paper names crop, erasing, colour jitter and RandAugment without their parameters;
   * these are torchvision's defaults, by which the jitter changes nothing.
   */
  cifar100ViT: vitZoo('ViT-CIFAR100', 5e-2, heavy),
  /**
   * Published: dimensions, batch sizes, seeds, AdamW at 6e-4, decay 0.1, OneCycle, windows of 1024. Inferred: untied
   * embeddings (900M parameters at dimension 2172), 12 heads (all dimensions are multiples of 12), 5 epochs with one
   * checkpoint each. Of nanoGPT, since nothing is said: 12 layers, no biases, betas, clipping, first values.
   */
  openWebTextGPT2: {
    name: 'GPT2-OpenWebText',
    network: 'gpt2',
    block: 1024,
    load: { option: 'dim', values: [192, 276, 384, 540, 768, 1092, 1536, 2172] },
    temperature: { option: 'batchSize', values: powers(32, 4096) },
    seeds: [1, 2, 3],
    metricEpoch: null,
    recipe: { ...gpt2Defaults, heads: 12, depth: 12, bias: false, tied: false, epochs: 5 },
  } satisfies Zoo<GPT2Recipe>,
  /**
   * Published: network, seeds, L-BFGS with strong Wolfe, 100,000 iterations. Of the published code: points, 50 pairs,
   * tolerances. Chosen, since the values are not published: both axes. First values are those of the code, uniform up to
   * 1 / sqrt(fan_in), which the paper calls Kaiming uniform.
   */
  pinnConvection: {
    name: 'PINN-1Dconv',
    network: 'pinn',
    load: { option: 'beta', values: [1, 5, 10, 15, 20, 25, 30, 35, 40, 50] },
    temperature: {
      option: 'lr',
      values: [0.001, 0.002, 0.003, 0.006, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6, 1, 2],
    },
    seeds: [0, 123, 2023, 54321, 123456],
    metricEpoch: null,
    recipe: { ...pinnDefaults, epochs: 1000, stepsPerEpoch: 100 },
  } satisfies Zoo<PINNRecipe>,
} as const;
