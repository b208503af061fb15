/** Runs one L-BFGS case, iteration by iteration: loss, evaluations, step and parameters as PyTorch had them. */
import { PtmzError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import type { Problem } from '../models/problem.js';
import { lbfgsColumns } from '../train/optimizers.js';
import { prepare } from '../train/trainer.js';
import { uniform } from './hash.js';
import type { LbfgsCase } from './manifest.js';
import { numbers, type CaseResult, type Check } from './ops.js';
import { distance } from './reference.js';
import { pinnName, pinnProblem } from './subjects.js';

/** 100 (y - x^2)^2 + (1 - x)^2 (Rosenbrock 1960). */
const rosenbrock: Problem = {
  name: 'rosenbrock',
  build(graph) {
    const x = graph.param('x', [2]);
    const [a, b] = [x.slice(0, 0, 1).reshape([]), x.slice(0, 1, 2).reshape([])];
    return { terms: { valley: b.sub(a.square()).square().mul(100), floor: a.neg().add(1).square() } };
  },
};

// The case's points: 48 inside, 24 at the start and 24 at the boundary.
const pinnPoints = { nf: 48, ni: 24, nb: 24 };
/** Iterations over which the same algorithm stays equal to so many digits. */
const comparedIterations = 10;
const tolerances = { loss: 1e-9, x: 1e-8 };

/** Parameters in the oracle's order, by their names in ours. */
function start(id: string, c: LbfgsCase): { problem: Problem; beta?: number; values: Map<string, ArrayLike<number>> } {
  if (c.x0) return { problem: rosenbrock, values: new Map([['x', c.x0]]) };
  const { dims, beta, seed, params_order: order } = c;
  if (!dims || beta === undefined || seed === undefined || !order)
    throw new PtmzError('DATA_MALFORMED', `optim/${id}: expected x0, or dims, beta, seed and params_order`);
  const values = order.map((name, i) => {
    const [fanIn, out] = [dims[i >> 1]!, dims[(i >> 1) + 1]!];
    const weight = i % 2 === 0;
    const scale = weight ? Math.sqrt(3 / fanIn) : 0.1;
    return [pinnName(name), uniform(seed, `${id}/${name}`, weight ? fanIn * out : out, scale)] as const;
  });
  return { problem: pinnProblem(seed, id, { dims, ...pinnPoints }), beta, values: new Map(values) };
}

async function compare(id: string, c: LbfgsCase, file: string): Promise<Check[]> {
  const stored = readSafetensors(file);
  const expected = (name: string) => Array.from(numbers(stored.get(`${id}.${name}`), name));
  const { problem, beta, values } = start(id, c);
  const { lr, history_size: historySize, tolerance_grad, tolerance_change } = c.options;
  const losses = expected('loss');
  using run = prepare({
    model: problem,
    ...(beta !== undefined && { constants: { beta } }),
    optimizer: {
      ...{ kind: 'lbfgs', historySize, lineSearch: 1e6 },
      ...(tolerance_grad !== undefined && { toleranceGrad: tolerance_grad }),
      ...(tolerance_change !== undefined && { toleranceChange: tolerance_change }),
    },
    ...{ lr, seeds: [0], epochs: 1, stepsPerEpoch: losses.length, dtype: 'float64' },
  });
  const { params, search } = run.vectors;
  for (const { name, offset } of run.layout.params) params.set(0, Array.from(values.get(name)!), offset);
  const flat = () => {
    const row = params.toArray();
    return [...values].flatMap(([name, { length }]) => {
      const { offset } = run.layout.params.find((entry) => entry.name === name)!;
      return [...row.slice(offset, offset + length)];
    });
  };
  const own = { loss: [] as number[], func_evals: [] as number[], t: [] as number[], x: [] as number[][] };
  for (let step = 1; step <= comparedIterations; step++) {
    await run.train({ until: step });
    const row = search!.toArray();
    own.loss.push(row[0]!);
    own.t.push(row[6]!);
    // PyTorch evaluates once more at the beginning of every call, and was called once per iteration.
    own.func_evals.push(row[lbfgsColumns.evaluations]! - 1 + step);
    own.x.push(flat());
  }
  // The oracle's losses hold the first one too, or the one after the last iteration.
  const after = losses.slice(1, comparedIterations + 1);
  const check = (tensor: string, a: number[], b: number[], tolerance: number) => ({
    ...{ tensor, program: 'float64', tolerance },
    error: distance(a, b),
  });
  const x = stored.has(`${id}.x_10`)
    ? expected('x_10')
    : expected('x').slice(2 * comparedIterations, 2 * comparedIterations + 2);
  return [
    check('loss', own.loss.slice(0, after.length), after, tolerances.loss),
    check('t', own.t, expected('t').slice(0, comparedIterations), tolerances.x),
    check('func_evals', own.func_evals, expected('func_evals').slice(0, comparedIterations), 0),
    check(`x_${comparedIterations}`, own.x[comparedIterations - 1]!, x, tolerances.x),
  ];
}

/** Runs an L-BFGS case; what goes wrong in it becomes its failure. */
export async function runLbfgsCase(id: string, c: LbfgsCase, file: string): Promise<CaseResult> {
  try {
    return { id, checks: await compare(id, c, file) };
  } catch (error) {
    const { code = 'error', message } = error as { code?: string; message: string };
    return { id, checks: [], failure: `${code}: ${message}` };
  }
}
