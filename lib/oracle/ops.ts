/** Runs one operator case as three programs, with and without fusion, in both element types, and compares all. */
import { join } from 'node:path';
import { readSafetensors } from '../formats/safetensors.js';
import type { StoredTensor } from '../formats/storedTensor.js';
import { PtmzError } from '../errors.js';
import { Graph } from '../graph/graph.js';
import type { Program } from '../graph/program.js';
import type { Value } from '../graph/value.js';
import type { OpCase } from './manifest.js';
import { buildOperator } from './operators.js';

/** One comparison: a tensor of a program against the reference, or against another program. */
export interface Check {
  tensor: string;
  program: string;
  error: number;
  tolerance: number;
  /** Where `error` is too large: that of float64 from weights that differ by a few of float32's roundings. */
  rounding?: number;
}

export interface CaseResult {
  id: string;
  checks: Check[];
  /** Set where the case could not be run. */
  failure?: string;
}

type Numbers = ArrayLike<number>;
const dtypes = ['float64', 'float32'] as const;

/** The elements of a tensor of a case; throws `DATA_MALFORMED` where it is missing. */
export const numbers = (tensor: StoredTensor | undefined, name: string): Numbers => {
  if (!tensor) throw new PtmzError('DATA_MALFORMED', `the tensor '${name}' is missing`);
  const { data } = tensor;
  return data instanceof BigInt64Array || data instanceof BigUint64Array ? Array.from(data, Number) : data;
};

/** max |a - b| / max |reference|; equal infinities differ by 0, a NaN on one side by infinity. */
export function relativeError(a: Numbers, b: Numbers, reference: Numbers): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  let scale = 0;
  for (let i = 0; i < a.length; ++i) {
    const difference = Object.is(a[i], b[i]) ? 0 : Math.abs(a[i]! - b[i]!);
    largest = Math.max(largest, Number.isNaN(difference) ? Infinity : difference);
    scale = Math.max(scale, Math.abs(reference[i]!));
  }
  return largest / (scale || 1);
}

/** The graph of a case: its inputs, and every tensor that the manifest expects, by name. */
function buildCase(graph: Graph, c: OpCase): { outputs: Record<string, Value>; varying: string[] } {
  const inputs: Record<string, Value> = {};
  const wrt: Record<string, Value> = {};
  for (const [name, { dtype, shape, diff }] of Object.entries(c.inputs)) {
    if (dtype === 'int64') inputs[name] = graph.input(name, shape, 'index');
    else if (diff) inputs[name] = wrt[name] = graph.input(name, shape);
    else inputs[name] = graph.buffer(name, shape);
  }
  const y = buildOperator(graph, c.op, inputs, c.attrs);
  const names = Object.keys(wrt);
  const u = graph.input('u', y.shape);
  const gradients = graph.vjp([y], [u], Object.values(wrt));
  const products = names.map((name, i) => gradients[i]!.mul(graph.input(`v.${name}`, wrt[name]!.shape)).sum());
  const s = products.reduce((total, product) => total.add(product));
  const second = graph.grad(s, [...Object.values(wrt), u]);
  const outputs: Record<string, Value> = { y, s, 'h.u': second.at(-1)! };
  names.forEach((name, i) => {
    outputs[`g.${name}`] = gradients[i]!;
    outputs[`h.${name}`] = second[i]!;
  });
  if (inputs.rm && inputs.rv) {
    outputs.running_mean = graph.updated(inputs.rm);
    outputs.running_var = graph.updated(inputs.rv);
  }
  return { outputs, varying: [...names, 'u', ...names.map((name) => `v.${name}`), 'buffers'] };
}

/** y; y and g; y, g and h: a program that asks for less may use kernels that one that asks for more may not. */
function programOutputs(c: OpCase): Record<string, string[]> {
  const names = Object.keys(c.outputs);
  const gradients = names.filter((name) => name.startsWith('g.'));
  const second = names.filter((name) => name === 's' || name.startsWith('h.'));
  const values = names.filter((name) => !gradients.includes(name) && !second.includes(name));
  return { y: values, 'y,g': [...values, ...gradients], 'y,g,h': [...values, ...gradients, ...second] };
}

async function runProgram(
  graph: Graph,
  program: Program,
  tensors: Map<string, StoredTensor>,
): Promise<Record<string, Numbers>> {
  const inputs: Record<string, number[]> = {};
  for (const slot of program.inputs) {
    if (slot.name === 'buffers') {
      const flat = new Array<number>(slot.size).fill(0);
      for (const { name, offset } of graph.buffers.entries)
        Array.from(numbers(tensors.get(`in.${name}`), name)).forEach((n, i) => (flat[offset + i] = n));
      inputs.buffers = flat;
    } else inputs[slot.name] = Array.from(numbers(tensors.get(`in.${slot.name}`), `in.${slot.name}`));
  }
  const results = await program.run(inputs, { members: 1 });
  const arrays: Record<string, Numbers> = {};
  for (const [name, vector] of Object.entries(results)) {
    arrays[name] = vector.toArray() as Exclude<ReturnType<typeof vector.toArray>, BigInt64Array>;
    vector.dispose();
  }
  return arrays;
}

async function runCase(c: OpCase, directory: string, device: string): Promise<Check[]> {
  const tensors = readSafetensors(join(directory, c.file));
  using graph = new Graph();
  const { outputs, varying } = buildCase(graph, c);
  const checks: Check[] = [];
  for (const dtype of dtypes) {
    const runs: { program: string; results: Record<string, Numbers> }[] = [];
    for (const [what, names] of Object.entries(programOutputs(c))) {
      const wanted = Object.fromEntries(
        names.map((name) => {
          if (outputs[name]) return [name, outputs[name]];
          throw new PtmzError('DATA_MALFORMED', `the expected tensor '${name}' is unknown`);
        }),
      );
      for (const fuse of [true, false]) {
        const known = varying.filter((name) => graph.slots.has(name));
        using program = graph.compile(wanted, { dtype, fuse, device, varying: known });
        const label = `${dtype} (${what})${fuse ? '' : ' unfused'}`;
        const results = await runProgram(graph, program, tensors);
        runs.push({ program: label, results });
      }
    }
    checks.push(...compareRuns(c, dtype, tensors, runs));
  }
  return checks;
}

/** Every tensor of every program against the reference, and against the programs after it. */
function compareRuns(
  c: OpCase,
  dtype: 'float64' | 'float32',
  tensors: Map<string, StoredTensor>,
  runs: { program: string; results: Record<string, Numbers> }[],
): Check[] {
  return Object.keys(c.outputs).flatMap((tensor) => {
    const reference = numbers(tensors.get(`f64.${tensor}`), `f64.${tensor}`);
    const tolerance = dtype === 'float64' ? c.tol.f64 : (c.tol.f32[tensor] ?? 0);
    const having = runs.filter(({ results }) => results[tensor]);
    return having.flatMap(({ program, results }, i) => {
      const own = results[tensor]!;
      const against = { tensor, program, error: relativeError(own, reference, reference), tolerance };
      const others = having.slice(i + 1).map((other) => ({
        tensor,
        program: `${program} against ${other.program}`,
        error: relativeError(own, other.results[tensor]!, reference),
        tolerance,
      }));
      return [against, ...others];
    });
  });
}

/** A case passes if nothing failed and every check is within its tolerance. */
export const within = ({ error, tolerance }: Check): boolean => error <= tolerance;

/**
 * Whether no float32 program can be held to the tolerance: float64 from weights that were rounded misses it too, and by
 * not much less.
 */
export const undecidable = ({ error, rounding = 0, tolerance }: Check): boolean =>
  rounding > tolerance && error <= 10 * rounding;

export type Outcome = 'passed' | 'failed' | 'undecided';

/** A case is undecided where all that it misses is {@link undecidable}. */
export function outcome({ failure, checks }: CaseResult): Outcome {
  const missed = checks.filter((c) => !within(c));
  if (failure !== undefined || checks.length === 0 || !missed.every(undecidable)) return 'failed';
  return missed.length > 0 ? 'undecided' : 'passed';
}

/** Runs an operator case; what goes wrong in it becomes its failure. */
export async function runOpCase(c: OpCase, directory: string, device = 'cpu'): Promise<CaseResult> {
  try {
    return { id: c.id, checks: await runCase(c, directory, device) };
  } catch (error) {
    const { code = 'error', message } = error as { code?: string; message: string };
    return { id: c.id, checks: [], failure: `${code}: ${message}` };
  }
}
