/** Flags of the networks of `ptmz train`, in the groups of its help, and the options that they make. */
import { unexpected } from '../errors.js';
import type { EquationName } from '../models/equations.js';
import { smallActivations } from '../models/moduleList.js';
import { longOf, pick, refuseOthers, type FlagTable, type Given } from './flags.js';
import { networkOf, type NetworkName } from './networks.js';
import { integer, list, number } from './options.js';

const size = integer(1, 65_536);
const sizes = list(size);
const [resnets, transformers] = [
  ['resnet18', 'resnet34', 'resnet50'],
  ['vit', 'gpt2'],
];

const shared: FlagTable = {
  activation: {
    flags: '--activation <name>',
    description: `relu or gelu of vit; tanh, sin, relu or softplus of pinn; ${smallActivations.join(', ')} of mlp and cnn`,
    parse: String,
    of: ['vit', 'pinn', 'mlp', 'cnn'],
  },
  dropout: {
    flags: '--dropout <p>',
    description: 'of vit, gpt2, mlp and cnn while they train, below 1; default 0',
    parse: number(0, 1),
    of: ['vit', 'gpt2', 'mlp', 'cnn'],
  },
  bias: { flags: '--no-bias', description: 'gpt2 and mlp without biases', of: ['gpt2', 'mlp'] },
};

const residual: FlagTable = {
  width: { flags: '--width <n>', description: 'channels of the first stage; default 64', parse: size, of: resnets },
  stem: {
    flags: '--stem <kind>',
    description: 'first layers; default cifar',
    choices: ['cifar', 'imagenet'],
    of: resnets,
  },
};

const transformer: FlagTable = {
  dim: {
    flags: '--dim <n>',
    description: 'dimension, a multiple of --heads; default 48, of gpt2 96',
    parse: size,
    of: transformers,
  },
  depth: { flags: '--depth <n>', description: 'layers; default 12, of gpt2 4', parse: size, of: transformers },
  heads: { flags: '--heads <n>', description: 'of the attention; default 3, of gpt2 4', parse: size, of: transformers },
  patch: { flags: '--patch <pixels>', description: 'of vit: side of a patch; default 4', parse: size, of: ['vit'] },
  mlpRatio: {
    flags: '--mlp-ratio <x>',
    description: 'of vit: hidden size of its MLPs by its dimension; default 4',
    parse: number(0),
    of: ['vit'],
  },
  classToken: { flags: '--no-class-token', description: 'of vit: the class off the mean of all tokens', of: ['vit'] },
  tied: { flags: '--no-tied', description: 'of gpt2: a head of its own, not the table of tokens', of: ['gpt2'] },
  approximate: {
    flags: '--approximate <kind>',
    description: 'of gpt2: which GELU; default none',
    choices: ['none', 'tanh'],
    of: ['gpt2'],
  },
};

const small: FlagTable = {
  hidden: {
    flags: '--hidden <n...>',
    description: 'of mlp: sizes of the hidden layers; default 30 15',
    parse: sizes,
    of: ['mlp'],
  },
  size: {
    flags: '--size <name>',
    description: 'of cnn: which one; large is made for 32 x 32, the others for 28 x 28; default small',
    choices: ['small', 'medium', 'large'],
    of: ['cnn'],
  },
};

/** Constants of the equations, by name; each belongs to one of them. */
const constants: FlagTable = {
  beta: {
    flags: '--beta <x...>',
    description: 'of convection, u_t + beta u_x = 0: speed, one or one per seed; default 1',
    parse: list(number(0)),
    of: ['convection'],
  },
  rho: {
    flags: '--rho <x...>',
    description: 'of reaction, u_t = rho u (1 - u): rate, one or one per seed; default 5',
    parse: list(number(0)),
    of: ['reaction'],
  },
  nu: {
    flags: '--nu <x...>',
    description: 'of burgers, u_t + u u_x = nu u_xx: viscosity, one or one per seed; default 0.1',
    parse: list(number(Number.MIN_VALUE)),
    of: ['burgers'],
  },
};
const standardConstants: Readonly<Record<EquationName, Record<string, readonly number[]>>> = {
  convection: { beta: [1] },
  reaction: { rho: [5] },
  burgers: { nu: [0.1] },
};
/** Flags that take one value, or one per seed. */
export const constantNames = Object.keys(constants);

const equation: FlagTable = {
  equation: {
    flags: '--equation <name>',
    description: 'what it solves; default convection',
    choices: Object.keys(standardConstants),
    of: ['pinn'],
  },
  ...Object.fromEntries(Object.entries(constants).map(([name, flag]) => [name, { ...flag, of: ['pinn'] }])),
  layers: {
    flags: '--layers <n...>',
    description: 'sizes from 2 to 1; default 2 50 50 50 50 1',
    parse: sizes,
    of: ['pinn'],
  },
  collocation: {
    flags: '--collocation <n>',
    description: 'points for the equation; default 100',
    parse: integer(1),
    of: ['pinn'],
  },
  pointSeed: {
    flags: '--point-seed <n>',
    description: 'that draws these points, the same for all members; default 0',
    parse: integer(0, 2 ** 32 - 1),
    of: ['pinn'],
  },
  equationWeight: {
    flags: '--equation-weight <x>',
    description: "factor of the equation's term; default 1",
    parse: number(0),
    of: ['pinn'],
  },
  places: { flags: '--places <n>', description: 'of the grid; default 256', parse: integer(2), of: ['pinn'] },
  times: { flags: '--times <n>', description: 'of the grid; default 100', parse: integer(2), of: ['pinn'] },
};

/** By the headings of the help. */
export const networkGroups: Readonly<Record<string, FlagTable>> = {
  'Network:': shared,
  'Of ResNets:': residual,
  'Of transformers:': transformer,
  'Of mlp and cnn:': small,
  'Of pinn:': equation,
};

/** All of them; the keys are those of the networks' options, but for `equationWeight`. */
export const networkFlags: FlagTable = { ...shared, ...residual, ...transformer, ...small, ...equation };

/**
 * The network's own options: those of its row, of a preset, and of the flags, which win.
 *
 * @throws PtmzError `INVALID_ARGUMENT` for a flag of another network, and for an activation that it does not have
 */
export function networkOptions(name: NetworkName, preset: Given, given: Given): Record<string, unknown> {
  const { standard, activations } = networkOf(name);
  refuseOthers(networkFlags, given, name, `--model ${name}`);
  const { activation } = given;
  if (activation !== undefined && !activations!.includes(activation as string))
    throw unexpected(
      longOf(networkFlags['activation']!),
      `one of ${activations!.join(', ')}`,
      `'${activation as string}'`,
    );
  const { equationWeight, ...own } = pick(networkFlags, given);
  const fixed = pick(networkFlags, preset);
  return {
    ...standard,
    ...(name === 'pinn' && standardConstant(given)),
    ...fixed,
    ...own,
    ...(equationWeight !== undefined && { weight: equationWeight }),
  };
}

/** That of the equation which was named; a constant of another one is refused. */
function standardConstant(given: Given): Record<string, readonly number[]> {
  const { equation = 'convection' } = given as { equation?: EquationName };
  refuseOthers(constants, given, equation, `--equation ${equation}`);
  return standardConstants[equation];
}
