/** What tests of graphs and programs share: running, a small network, and the code of what is thrown. */
import { initialise, linear, mseLoss, Vector } from '../../lib/index.js';
import type { Graph, Program, PtmzError, RunInput, Value } from '../../lib/index.js';
import { uniform } from '../ops/tensor.js';

/** The code of what is thrown. */
export const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as PtmzError).code;
  }
  return 'nothing thrown';
};

/** Runs and gives the rows of every output. */
export async function run(program: Program, inputs: Record<string, RunInput>, options = {}) {
  const results = await program.run(inputs, options);
  return Object.fromEntries(
    Object.entries(results).map(([name, vector]) => {
      const rows = Array.from({ length: vector.rows }, (_, row) => Array.from(vector.toArray(row)));
      vector.dispose();
      return [name, rows];
    }),
  );
}

/** A two-layer network with data x (16,3), target t (16,2) and all parameters. */
export function network(graph: Graph): { loss: Value } {
  const x = graph.input('x', [16, 3]);
  const init = { kind: 'kaimingUniform' } as const;
  const hidden = linear(x, graph.param('w1', [8, 3], { init }), graph.param('b1', [8])).tanh();
  const y = linear(hidden, graph.param('w2', [2, 8], { init }), graph.param('b2', [2]));
  return { loss: mseLoss(y, graph.input('t', [16, 2])) };
}

/** Of {@link network}. */
export const networkData = { x: uniform(1, 48), t: uniform(2, 32) };

/** Initialised parameters, those of seeds 0, 1 and so on. */
export function randomParams(graph: Graph, members: number, dtype: 'float32' | 'float64' = 'float64'): Vector {
  const params = new Vector(dtype, members, graph.params.size);
  initialise(
    graph,
    { params },
    Array.from({ length: members }, (_, i) => i),
  );
  return params;
}
