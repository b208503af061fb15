/** Trainable: what a run can train - a classifier, a language model or a problem - and the graph of one batch of it. */
import { checkInteger, checkObject, checkString, invalidArgument, PtmzError } from '../errors.js';
import { DataSplit } from '../data/dataset.js';
import type { Split } from '../data/split.js';
import { WindowSplit } from '../data/windowSplit.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { crossEntropy } from '../nn/index.js';
import type { LanguageModel } from './gpt2.js';
import { buildLogits, checkModel, type Model } from './model.js';
import { buildProblem, checkProblem, ProblemSplit, type Problem } from './problem.js';

/** Anything that {@link train} takes as a model. */
export type Trainable = Model | LanguageModel | Problem;

/** A model's loss on one batch as a graph. @internal */
export interface BatchGraph {
  graph: Graph;
  loss: Value;
  /** Right answers, of text divided by the length of a window. */
  correct?: Value;
  /** Of a problem: distance from the known solution, and the terms of the loss. */
  error?: Value;
  terms?: Record<string, Value>;
}

/** How the graph of a batch is built. @internal */
export interface BatchMode {
  training: boolean;
  /** Of the cross-entropy while training. */
  labelSmoothing?: number;
  /** Length of a language model's windows; default: its block. */
  window?: number;
}

/** @internal */
export const isLanguageModel = (model: Trainable): model is LanguageModel => 'vocab' in model;
/** @internal */
export const isProblem = (model: Trainable): model is Problem => !('classes' in model) && !isLanguageModel(model);

/** Throws unless `value` looks like one of the three. @internal */
export function checkTrainable(value: Trainable): Trainable {
  checkObject('model', value);
  if (isProblem(value)) return checkProblem(value);
  if (!isLanguageModel(value)) return checkModel(value);
  checkString('model.name', value.name);
  for (const key of ['vocab', 'block'] as const) checkInteger(`model.${key}`, value[key], 1);
  if (typeof value.build !== 'function') throw invalidArgument('model.build', 'a function', value.build);
  return value;
}

/** What labels or tokens are below, and the sizes of a sample. @internal */
export function sampleShape(model: Trainable): { classes: number; input: readonly number[] } {
  if (isProblem(model)) return { classes: 1, input: [] };
  return isLanguageModel(model)
    ? { classes: model.vocab, input: [model.block] }
    : { classes: model.classes, input: model.input };
}

/** How long the windows of a text are; undefined for other samples. @internal */
export const windowOf = (split: Split): { window?: number } =>
  split instanceof WindowSplit ? { window: split.block } : {};

/** Throws unless the samples are of the kind and size that the model takes. @internal */
export function checkFits(model: Trainable, split: Split, name: string): void {
  const wrongKind = (expected: string) => invalidArgument(name, `${expected} for ${model.name}`, split);
  if (isProblem(model)) {
    if (!(split instanceof ProblemSplit)) throw wrongKind("the run's own data.train or data.test");
    return;
  }
  const { classes, input } = sampleShape(model);
  if (isLanguageModel(model) && !(split instanceof WindowSplit)) throw wrongKind('tokens made by text() or tokens()');
  if (!isLanguageModel(model) && !(split instanceof DataSplit)) throw wrongKind('images made by arrays() or a reader');
  const [, ...sample] = split.shape;
  const what = isLanguageModel(model) ? 'windows' : 'images';
  const fits = isLanguageModel(model) ? sample[0]! <= model.block : input.every((size, i) => size === sample[i]);
  if (!fits)
    throw new PtmzError(
      'SHAPE_MISMATCH',
      `${name}: ${model.name} takes ${what} of ${isLanguageModel(model) ? 'up to ' : ''}${input.join(' x ')}, these are ${sample.join(' x ')}`,
    );
  if (split.classes > classes)
    throw invalidArgument(name, `at most ${classes} classes for ${model.name}`, split.classes);
}

/** @internal */
export function buildBatch(model: Trainable, batch: number, mode: BatchMode): BatchGraph {
  const graph = new Graph();
  if (isProblem(model)) return { graph, ...buildProblem(model, graph) };
  const labelSmoothing = mode.training ? (mode.labelSmoothing ?? 0) : 0;
  if (isLanguageModel(model)) {
    const { window = model.block } = mode;
    const rows = batch * window;
    const x = graph.input('x', [batch, window], 'index');
    const y = graph.input('y', [batch, window], 'index').reshape([rows]);
    const logits = model.build(graph, x, mode).reshape([rows, model.vocab]);
    const right = logits.argmax(1).cast().eq(y.cast()).sum();
    return { graph, loss: crossEntropy(logits, y, { labelSmoothing }), correct: right.div(window) };
  }
  const x = graph.input('x', [batch, ...model.input]);
  const y = graph.input('y', [batch], 'index');
  const logits = buildLogits(model, graph, x, mode.training);
  const loss = model.loss ? model.loss(logits, y) : crossEntropy(logits, y, { labelSmoothing });
  return { graph, loss, correct: logits.argmax(1).cast().eq(y.cast()).sum() };
}
