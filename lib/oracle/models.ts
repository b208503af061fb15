/** Runs one model case: logits, loss, gradient and Hessian products in both modes, and training steps. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import { Flat, type FlatEntry } from '../graph/flat.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { RealType } from '../train/batches.js';
import { pick, place, positions, renamed } from './flat.js';
import { firstValues, uniform } from './hash.js';
import type { ModelCase, ModelDetail } from './manifest.js';
import { numbers, type CaseResult } from './ops.js';
import { Reference } from './reference.js';
import { subjects, type Subject } from './subjects.js';
import { checkTrajectories } from './trajectories.js';

type Weights = (name: string, shape: readonly number[]) => ArrayLike<number>;

/** Points and constants of a problem, which no file of weights holds. */
function fixedValues({ name, init, persistent }: FlatEntry, subject: Subject): [string, ArrayLike<number>][] {
  if (persistent) return [];
  return [[name, init.kind === 'values' ? init.values : subject.inputs[name]!]];
}

/** Compares everything that one graph gives; `mode` is eval or train. */
async function checkDerivatives(
  c: ModelCase,
  detail: ModelDetail,
  subject: Subject,
  mode: 'eval' | 'train',
  run: {
    weights: Weights;
    /** A parameter's name in the oracle. */
    theirs: (name: string) => string;
    dtype: RealType;
    device: string;
    reference: Reference;
  },
): Promise<void> {
  using graph = new Graph();
  const { loss, ...others } = subject.build(graph, mode === 'train');
  const v = graph.direction('v');
  const hvp = graph.hvp(loss, v);
  const outputs: Record<string, Value | Flat> = {
    ...others,
    loss,
    grad: graph.grad(loss),
    hvp,
    vHv: graph.dot(v, hvp),
  };
  if (mode === 'train') outputs.running = graph.updatedBuffers;
  using program = graph.compile(outputs, { dtype: run.dtype, device: run.device });
  const { params, buffers } = graph;
  const fixed = new Map(buffers.entries.flatMap((entry) => fixedValues(entry, subject)));
  const inputs: Record<string, number[]> = {
    params: place(params.entries, params.size, run.weights),
    v: place(params.entries, params.size, (name, shape) =>
      uniform(
        c.seed,
        `${c.id}/v/${run.theirs(name)}`,
        shape.reduce((a, b) => a * b, 1),
      ),
    ),
    buffers: place(buffers.entries, buffers.size, (name, shape) => fixed.get(name) ?? run.weights(name, shape)),
  };
  for (const [name, values] of Object.entries(subject.inputs)) inputs[name] = Array.from(values);
  const known = Object.fromEntries(program.inputs.map(({ name }) => [name, inputs[name]!]));
  const results = await program.run(known, { members: 1 });
  const theta = positions(detail.index, params.entries);
  const running = positions(
    detail.running_index,
    buffers.entries.filter(({ persistent }) => persistent),
  );
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
  const stored = JSON.parse(readFileSync(join(directory, c.detail), 'utf8')) as ModelDetail;
  const subject = subjects[c.config.kind]!(c);
  const { rename = (name: string) => name } = subject;
  const detail = { ...stored, index: renamed(stored.index, rename) };
  const names = new Map(Object.keys(stored.index).map((name) => [rename(name), name]));
  const theirs = (name: string) => names.get(name) ?? name;
  const theirWeights =
    c.weights === 'formula' ? weightsByFormula(c, stored) : storedWeights(join(directory, c.weights));
  const weights: Weights = (name, shape) => theirWeights(theirs(name), shape);
  const reference = new Reference(c, readSafetensors(join(directory, c.ref)), stored.digests);
  for (const dtype of ['float64', 'float32'] as const) {
    for (const mode of ['eval', 'train'] as const)
      if (reference.has(`${mode}.loss`))
        await checkDerivatives(c, detail, subject, mode, { weights, theirs, dtype, device, reference });
    await checkTrajectories(c, detail, subject, weights, dtype, reference);
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
