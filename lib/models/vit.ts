/** Vision transformers (Dosovitskiy et al. 2021) of any size, with torchvision's parameter names. */
import { checkBoolean, checkInteger, checkNumber, checkObject, checkOneOf, invalidArgument } from '../errors.js';
import type { Init } from '../graph/flat.js';
import type { Graph } from '../graph/graph.js';
import { concat } from '../graph/operators.js';
import type { Value } from '../graph/value.js';
import { conv2d, dropout, gelu, layerNorm, linear, multiHeadAttention, relu } from '../nn/index.js';
import { checkDropout, checkInput, type Model } from './model.js';
import { choicePart, ModelName, numberPart, withoutPart } from './modelName.js';

/** What {@link vit} takes. */
export interface ViTOptions {
  /** Model dimension; a multiple of `heads`. */
  dim: number;
  /** Channels, height and width of an image; both sides are multiples of `patch`. */
  input: readonly [channels: number, height: number, width: number];
  classes: number;
  /** Side of a patch in pixels; default 4. */
  patch?: number;
  /** Number of layers; default 12. */
  depth?: number;
  /** Default 3. */
  heads?: number;
  /** Hidden size of the MLPs, as a multiple of `dim`; default 4. */
  mlpRatio?: number;
  /** Default `relu`, as in the published zoos; torchvision's is the exact `gelu`. */
  activation?: 'relu' | 'gelu';
  /** true (default): the class is read off a token of its own; false: off the mean of all tokens. */
  classToken?: boolean;
  /** Dropout of embeddings, attention output and MLPs while training, in [0, 1); default 0. */
  dropout?: number;
}

const optionNames = [
  ...(['dim', 'input', 'classes', 'patch', 'depth', 'heads', 'mlpRatio', 'activation', 'classToken'] as const),
  'dropout',
] as const;

const kaiming: Init = { kind: 'kaimingUniform' };
const ones: Init = { kind: 'constant', value: 1 };
/** @internal */
export const vitName = new ModelName<ViTOptions>('vit', [
  numberPart('dim', 'd'),
  numberPart('patch', 'p'),
  numberPart('depth', 'l'),
  numberPart('heads', 'h'),
  numberPart('mlpRatio', 'm', 4),
  choicePart('activation', ['relu', 'gelu'], 'relu'),
  withoutPart('classToken', 'mean'),
  numberPart('dropout', 'drop', 0),
]);

const epsilon = 1e-6; // of torchvision's layer norms

/** One network's layers, which take their parameters from a graph in torchvision's order. */
class Layers {
  constructor(
    private readonly graph: Graph,
    private readonly options: Required<ViTOptions>,
    private readonly training: boolean,
  ) {}

  /** x (B,C,H,W) -> (B,T,D), one token per patch, row by row. */
  patches(x: Value): Value {
    const { dim, patch } = this.options;
    const weight = this.graph.param('conv_proj.weight', [dim, x.shape[1]!, patch, patch], { init: kaiming });
    const grid = conv2d(x, weight, { stride: patch }).add(
      this.graph.param('conv_proj.bias', [dim]).reshape([dim, 1, 1]),
    );
    return grid.reshape([x.shape[0]!, dim, -1]).permute([0, 2, 1]);
  }

  /** `names` are those of torch: a multi-head attention's first projection has an underscore before `weight`. */
  dense(name: string, x: Value, out: number, separator = '.'): Value {
    const weight = this.graph.param(`${name}${separator}weight`, [out, x.shape.at(-1)!], { init: kaiming });
    return linear(x, weight, this.graph.param(`${name}${separator}bias`, [out]));
  }

  norm(name: string, x: Value): Value {
    const shape = [this.options.dim];
    const weight = this.graph.param(`${name}.weight`, shape, { init: ones });
    return layerNorm(x, { weight, bias: this.graph.param(`${name}.bias`, shape), eps: epsilon });
  }

  drop(x: Value): Value {
    return this.training && this.options.dropout > 0 ? dropout(x, this.options.dropout) : x;
  }

  /** x (B,T,D) -> (B,T,D). */
  block(name: string, x: Value): Value {
    const { dim, heads, mlpRatio, activation } = this.options;
    const qkv = this.dense(`${name}.self_attention.in_proj`, this.norm(`${name}.ln_1`, x), 3 * dim, '_');
    const y = x.add(this.drop(this.dense(`${name}.self_attention.out_proj`, multiHeadAttention(qkv, heads), dim)));
    const hidden = this.dense(`${name}.mlp.0`, this.norm(`${name}.ln_2`, y), Math.round(mlpRatio * dim));
    const active = this.drop(activation === 'relu' ? relu(hidden) : gelu(hidden));
    return y.add(this.drop(this.dense(`${name}.mlp.3`, active, dim)));
  }
}

function complete(options: ViTOptions): Required<ViTOptions> {
  checkObject('options of vit', options, [...optionNames]);
  const { dim, input, classes, patch = 4, depth = 12, heads = 3 } = options;
  for (const [name, value] of Object.entries({ dim, classes, patch, depth, heads })) checkInteger(name, value, 1);
  checkInput('input', input);
  if (dim % heads !== 0) throw invalidArgument('dim', `a multiple of heads (${heads})`, dim);
  if (input[1] % patch !== 0 || input[2] % patch !== 0)
    throw invalidArgument('input', `a height and a width that are multiples of the patch (${patch})`, input);
  const all: Required<ViTOptions> = {
    ...{ dim, input: [input[0], input[1], input[2]], classes, patch, depth, heads },
    mlpRatio: checkNumber('mlpRatio', options.mlpRatio ?? 4, 0),
    activation: checkOneOf('activation', options.activation ?? 'relu', ['relu', 'gelu']),
    classToken: checkBoolean('classToken', options.classToken ?? true),
    dropout: checkDropout(options.dropout ?? 0),
  };
  if (Math.round(all.mlpRatio * dim) < 1) throw invalidArgument('mlpRatio', 'at least one hidden unit', all.mlpRatio);
  return all;
}

/**
 * A vision transformer as a {@link Model}: pre-norm layers, learned positions. Weights begin as U(+-sqrt(6 / fan_in)),
 * positions as N(0, 0.02^2), the class token and all biases as zeros.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { vit } from 'ptmz-native';
 * const model = vit({ dim: 48, depth: 6, input: [3, 32, 32], classes: 10 });
 * model.name; // 'vit-d48-p4-l6-h3'
 * ```
 */
export function vit(options: ViTOptions): Model {
  const all = complete(options);
  const { dim, input, classes, patch, classToken } = all;
  const patches = (input[1] / patch) * (input[2] / patch);
  return {
    name: vitName.format(all),
    input: [input[0], input[1], input[2]],
    classes,
    build(graph, x, { training }) {
      const layers = new Layers(graph, all, training);
      const token = classToken ? graph.param('class_token', [1, 1, dim]) : undefined;
      let y = layers.patches(x);
      if (token) y = concat([token.expand([x.shape[0]!, 1, dim]), y], 1);
      const positions = graph.param('encoder.pos_embedding', [1, patches + (token ? 1 : 0), dim], {
        init: { kind: 'normal', std: 0.02 },
      });
      y = layers.drop(y.add(positions));
      for (let i = 0; i < all.depth; i++) y = layers.block(`encoder.layers.encoder_layer_${i}`, y);
      y = layers.norm('encoder.ln', y);
      const summary = token ? y.slice(1, 0, 1).reshape([x.shape[0]!, dim]) : y.mean(1);
      return layers.dense('heads.head', summary, classes);
    },
  };
}
