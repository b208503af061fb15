/** Subjects: the model of a case, its first batch, and the batches of its training steps. */
import { arrays } from '../data/dataset.js';
import { text } from '../data/text.js';
import type { Graph } from '../graph/graph.js';
import { concat } from '../graph/operators.js';
import type { Value } from '../graph/value.js';
import { gpt2 } from '../models/gpt2.js';
import { buildLogits, type Model } from '../models/model.js';
import { buildProblem, derivative, field, points, type Problem } from '../models/problem.js';
import { resnet } from '../models/resnet.js';
import { vit } from '../models/vit.js';
import { crossEntropy } from '../nn/index.js';
import type { ProblemTrainOptions, TrainOptions } from '../train/trainer.js';
import { integers, uniform } from './hash.js';
import type { GPT2Config, ModelCase, PinnConfig, ResNetConfig, ViTConfig } from './manifest.js';

/** Model and samples of `steps` steps, in order, neither shuffled nor normalised. */
export type Samples =
  | Pick<TrainOptions, 'model' | 'data' | 'batchSize' | 'shuffle'>
  | Pick<ProblemTrainOptions, 'model' | 'constants' | 'stepsPerEpoch'>;

/** A kind of model: its outputs on the batch of step 0, and the training steps. */
export interface Subject {
  /** `loss` and what else is compared under its name. */
  build(graph: Graph, training: boolean): { loss: Value } & Record<string, Value>;
  inputs: Record<string, ArrayLike<number>>;
  samples(steps: number): Samples;
  /** The oracle's name of a parameter in ours. */
  rename?: (name: string) => string;
}

type ImageConfig = Pick<ResNetConfig, 'n' | 'image' | 'classes'>;

/** Images (n,3,image,image) and labels (n) of a step. */
function imageBatch(c: ModelCase, step: number): { images: Float32Array; labels: number[] } {
  const { n, image, classes } = c.config as unknown as ImageConfig;
  return {
    images: uniform(c.seed, `${c.id}/x${step}`, n * 3 * image * image, 1.7),
    labels: integers(c.seed, `${c.id}/y${step}`, n, classes),
  };
}

function classifier(c: ModelCase, model: Model): Subject {
  const { n, image, classes } = c.config as unknown as ImageConfig;
  const { images, labels } = imageBatch(c, 0);
  return {
    inputs: { x: images, y: labels },
    build(graph, training) {
      const logits = buildLogits(model, graph, graph.input('x', [n, 3, image, image]), training);
      return { logits, loss: crossEntropy(logits, graph.input('y', [n], 'index')) };
    },
    samples(steps) {
      const all = Array.from({ length: steps }, (_, step) => imageBatch(c, step));
      const joined = new Float32Array(steps * images.length);
      all.forEach((batch, step) => joined.set(batch.images, step * images.length));
      const data = arrays({
        images: joined,
        shape: [steps * n, 3, image, image],
        labels: all.flatMap((batch) => batch.labels),
        classes,
        normalise: { mean: [0, 0, 0], std: [1, 1, 1] },
      });
      return { model, data, batchSize: n, shuffle: false };
    },
  };
}

function residual(c: ModelCase): Subject {
  const { depth, width, stem, image, classes } = c.config as ResNetConfig;
  return classifier(c, resnet({ depth, width, stem, input: [3, image, image], classes }));
}

function transformer(c: ModelCase): Subject {
  const { d: dim, patch, heads, depth, mlp, image, classes } = c.config as ViTConfig;
  const size = { dim, patch, heads, depth, mlpRatio: mlp / dim };
  return classifier(c, vit({ ...size, activation: 'gelu', input: [3, image, image], classes }));
}

function language(c: ModelCase): Subject {
  const { vocab, ctx, d, heads, depth, approx, n, t } = c.config as GPT2Config;
  const model = gpt2({ vocab, block: ctx, dim: d, heads, depth, approximate: approx });
  const tokens = (step: number) => integers(c.seed, `${c.id}/tok${step}`, n * (t + 1), vocab);
  const first = tokens(0);
  const from = (offset: number) =>
    Array.from({ length: n * t }, (_, i) => first[Math.floor(i / t) * (t + 1) + (i % t) + offset]!);
  return {
    inputs: { x: from(0), y: from(1) },
    build(graph, training) {
      const logits = model.build(graph, graph.input('x', [n, t], 'index'), { training });
      return { logits, loss: crossEntropy(logits.reshape([n * t, vocab]), graph.input('y', [n * t], 'index')) };
    },
    samples(steps) {
      const all = Array.from({ length: steps }, (_, step) => tokens(step)).flat();
      // Rows of t + 1 tokens do not overlap: the target of one row's last token is not the next row's first.
      return { model, data: text({ tokens: all, block: t, stride: t + 1, vocab }), batchSize: n, shuffle: false };
    },
  };
}

/** The convection equation on the oracle's points. */
export function pinnProblem(
  seed: number,
  id: string,
  { dims, nf, ni, nb }: Omit<PinnConfig, 'kind' | 'beta'>,
): Problem {
  const end = Math.fround(2 * Math.PI);
  const drawn = {
    inside: { x: uniform(seed, `${id}/fx`, nf, Math.PI, Math.PI), t: uniform(seed, `${id}/ft`, nf, 0.5, 0.5) },
    start: { x: uniform(seed, `${id}/ix`, ni, Math.PI, Math.PI), t: new Float32Array(ni) },
    left: { x: new Float32Array(nb), t: uniform(seed, `${id}/bt`, nb, 0.5, 0.5) },
  };
  return {
    name: id,
    constants: ['beta'],
    build(graph, { beta }) {
      const u = field(graph, dims);
      const at = (name: keyof typeof drawn) => points(graph, name, drawn[name]);
      const [inside, start, left] = [at('inside'), at('start'), at('left')];
      const right = points(graph, 'right', { x: new Float32Array(nb).fill(end), t: drawn.left.t });
      const value = u(inside.x, inside.t);
      const residuals = derivative(value, inside.t).add(derivative(value, inside.x).mul(beta!));
      const terms = {
        initial: u(start.x, start.t).sub(start.x.sin()).square().mean(),
        boundary: u(left.x, left.t).sub(u(right.x, right.t)).square().mean(),
        equation: residuals.square().mean(),
      };
      return { terms };
    },
  };
}

/** `layer0.weight` of the oracle is `dnn.layers.layer_0.weight` here, as in the published networks. */
export const pinnName = (name: string): string => name.replace(/^layer(\d+)/, 'dnn.layers.layer_$1');

function physics(c: ModelCase): Subject {
  const config = c.config as PinnConfig;
  const model = pinnProblem(c.seed, c.id, config);
  return {
    inputs: { beta: [config.beta] },
    rename: pinnName,
    build(graph) {
      const { loss, terms } = buildProblem(model, graph);
      const parts = [loss, ...Object.values(terms)].map((term) => term.reshape([1]));
      return { loss, loss_parts: concat(parts, 0) };
    },
    samples: (stepsPerEpoch) => ({ model, constants: { beta: config.beta }, stepsPerEpoch }),
  };
}

/** By the `kind` of a case's config. */
export const subjects: Record<string, (c: ModelCase) => Subject> = {
  resnet: residual,
  vit: transformer,
  gpt2: language,
  pinn: physics,
};

/** Whether a case is run. */
export const runsModel = ({ config }: ModelCase): boolean => Object.hasOwn(subjects, config?.kind);
