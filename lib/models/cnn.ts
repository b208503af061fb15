/** Small convolutional networks: the three of the original zoos, with their names. */
import { checkInteger, checkObject, checkOneOf, unexpected } from '../errors.js';
import { checkDropout, checkInput, type Model } from './model.js';
import { choicePart, ModelName, numberPart } from './modelName.js';
import { checkSmallActivation, ModuleList, smallActivations, type SmallActivation } from './moduleList.js';

/** What {@link cnn} takes. */
export interface CNNOptions {
  /** Channels, height and width of an image. */
  input: readonly [channels: number, height: number, width: number];
  classes: number;
  /** Default `small`; that and `medium` were made for images of 28 x 28, `large` for 32 x 32. */
  size?: 'small' | 'medium' | 'large';
  /** Default `leakyRelu`, slope 0.01. */
  activation?: SmallActivation;
  /** Dropout after pooled and hidden layers while training, in [0, 1); default 0. */
  dropout?: number;
}

/** Channels, kernel, and whether it is pooled, of each convolution. */
const convolutions = {
  small: [
    [8, 5, true],
    [6, 5, true],
    [4, 2, false],
  ],
  medium: [
    [6, 5, true],
    [9, 5, true],
    [6, 2, false],
  ],
  large: [
    [16, 3, true],
    [32, 3, true],
    [15, 3, true],
  ],
} as const;
const hidden = 20;

/** @internal */
export const cnnName = new ModelName<CNNOptions>('cnn', [
  choicePart('size', ['small', 'medium', 'large']),
  choicePart('activation', smallActivations, 'leakyRelu'),
  numberPart('dropout', 'drop', 0),
]);

/** The side that is left of one of `side` pixels. */
function sideAfter(size: keyof typeof convolutions, side: number): number {
  return convolutions[size].reduce((left, [, kernel, pooled]) => {
    const filtered = left - kernel + 1;
    return pooled ? Math.floor(filtered / 2) : filtered;
  }, side);
}

/**
 * A small convolutional network as a {@link Model}: three convolutions, a hidden layer of 20, the classes. Weights begin
 * as U(+-sqrt(6 / fan_in)), biases as 0.01. Parameters are `module_list.K.weight` and `.bias`, where activations, pools
 * and dropout count as modules.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, also for images of which the convolutions leave nothing
 * @example
 * ```ts
 * import { cnn } from 'ptmz-native';
 * const model = cnn({ size: 'large', input: [3, 32, 32], classes: 10 });
 * model.name; // 'cnn-large'
 * ```
 */
export function cnn(options: CNNOptions): Model {
  checkObject('options of cnn', options, ['input', 'classes', 'size', 'activation', 'dropout']);
  const { input, classes } = options;
  checkInput('input', input);
  checkInteger('classes', classes, 1);
  const size = checkOneOf('size', options.size ?? 'small', ['small', 'medium', 'large']);
  const all: Required<CNNOptions> = {
    ...{ input: [input[0], input[1], input[2]], classes, size },
    activation: checkSmallActivation(options.activation ?? 'leakyRelu'),
    dropout: checkDropout(options.dropout ?? 0),
  };
  if (sideAfter(size, Math.min(input[1], input[2])) < 1) {
    let least = 1;
    while (sideAfter(size, least) < 1) least++;
    throw unexpected(
      'input',
      `images of at least ${least} x ${least} for the ${size} network`,
      input.slice(1).join(' x '),
    );
  }
  return {
    name: cnnName.format(all),
    input: all.input,
    classes,
    build(graph, x, { training }) {
      const layers = new ModuleList(graph, { ...all, training });
      // The large network has its dropout as a module even where it drops nothing.
      const drop = (y: typeof x) => layers.drop(y, size === 'large');
      let y = x;
      for (const [channels, kernel, pooled] of convolutions[size]) {
        const filtered = layers.conv(y, channels, kernel);
        y = pooled ? drop(layers.activate(layers.pool(filtered))) : layers.activate(filtered);
      }
      return layers.linear(drop(layers.activate(layers.linear(layers.flatten(y), hidden))), classes);
    },
  };
}
