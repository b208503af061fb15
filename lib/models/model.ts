/** Model: what the trainer needs to know of a classifier - its input and how its graph is built. */
import { checkInteger, checkNumber, checkObject, checkString, invalidArgument, PtmzError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import { Value } from '../graph/value.js';

/**
 * A classifier. Any object of this form can be trained and measured; parameters and buffers are those that `build`
 * adds to the graph, and it must add the same ones in the same order every time.
 *
 * @example
 * ```ts
 * import { linear, type Model } from 'ptmz-native';
 * const softmaxRegression: Model = {
 *   name: 'softmax-regression',
 *   input: [1, 8, 8],
 *   classes: 10,
 *   build(graph, x) {
 *     const w = graph.param('fc.weight', [10, 64], { init: { kind: 'kaimingUniform' } });
 *     return linear(x.reshape([-1, 64]), w, graph.param('fc.bias', [10]));
 *   },
 * };
 * ```
 */
export interface Model {
  readonly name: string;
  /** Channels, height and width of one sample. */
  readonly input: readonly [channels: number, height: number, width: number];
  readonly classes: number;
  /** x (B,C,H,W) -> logits (B, classes). `training` is false for evaluation and everything that is measured. */
  build(graph: Graph, x: Value, mode: { training: boolean }): Value;
  /** logits (B, classes), labels (B) of kind index -> the batch's mean loss, shape []. Default: cross-entropy. */
  loss?(logits: Value, labels: Value): Value;
}

/** Throws unless `value` is the size of an image. @internal */
export function checkInput(name: string, value: Model['input']): void {
  if (!Array.isArray(value) || value.length !== 3)
    throw invalidArgument(name, 'three sizes: channels, height, width', value);
  value.forEach((size, i) => checkInteger(`${name}[${i}]`, size, 1));
}

/** A probability of dropout: in [0, 1). @internal */
export function checkDropout(rate: number): number {
  if (checkNumber('dropout', rate, 0, 1) < 1) return rate;
  throw invalidArgument('dropout', 'a number in [0, 1)', rate);
}

/** Throws unless `value` looks like a model. @internal */
export function checkModel(value: Model): Model {
  checkObject('model', value);
  checkString('model.name', value.name);
  checkInput('model.input', value.input);
  checkInteger('model.classes', value.classes, 1);
  if (typeof value.build !== 'function') throw invalidArgument('model.build', 'a function', value.build);
  return value;
}

/** The logits of a model, checked. @internal */
export function buildLogits(model: Model, graph: Graph, x: Value, training: boolean): Value {
  const logits = model.build(graph, x, { training });
  if (!(logits instanceof Value)) throw invalidArgument(`the result of ${model.name}.build`, 'a Value', logits);
  const [batch, classes] = [x.shape[0]!, model.classes];
  if (logits.shape.length === 2 && logits.shape[0] === batch && logits.shape[1] === classes) return logits;
  throw new PtmzError(
    'SHAPE_MISMATCH',
    `${model.name}.build: expected logits of shape [${batch}, ${classes}], got [${logits.shape.join(', ')}]`,
  );
}
