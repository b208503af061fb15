/** Networks by their names: what a saved run needs to be opened without its program. */
import { cnn, cnnName } from './cnn.js';
import {
  burgersEquation,
  burgersName,
  convectionEquation,
  convectionName,
  reactionEquation,
  reactionName,
} from './equations.js';
import { gpt2, gpt2Name, type GPT2Options } from './gpt2.js';
import { mlp, mlpName, type MLPOptions } from './mlp.js';
import type { Model } from './model.js';
import type { ModelName } from './modelName.js';
import { resnet, resnetNames, type ResNetOptions } from './resnet.js';
import type { Trainable } from './trainable.js';
import { vit, vitName, type ViTOptions } from './vit.js';

/** What is known of a network beside its name. */
interface Sizes {
  /** Of an image; of text the length of a window. */
  input: readonly number[];
  /** Classes, or tokens of the vocabulary. */
  classes: number;
}

type Open = (name: string, sizes: Sizes) => Trainable | undefined;

/** A kind of network: its names, and how one is made of what the name says. */
const kind =
  <Options extends object>(names: ModelName<Options>, make: (options: Options, sizes: Sizes) => Trainable): Open =>
  (name, sizes) => {
    const options = names.parse(name);
    return options && make(options as Options, sizes);
  };

const image = ({ input, classes }: Sizes) => ({ input: input as Model['input'], classes });

const kinds: readonly Open[] = [
  ...resnetNames.map(({ depth, name }) =>
    kind<ResNetOptions>(name, (options, sizes) => resnet({ ...options, depth, ...image(sizes) })),
  ),
  kind<ViTOptions>(vitName, (options, sizes) => vit({ ...options, ...image(sizes) })),
  kind<MLPOptions>(mlpName, (options, sizes) => mlp({ ...options, ...image(sizes) })),
  kind(cnnName, (options, sizes) => cnn({ ...options, ...image(sizes) })),
  kind<GPT2Options>(gpt2Name, (options, { input, classes }) => gpt2({ ...options, vocab: classes, block: input[0]! })),
  kind(convectionName, (options) => convectionEquation(options)),
  kind(reactionName, (options) => reactionEquation(options)),
  kind(burgersName, (options) => burgersEquation(options)),
];

/** The network of this package that has the name, or undefined. @internal */
export function modelNamed(name: string, sizes: Sizes): Trainable | undefined {
  for (const open of kinds) {
    const model = open(name, sizes);
    if (model) return model;
  }
  return undefined;
}
