// What a population costs: loss and gradient of a ResNet for one and two members, with one and two threads.
import { Graph, crossEntropy, initialise, models } from 'ptmz-native';

export const groups = ['plain'];
export const title = 'loss and gradient of ResNet-18, width 8, batch 64 of 1x28x28';

const batch = 64;

/** Adds the benchmark's tasks; returns what to do when they have run. */
export async function tasks(bench) {
  const graph = new Graph();
  const model = models.resnet18({ width: 8, input: [1, 28, 28], classes: 10 });
  const x = graph.input('x', [batch, 1, 28, 28]);
  const y = graph.input('y', [batch], 'index');
  const loss = crossEntropy(model.build(graph, x, { training: true }), y);
  const program = graph.compile({ loss, gradient: graph.grad(loss) });
  const shared = {
    x: program.vector('x').random({ distribution: 'normal', seeds: [1] }),
    y: program.vector('y'),
  };
  const populations = new Map([1, 2].map((members) => [members, population(graph, program, members)]));
  const add = (members, threads) => {
    const { inputs, into } = populations.get(members);
    bench.add(named(members, threads), async () => program.run({ ...shared, ...inputs }, { members, threads, into }));
  };
  add(1, 1);
  add(2, 1);
  add(2, 2);
  return () => graph.dispose();
}

const named = (members, threads) => `members ${members}, threads ${threads}`;

/** Parameters, buffers and room for the outputs: nothing is allocated while the clock runs. */
function population(graph, program, members) {
  const vectors = (slots) =>
    Object.fromEntries(slots.filter(({ varies }) => varies).map(({ name }) => [name, program.vector(name, members)]));
  const inputs = vectors(program.inputs);
  const seeds = Array.from({ length: members }, (_, m) => m);
  initialise(graph, { params: inputs.params, buffers: inputs.buffers }, seeds);
  return { inputs, into: vectors(program.outputs) };
}

/** Facts that follow from the rows. */
export function summary(rows) {
  const speedup = rows[named(2, 1)]['median ms'] / rows[named(2, 2)]['median ms'];
  return { 'two threads on two members are faster by': `${speedup.toFixed(2)}x` };
}
