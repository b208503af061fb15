/** The networks of `ptmz train`: a row says what one is trained on, its usual settings, and how its run is made. */
import { smallActivations } from '../models/moduleList.js';
import type { Optimizer } from '../train/optimizers.js';
import type { Run } from '../train/run.js';
import type { Schedule, ScheduleName } from '../train/schedules.js';
import { prepareCNN } from '../train/trainCNN.js';
import { gpt2Defaults, prepareGPT2 } from '../train/trainGPT2.js';
import { prepareMLP } from '../train/trainMLP.js';
import { pinnDefaults, preparePINN } from '../train/trainPINN.js';
import { prepareResNet, resnetDecay, resnetDefaults } from '../train/trainResNet.js';
import { prepareViT, vitDefaults } from '../train/trainViT.js';

/** What a network is trained on. */
export type Takes = 'images' | 'text' | 'nothing';

/** Settings of a training that a network brings along, and that flags may change. */
export interface Recipe {
  lr: number;
  optimizer: Optimizer;
  schedule: ScheduleName | Schedule;
  [setting: string]: unknown;
}

interface Network {
  description: string;
  takes: Takes;
  /** Of {@link networkFlags}, where nothing is said. */
  standard: Record<string, unknown>;
  recipe: Recipe;
  activations?: readonly string[];
  /** The run; the options are those of the training function, checked there. */
  prepare(options: never): Run;
}

const residual: Recipe = { ...resnetDefaults, optimizer: { kind: 'sgd', ...resnetDecay } };

const resnetOf = (depth: 18 | 34 | 50): Network => ({
  description: `ResNet-${depth} of any width`,
  takes: 'images',
  standard: { depth, width: 64 },
  recipe: residual,
  prepare: prepareResNet,
});

/** All networks by the name that `--model` takes. */
export const networks = {
  resnet18: resnetOf(18),
  resnet34: resnetOf(34),
  resnet50: resnetOf(50),
  vit: {
    description: 'vision transformer',
    takes: 'images',
    standard: { dim: 48 },
    recipe: vitDefaults,
    activations: ['relu', 'gelu'],
    prepare: prepareViT,
  },
  gpt2: {
    description: 'GPT-2, on text',
    takes: 'text',
    standard: { dim: 96, depth: 4, heads: 4 },
    recipe: gpt2Defaults,
    prepare: prepareGPT2,
  },
  pinn: {
    description: 'physics-informed network for convection, reaction or Burgers; no data',
    takes: 'nothing',
    standard: {},
    recipe: { ...pinnDefaults, lr: 1, schedule: 'constant' },
    activations: ['tanh', 'sin', 'relu', 'softplus'],
    prepare: preparePINN,
  },
  mlp: {
    description: 'multi-layer perceptron',
    takes: 'images',
    standard: { hidden: [30, 15] },
    recipe: residual,
    activations: smallActivations,
    prepare: prepareMLP,
  },
  cnn: {
    description: 'three convolutions and a hidden layer',
    takes: 'images',
    standard: {},
    recipe: residual,
    activations: smallActivations,
    prepare: prepareCNN,
  },
} as const satisfies Record<string, Network>;

export type NetworkName = keyof typeof networks;

/** A row, as what is common to all. */
export const networkOf = (name: NetworkName): Network => networks[name];
