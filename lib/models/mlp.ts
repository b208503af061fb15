/** Multi-layer perceptrons on flattened images: the smallest networks of the original zoos, with their names. */
import { checkArray, checkBoolean, checkInteger, checkObject, invalidArgument } from '../errors.js';
import { checkDropout, checkInput, type Model } from './model.js';
import { choicePart, ModelName, numberPart, sizesPart, withoutPart } from './modelName.js';
import { checkSmallActivation, ModuleList, smallActivations, type SmallActivation } from './moduleList.js';

/** What {@link mlp} takes. */
export interface MLPOptions {
  /** Channels, height and width of an image, which is flattened. */
  input: readonly [channels: number, height: number, width: number];
  classes: number;
  /** Sizes of the hidden layers. */
  hidden: readonly number[];
  /** Default `leakyRelu`, slope 0.01. */
  activation?: SmallActivation;
  /** Dropout after every hidden layer while training, in [0, 1); default 0. */
  dropout?: number;
  /** Default true. */
  bias?: boolean;
}

/** @internal */
export const mlpName = new ModelName<MLPOptions>('mlp', [
  sizesPart('hidden', 'h'),
  choicePart('activation', smallActivations, 'leakyRelu'),
  numberPart('dropout', 'drop', 0),
  withoutPart('bias', 'nobias'),
]);

/**
 * A multi-layer perceptron as a {@link Model}. Weights begin as U(+-sqrt(6 / fan_in)), biases as 0.01. Parameters are
 * `module_list.K.weight` and `.bias`, where activations and dropout count as modules.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { mlp } from 'ptmz-native';
 * const model = mlp({ hidden: [30, 15], activation: 'tanh', input: [1, 28, 28], classes: 10 });
 * model.name; // 'mlp-h30x15-tanh'
 * ```
 */
export function mlp(options: MLPOptions): Model {
  checkObject('options of mlp', options, ['input', 'classes', 'hidden', 'activation', 'dropout', 'bias']);
  const { input, classes, hidden } = options;
  checkInput('input', input);
  checkInteger('classes', classes, 1);
  checkArray('hidden', hidden);
  if (hidden.length === 0) throw invalidArgument('hidden', 'at least one size', hidden);
  hidden.forEach((size, i) => checkInteger(`hidden[${i}]`, size, 1));
  const all: Required<MLPOptions> = {
    ...{ input: [input[0], input[1], input[2]], classes, hidden: [...hidden] },
    activation: checkSmallActivation(options.activation ?? 'leakyRelu'),
    dropout: checkDropout(options.dropout ?? 0),
    bias: checkBoolean('bias', options.bias ?? true),
  };
  return {
    name: mlpName.format(all),
    input: all.input,
    classes,
    build(graph, x, { training }) {
      const layers = new ModuleList(graph, { ...all, training });
      const flat = x.reshape([x.shape[0]!, -1]);
      const last = hidden.reduce((y, size) => layers.drop(layers.activate(layers.linear(y, size))), flat);
      return layers.linear(last, classes);
    },
  };
}
