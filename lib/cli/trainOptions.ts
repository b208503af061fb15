/** What a training is told on the command line: the flags of `ptmz train`, and the run that they make. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { DataSet } from '../data/dataset.js';
import type { Split } from '../data/split.js';
import { unexpected } from '../errors.js';
import type { Augment } from '../train/augment.js';
import type { Run } from '../train/run.js';
import type { SaveOptions } from '../train/saving.js';
import { zoos, type Zoo } from '../train/zoos.js';
import { augmentFlags, chooseAugment } from './augmentFlags.js';
import { helpSection } from './command.js';
import { addFlags, longOf, pick, refuseOthers, type FlagTable, type Given } from './flags.js';
import { constantNames, networkFlags, networkGroups, networkOptions } from './networkFlags.js';
import { networkOf, networks, type NetworkName, type Recipe, type Takes } from './networks.js';
import { oneOf } from './options.js';
import {
  chooseRecipe,
  optimizerFlags,
  optimizerNames,
  scheduleFlags,
  scheduleNames,
  trainingFlags,
} from './recipeFlags.js';

/** A training that was checked as far as that goes without its data. */
export interface Settings {
  network: NetworkName;
  takes: Takes;
  /** Of text: tokens in a window, where the data do not say. */
  block: number | undefined;
  /** All options of the training function but the data. */
  options: Record<string, unknown>;
}

/** Flags that stand for themselves, and need no kind. */
const choices: FlagTable = {
  model: {
    flags: '--model <name>',
    description: 'network, see below; default resnet18',
    parse: oneOf(Object.keys(networks)),
  },
  preset: {
    flags: '--preset <zoo>',
    description: 'network and recipe of a published zoo, see below; other flags override them',
    parse: oneOf(Object.keys(zoos)),
  },
};

/** Adds the flags, in groups; lists networks and presets below. */
export function addSettingOptions(command: Command): Command {
  const named = (flags: string, description: string, names: readonly string[]) =>
    new Option(flags, description).choices(names);
  addFlags(command, 'Network:', choices);
  for (const [heading, table] of Object.entries(networkGroups)) addFlags(command, heading, table);
  addFlags(command, 'Training:', trainingFlags);
  command.optionsGroup('Optimizer:').addOption(named('--optimizer <name>', "default: the network's", optimizerNames));
  addFlags(command, 'Optimizer:', optimizerFlags);
  command.optionsGroup('Schedule:').addOption(named('--schedule <name>', "default: the network's", scheduleNames));
  addFlags(command, 'Schedule:', scheduleFlags);
  return addFlags(command, 'Augmentation of the training images:', augmentFlags).addHelpText(
    'after',
    helpSection('Networks', describeNetworks()) + helpSection('Presets', describePresets()),
  );
}

const describeNetworks = () => Object.entries(networks).map(([name, { description }]) => [name, description] as const);

const describePresets = () =>
  Object.entries<Zoo<unknown>>(zoos).map(([name, zoo]) => {
    const axes = [zoo.load, zoo.temperature].map(({ option, values }) => `${flagOf(option)} ${values.join(' ')}`);
    return [name, `${zoo.name}: ${axes.join(', ')}`] as const;
  });

const flagOf = (option: string): string => longOf({ ...networkFlags, ...trainingFlags }[option]!);

/** The network that is named, or that of the zoo. */
function chooseNetwork(given: Given): { network: NetworkName; zoo?: Zoo<object> } {
  const { preset, model = 'resnet18' } = given as { preset?: keyof typeof zoos; model?: NetworkName };
  if (preset === undefined) return { network: model };
  if (given['model'] !== undefined) throw unexpected('--model', `nothing beside --preset ${preset}`, model);
  const zoo: Zoo<object> = zoos[preset];
  checkAxes(zoo, given);
  return { network: zoo.network, zoo };
}

/** Both axes of a zoo's grid must be said: its recipe leaves them open. */
function checkAxes({ load, temperature }: Zoo<unknown>, given: Given): void {
  for (const { option, values } of [load, temperature])
    if (given[option] === undefined)
      throw unexpected(
        flagOf(option),
        `one of ${values.join(', ')} beside --preset ${given['preset'] as string}, whose axis it is`,
        'nothing',
      );
}

/** The network's recipe, changed by that of the zoo; weight decay is a setting of the optimizer. */
function publishedRecipe(usual: Recipe, zoo: Zoo<object> | undefined): Recipe & { augment?: Augment } {
  const { weightDecay, ...recipe } = (zoo?.recipe ?? {}) as Record<string, unknown>;
  const optimizer = weightDecay === undefined ? {} : { optimizer: { ...usual.optimizer, weightDecay } };
  return { ...usual, ...recipe, ...optimizer } as Recipe;
}

/** Lists of one or of as many as there are members, as the training takes them. */
function perMember(settings: Record<string, unknown>, members: number): Record<string, unknown> {
  const check = (flag: string, values: unknown) => {
    if (!Array.isArray(values) || values.length === members) return values;
    if (values.length === 1) return values[0];
    throw unexpected(flag, `one value or ${members}, one per seed`, `${values.length} values`);
  };
  const { lr, optimizer, ...rest } = settings;
  const { weightDecay, ...own } = optimizer as Record<string, unknown>;
  return {
    ...Object.fromEntries(
      Object.entries(rest).map(([key, value]) => [
        key,
        constantNames.includes(key) ? check(longOf(networkFlags[key]!), value) : value,
      ]),
    ),
    lr: check('--lr', lr),
    optimizer: { ...own, ...(weightDecay !== undefined && { weightDecay: check('--weight-decay', weightDecay) }) },
  };
}

/**
 * Everything about the flags that can be refused before the data are read.
 *
 * @param given what stood on the command line
 * @throws PtmzError `INVALID_ARGUMENT` naming the flag
 */
export function checkSettings(given: Given): Settings {
  const { network, zoo } = chooseNetwork(given);
  const { takes, recipe } = networkOf(network);
  for (const table of [trainingFlags, augmentFlags]) refuseOthers(table, given, takes, `--model ${network}`);
  const published = publishedRecipe(recipe, zoo);
  const own = networkOptions(network, published, given);
  const chosen = chooseRecipe(published, given);
  const augment = chooseAugment(published.augment, given);
  const seeds = (given['seeds'] ?? zoo?.seeds ?? [0]) as readonly number[];
  const options = {
    ...{ epochs: 10, ...(takes !== 'nothing' && { batchSize: 64 }) },
    ...pickOthers(published, networkFlags),
    ...chosen,
    ...pick(trainingFlags, given),
    ...own,
    ...{ seeds, ...(augment && { augment }) },
  };
  return { network, takes, block: zoo?.block, options: perMember(options, seeds.length) };
}

const pickOthers = (values: Record<string, unknown>, table: FlagTable) =>
  Object.fromEntries(Object.entries(values).filter(([key]) => !(key in table)));

/**
 * A population with its first values.
 *
 * @param data images or text, as the network takes it; undefined for a network that has its own points
 * @throws as `prepare`
 */
export function prepareRun({ network, options }: Settings, data: DataSet<Split> | undefined, device: string): Run {
  return networkOf(network).prepare({ ...options, device, ...(data && { data }) } as never);
}

/** `5`, `5epochs` or `100steps`. */
export function saveInterval(text: string): NonNullable<SaveOptions['saveEvery']> {
  const match = /^(\d+) ?(epoch|step)?s?$/.exec(text);
  const every = Number(match?.[1] ?? 0);
  if (!Number.isSafeInteger(every) || every < 1)
    throw new InvalidArgumentError('Expected a number of epochs or steps, such as 2, 2epochs or 100steps.');
  return match![2] === 'step' ? { steps: every } : { epochs: every };
}
