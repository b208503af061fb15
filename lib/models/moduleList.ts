/** ModuleList: layers one after the other, named by their number as torch's `nn.ModuleList` does. */
import { checkOneOf } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { conv2d, dropout, gelu, leakyRelu, linear, maxPool2d, relu, silu } from '../nn/index.js';

/** What stands between the layers of the small networks. */
export type SmallActivation = 'leakyRelu' | 'relu' | 'tanh' | 'sigmoid' | 'silu' | 'gelu';

const activations: Record<SmallActivation, (x: Value) => Value> = {
  leakyRelu: (x: Value) => leakyRelu(x),
  relu,
  tanh: (x: Value) => x.tanh(),
  sigmoid: (x: Value) => x.sigmoid(),
  silu,
  gelu: (x: Value) => gelu(x),
};

/** @internal */
export const smallActivations = Object.keys(activations) as SmallActivation[];

/** @internal */
export const checkSmallActivation = (value: SmallActivation): SmallActivation =>
  checkOneOf('activation', value, smallActivations);

const weights = { init: { kind: 'kaimingUniform' } } as const;
const biases = { init: { kind: 'constant', value: 0.01 } } as const;

/** What all layers of a list share. */
interface ListOptions {
  activation: SmallActivation;
  dropout: number;
  bias?: boolean;
  training: boolean;
}

/** Takes parameters from a graph as `module_list.0.weight`, ...; every call counts as one module, as in torch. */
export class ModuleList {
  #next = 0;

  constructor(
    private readonly graph: Graph,
    private readonly options: ListOptions,
  ) {}

  #parameters(shape: readonly number[]): { weight: Value; bias: Value | undefined } {
    const name = `module_list.${this.#next++}`;
    const weight = this.graph.param(`${name}.weight`, [...shape], weights);
    if (this.options.bias === false) return { weight, bias: undefined };
    return { weight, bias: this.graph.param(`${name}.bias`, [shape[0]!], biases) };
  }

  /** x (B,in) -> (B,out). */
  linear(x: Value, out: number): Value {
    const { weight, bias } = this.#parameters([out, x.shape[1]!]);
    return linear(x, weight, bias);
  }

  /** x (B,C,H,W) -> (B,out,H-k+1,W-k+1). */
  conv(x: Value, out: number, kernel: number): Value {
    const { weight, bias } = this.#parameters([out, x.shape[1]!, kernel, kernel]);
    return conv2d(x, weight).add(bias!.reshape([out, 1, 1]));
  }

  /** Halves height and width. */
  pool(x: Value): Value {
    this.#next++;
    return maxPool2d(x, 2, { stride: 2 });
  }

  activate(x: Value): Value {
    this.#next++;
    return activations[this.options.activation](x);
  }

  /** @param always whether it counts as a module where nothing is dropped */
  drop(x: Value, always = false): Value {
    const { dropout: rate, training } = this.options;
    if (rate > 0 || always) this.#next++;
    return training && rate > 0 ? dropout(x, rate) : x;
  }

  /** x (B,C,H,W) -> (B,CHW). */
  flatten(x: Value): Value {
    this.#next++;
    return x.reshape([x.shape[0]!, -1]);
  }
}
