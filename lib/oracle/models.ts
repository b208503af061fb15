/** Runs one model case: logits, loss, gradient and Hessian products in both modes, and training steps. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import { Flat } from '../graph/flat.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { gpt2 } from '../models/gpt2.js';
import { buildLogits, type Model } from '../models/model.js';
import { resnet } from '../models/resnet.js';
import { crossEntropy } from '../nn/index.js';
import type { RealType } from '../train/batches.js';
import { pick, place, positions } from './flat.js';
import { firstValues, integers, uniform } from './hash.js';
import type { GPT2Config, ModelCase, ModelDetail, ResNetConfig } from './manifest.js';
import { numbers, type CaseResult } from './ops.js';
import { Reference } from './reference.js';
import { checkTrajectories, imageBatch } from './trajectories.js';

/** A kind of model: its logits and loss on the batch of step 0, and the model where the trainer can take it. */
interface Subject {
  build(graph: Graph, training: boolean): { logits: Value; loss: Value };
  inputs: Record<string, ArrayLike<number>>;
  model?: Model;
}

function residual(c: ModelCase): Subject {
  const { depth, width, stem, image, n, classes } = c.config as ResNetConfig;
  const model = resnet({ depth, width, stem, input: [3, image, image], classes });
  const { images, labels } = imageBatch(c, 0);
  return {
    model,
    inputs: { x: images, y: labels },
    build(graph, training) {
      const logits = buildLogits(model, graph, graph.input('x', [n, 3, image, image]), training);
      return { logits, loss: crossEntropy(logits, graph.input('y', [n], 'index')) };
    },
  };
}

function language(c: ModelCase): Subject {
  const { vocab, ctx, d, heads, depth, approx, n, t } = c.config as GPT2Config;
  const model = gpt2({ vocab, block: ctx, dim: d, heads, depth, approximate: approx });
  const tokens = integers(c.seed, `${c.id}/tok0`, n * (t + 1), vocab);
  const from = (offset: number) =>
    Array.from({ length: n * t }, (_, i) => tokens[Math.floor(i / t) * (t + 1) + (i % t) + offset]!);
  return {
    inputs: { x: from(0), y: from(1) },
    build(graph, training) {
      const logits = model.build(graph, graph.input('x', [n, t], 'index'), { training });
      return { logits, loss: crossEntropy(logits.reshape([n * t, vocab]), graph.input('y', [n * t], 'index')) };
    },
  };
}

const subjects: Record<string, (c: ModelCase) => Subject> = { resnet: residual, gpt2: language };

/** Whether anything of a case is run. */
export const runsModel = ({ config }: ModelCase): boolean => Object.hasOwn(subjects, config?.kind);

/** What of a case is not run, in words; undefined for a case that is run in full. */
export function missingPart(c: ModelCase): string | undefined {
  const kind = c.config?.kind;
  if (!runsModel(c)) return `${kind} models`;
  return kind === 'gpt2' ? 'training steps of gpt2 models' : undefined;
}

type Weights = (name: string, shape: readonly number[]) => ArrayLike<number>;

/** Compares everything that one graph gives; `mode` is eval or train. */
async function checkDerivatives(
  c: ModelCase,
  detail: ModelDetail,
  subject: Subject,
  mode: 'eval' | 'train',
  run: { weights: Weights; dtype: RealType; device: string; reference: Reference },
): Promise<void> {
  using graph = new Graph();
  const { logits, loss } = subject.build(graph, mode === 'train');
  const v = graph.direction('v');
  const hvp = graph.hvp(loss, v);
  const outputs: Record<string, Value | Flat> = { logits, loss, grad: graph.grad(loss), hvp, vHv: graph.dot(v, hvp) };
  if (mode === 'train') outputs.running = graph.updatedBuffers;
  using program = graph.compile(outputs, { dtype: run.dtype, device: run.device });
  const { params, buffers } = graph;
  const inputs: Record<string, number[]> = {
    params: place(params.entries, params.size, run.weights),
    v: place(params.entries, params.size, (name, shape) =>
      uniform(
        c.seed,
        `${c.id}/v/${name}`,
        shape.reduce((a, b) => a * b, 1),
      ),
    ),
    buffers: place(buffers.entries, buffers.size, run.weights),
  };
  for (const [name, values] of Object.entries(subject.inputs)) inputs[name] = Array.from(values);
  const known = Object.fromEntries(program.inputs.map(({ name }) => [name, inputs[name]!]));
  const results = await program.run(known, { members: 1 });
  const [theta, running] = [positions(detail.index, params.entries), positions(detail.running_index, buffers.entries)];
  for (const [name, vector] of Object.entries(results)) {
    const own = vector.toArray();
    vector.dispose();
    const at = outputs[name] instanceof Flat ? (name === 'running' ? running : theta) : undefined;
    run.reference.check(`${mode}.${name}`, run.dtype, at ? pick(own, at) : own);
  }
}

function storedWeights(path: string): Weights {
  const stored = readSafetensors(path);
  return (name) => numbers(stored.get(name), name);
}

function weightsByFormula(c: ModelCase, { weights_sha256: hashes }: ModelDetail): Weights {
  const keys = Object.keys(hashes);
  const weights = new Map<string, Float32Array>();
  return (name, shape) => {
    const values = weights.get(name) ?? firstValues(c.seed, c.id, name, shape, keys);
    weights.set(name, values);
    if (createHash('sha256').update(Buffer.from(values.buffer)).digest('hex') === hashes[name]) return values;
    throw new PtmzError('DATA_MALFORMED', `the weights of '${name}' are not those of weights_sha256`);
  };
}

async function runCase(c: ModelCase, directory: string, device: string) {
  const detail = JSON.parse(readFileSync(join(directory, c.detail), 'utf8')) as ModelDetail;
  const weights = c.weights === 'formula' ? weightsByFormula(c, detail) : storedWeights(join(directory, c.weights));
  const reference = new Reference(c, readSafetensors(join(directory, c.ref)), detail.digests);
  const subject = subjects[c.config.kind]!(c);
  for (const dtype of ['float64', 'float32'] as const) {
    for (const mode of ['eval', 'train'] as const)
      if (reference.has(`${mode}.loss`))
        await checkDerivatives(c, detail, subject, mode, { weights, dtype, device, reference });
    if (subject.model) await checkTrajectories(c, detail, subject.model, weights, dtype, reference);
  }
  return reference.checks;
}

/** Runs a model case; what goes wrong in it becomes its failure. */
export async function runModelCase(c: ModelCase, directory: string, device = 'cpu'): Promise<CaseResult> {
  try {
    return { id: c.id, checks: await runCase(c, directory, device) };
  } catch (error) {
    const { code = 'error', message } = error as { code?: string; message: string };
    return { id: c.id, checks: [], failure: `${code}: ${message}` };
  }
}
