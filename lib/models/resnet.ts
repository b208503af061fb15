/** ResNet-18, 34 and 50 (He et al. 2016) of any width, with torchvision's parameter names. */
import { checkInteger, checkObject, checkOneOf, invalidArgument } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { batchNorm, conv2d, linear, maxPool2d } from '../nn/index.js';
import { checkInput, type Model } from './model.js';
import { choicePart, ModelName, numberPart } from './modelName.js';

/** What {@link resnet} takes. */
export interface ResNetOptions {
  depth: 18 | 34 | 50;
  /** Channels of the first stage; 64 is the standard network, later stages have 2, 4 and 8 times as many. */
  width: number;
  /** Channels, height and width of an image. */
  input: readonly [channels: number, height: number, width: number];
  classes: number;
  /** `cifar` (default): 3x3 convolution, stride 1, no pool. `imagenet`: 7x7, stride 2, then a 3x3/2 max-pool. */
  stem?: 'cifar' | 'imagenet';
}

/** One kind of name for each depth. @internal */
export const resnetNames = ([18, 34, 50] as const).map((depth) => ({
  depth,
  name: new ModelName<ResNetOptions>(`resnet${depth}`, [
    numberPart('width', 'w'),
    choicePart('stem', ['cifar', 'imagenet'], 'cifar'),
  ]),
}));

const blocks = { 18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3] } as const;

/** Layers that take their parameters from a graph under a common prefix. */
class Layers {
  constructor(
    private readonly graph: Graph,
    private readonly training: boolean,
  ) {}

  conv(name: string, x: Value, out: number, kernel: number, stride = 1): Value {
    const weight = this.graph.param(`${name}.weight`, [out, x.shape[1]!, kernel, kernel], {
      init: { kind: 'kaimingUniform' },
    });
    return conv2d(x, weight, { stride, padding: (kernel - 1) / 2 });
  }

  /** `residual` is called once the layer has its parameters, so that these are in torchvision's order. */
  norm(name: string, x: Value, relu: boolean, residual?: () => Value): Value {
    const shape = [x.shape[1]!];
    const ones = { init: { kind: 'constant', value: 1 } } as const;
    const layer = {
      weight: this.graph.param(`${name}.weight`, shape, ones),
      bias: this.graph.param(`${name}.bias`, shape),
      runningMean: this.graph.buffer(`${name}.running_mean`, shape),
      runningVar: this.graph.buffer(`${name}.running_var`, shape, ones),
    };
    return batchNorm(x, { ...layer, training: this.training, relu, ...(residual && { residual: residual() }) });
  }

  classifier(name: string, x: Value, classes: number): Value {
    const weight = this.graph.param(`${name}.weight`, [classes, x.shape[1]!], { init: { kind: 'kaimingUniform' } });
    return linear(x, weight, this.graph.param(`${name}.bias`, [classes], { init: { kind: 'constant', value: 0.01 } }));
  }

  /** The shortcut: x itself, or a strided 1x1 convolution where the block changes the shape. */
  shortcut(name: string, x: Value, out: number, stride: number): Value {
    if (stride === 1 && x.shape[1] === out) return x;
    return this.norm(`${name}.downsample.1`, this.conv(`${name}.downsample.0`, x, out, 1, stride), false);
  }

  /** Two 3x3 convolutions. */
  basic(name: string, x: Value, planes: number, stride: number): Value {
    const a = this.norm(`${name}.bn1`, this.conv(`${name}.conv1`, x, planes, 3, stride), true);
    const b = this.conv(`${name}.conv2`, a, planes, 3);
    return this.norm(`${name}.bn2`, b, true, () => this.shortcut(name, x, planes, stride));
  }

  /** 1x1, 3x3 with the stride (as torchvision), 1x1 to four times as many channels. */
  bottleneck(name: string, x: Value, planes: number, stride: number): Value {
    const a = this.norm(`${name}.bn1`, this.conv(`${name}.conv1`, x, planes, 1), true);
    const b = this.norm(`${name}.bn2`, this.conv(`${name}.conv2`, a, planes, 3, stride), true);
    const c = this.conv(`${name}.conv3`, b, 4 * planes, 1);
    return this.norm(`${name}.bn3`, c, true, () => this.shortcut(name, x, 4 * planes, stride));
  }
}

/**
 * A ResNet as a {@link Model}. All weights begin as U(+-sqrt(6 / fan_in)), the bias of `fc` as 0.01, batch norms as the
 * identity.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { resnet } from 'ptmz-native';
 * const model = resnet({ depth: 18, width: 8, input: [3, 32, 32], classes: 10 });
 * model.name; // 'resnet18-w8'
 * ```
 */
export function resnet(options: ResNetOptions): Model {
  checkObject('options', options, ['depth', 'width', 'input', 'classes', 'stem']);
  const { depth, width, input, classes } = options;
  if (depth !== 18 && depth !== 34 && depth !== 50) throw invalidArgument('depth', 'one of 18, 34, 50', depth);
  checkInteger('width', width, 1, 65536);
  checkInteger('classes', classes, 1);
  checkInput('input', input);
  const stem = checkOneOf('stem', options.stem ?? 'cifar', ['cifar', 'imagenet']);
  const block = depth === 50 ? 'bottleneck' : 'basic';
  return {
    name: resnetNames.find((row) => row.depth === depth)!.name.format({ ...options, stem }),
    input: [input[0], input[1], input[2]],
    classes,
    build(graph, x, { training }) {
      const layers = new Layers(graph, training);
      const [kernel, stride] = stem === 'cifar' ? [3, 1] : [7, 2];
      let y = layers.norm('bn1', layers.conv('conv1', x, width, kernel, stride), true);
      if (stem === 'imagenet') y = maxPool2d(y, 3, { stride: 2, padding: 1 });
      blocks[depth].forEach((count, stage) => {
        for (let i = 0; i < count; i++) {
          y = layers[block](`layer${stage + 1}.${i}`, y, width * 2 ** stage, i === 0 && stage > 0 ? 2 : 1);
        }
      });
      return layers.classifier('fc', y.mean([2, 3]), classes);
    },
  };
}
