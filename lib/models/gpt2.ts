/** GPT-2 (Radford et al. 2019) with nanoGPT's parameter names: pre-norm decoder, learned positions, tied head. */
import { checkBoolean, checkInteger, checkObject, checkOneOf, invalidArgument } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { dropout, embedding, gelu, layerNorm, linear, multiHeadAttention } from '../nn/index.js';
import { checkDropout } from './model.js';
import { choicePart, ModelName, numberPart, withoutPart } from './modelName.js';

/** What {@link gpt2} takes. */
export interface GPT2Options {
  /** Number of tokens in the vocabulary. */
  vocab: number;
  /** The longest sequence; the table of positions has that many rows. */
  block: number;
  /** Model dimension; a multiple of `heads`. Head sizes may be odd. */
  dim: number;
  heads: number;
  depth: number;
  /** Biases in linear layers and layer norms; default true (nanoGPT's own runs: false). */
  bias?: boolean;
  /** The head shares the token table; default true. */
  tied?: boolean;
  /** Which GELU; default `none`, the exact one, as in nanoGPT. */
  approximate?: 'none' | 'tanh';
  /** Dropout of embeddings, attention output and MLP output while training, in [0, 1); default 0. */
  dropout?: number;
}

/** A language model: tokens in, logits of the next token out. */
export interface LanguageModel {
  readonly name: string;
  readonly vocab: number;
  readonly block: number;
  /** tokens (B,T) of kind index, T <= block -> logits (B,T,vocab). */
  build(graph: Graph, tokens: Value, mode: { training: boolean }): Value;
}

/** @internal */
export const gpt2Name = new ModelName<GPT2Options>('gpt2', [
  numberPart('dim', 'd'),
  numberPart('depth', 'l'),
  numberPart('heads', 'h'),
  withoutPart('bias', 'nobias'),
  withoutPart('tied', 'untied'),
  choicePart('approximate', ['none', 'tanh'], 'none'),
  numberPart('dropout', 'drop', 0),
]);

const optionNames = ['vocab', 'block', 'dim', 'heads', 'depth', 'bias', 'tied', 'approximate', 'dropout'] as const;

/** One network's layers, which take their parameters from a graph in nanoGPT's order. */
class Layers {
  readonly #std = { kind: 'normal', std: 0.02 } as const;

  constructor(
    private readonly graph: Graph,
    private readonly options: Required<GPT2Options>,
    private readonly training: boolean,
  ) {}

  table(name: string, rows: number): Value {
    return this.graph.param(name, [rows, this.options.dim], { init: this.#std });
  }

  norm(name: string, x: Value): Value {
    const shape = [this.options.dim];
    const weight = this.graph.param(`${name}.weight`, shape, { init: { kind: 'constant', value: 1 }, decay: false });
    return layerNorm(x, { weight, bias: this.#bias(name, shape[0]!) });
  }

  /** Projections back into the residual stream begin smaller: std 0.02 / sqrt(2 depth). */
  dense(name: string, x: Value, out: number, residual = false): Value {
    const std = residual ? this.#std.std / Math.sqrt(2 * this.options.depth) : this.#std.std;
    const weight = this.graph.param(`${name}.weight`, [out, x.shape.at(-1)!], { init: { kind: 'normal', std } });
    return linear(x, weight, this.#bias(name, out));
  }

  #bias(name: string, size: number): Value | undefined {
    return this.options.bias ? this.graph.param(`${name}.bias`, [size], { decay: false }) : undefined;
  }

  drop(x: Value): Value {
    return this.training && this.options.dropout > 0 ? dropout(x, this.options.dropout) : x;
  }

  /** x (B,T,D) -> (B,T,D): causal attention over heads of size D / heads. */
  attention(name: string, x: Value): Value {
    const { dim, heads } = this.options;
    const qkv = this.dense(`${name}.c_attn`, x, 3 * dim);
    const mixed = multiHeadAttention(qkv, heads, { causal: true });
    return this.drop(this.dense(`${name}.c_proj`, mixed, dim, true));
  }

  mlp(name: string, x: Value): Value {
    const hidden = gelu(this.dense(`${name}.c_fc`, x, 4 * this.options.dim), this.options.approximate);
    return this.drop(this.dense(`${name}.c_proj`, hidden, this.options.dim, true));
  }

  block(name: string, x: Value): Value {
    const y = x.add(this.attention(`${name}.attn`, this.norm(`${name}.ln_1`, x)));
    return y.add(this.mlp(`${name}.mlp`, this.norm(`${name}.ln_2`, y)));
  }
}

/**
 * A GPT-2. Weights begin as N(0, 0.02^2), residual projections as N(0, 0.02^2 / (2 depth)), biases as zeros.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, also from `build` for a sequence longer than `block`
 * @example
 * ```ts
 * import { crossEntropy, gpt2, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const model = gpt2({ vocab: 65, block: 32, dim: 24, heads: 2, depth: 2 });
 * const tokens = graph.input('tokens', [4, 32], 'index');
 * const logits = model.build(graph, tokens, { training: true });
 * crossEntropy(logits.reshape([-1, 65]), graph.input('next', [128], 'index'));
 * ```
 */
export function gpt2(options: GPT2Options): LanguageModel {
  checkObject('options of gpt2', options, [...optionNames]);
  for (const name of ['vocab', 'block', 'dim', 'heads', 'depth'] as const) checkInteger(name, options[name], 1);
  const all: Required<GPT2Options> = {
    ...options,
    bias: checkBoolean('bias', options.bias ?? true),
    tied: checkBoolean('tied', options.tied ?? true),
    approximate: checkOneOf('approximate', options.approximate ?? 'none', ['none', 'tanh']),
    dropout: checkDropout(options.dropout ?? 0),
  };
  if (all.dim % all.heads !== 0) throw invalidArgument('dim', `a multiple of heads (${all.heads})`, all.dim);
  return {
    name: gpt2Name.format(all),
    vocab: all.vocab,
    block: all.block,
    build(graph, tokens, { training }) {
      const [batch, time] = tokens.shape as [number, number];
      if (tokens.shape.length !== 2 || time > all.block)
        throw invalidArgument('tokens', `shape (batch, time) with time <= ${all.block}`, tokens.shape);
      const layers = new Layers(graph, all, training);
      const wte = layers.table('transformer.wte.weight', all.vocab);
      const wpe = layers.table('transformer.wpe.weight', all.block);
      let x = layers.drop(embedding(tokens, wte).add(wpe.slice(0, 0, time)));
      for (let i = 0; i < all.depth; i++) x = layers.block(`transformer.h.${i}`, x);
      x = layers.norm('transformer.ln_f', x);
      const head = all.tied ? wte : layers.table('lm_head.weight', all.vocab);
      return linear(x, head).reshape([batch, time, all.vocab]);
    },
  };
}
