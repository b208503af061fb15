// How long building and compiling a graph takes, how many launches come out, and what its memory plan says.
import { Graph, crossEntropy, gpt2, models } from 'ptmz-native';

export const groups = ['plain'];
export const title = 'graph of loss, gradient and Hessian-vector product, and its program';

const cases = {
  'ResNet-18, width 8, batch 64 of 1x28x28': resnet18,
  'GPT-2, 4 layers of 128, batch 8 of 64': gpt2Small,
};

function resnet18(graph) {
  const model = models.resnet18({ width: 8, input: [1, 28, 28], classes: 10 });
  const logits = model.build(graph, graph.input('x', [64, 1, 28, 28]), { training: true });
  return crossEntropy(logits, graph.input('y', [64], 'index'));
}

function gpt2Small(graph) {
  const model = gpt2({ vocab: 512, block: 64, dim: 128, heads: 4, depth: 4 });
  const logits = model.build(graph, graph.input('x', [8, 64], 'index'), { training: true });
  return crossEntropy(logits.reshape([8 * 64, 512]), graph.input('y', [8 * 64], 'index'));
}

function differentiate(graph, loss) {
  return { loss, gradient: graph.grad(loss), hvp: graph.hvp(loss, graph.direction('v')) };
}

/** Adds the benchmark's tasks; returns what to do when they have run. */
export async function tasks(bench) {
  const kept = [];
  for (const [name, build] of Object.entries(cases)) {
    bench.add(`build: ${name}`, () => {
      const graph = new Graph();
      differentiate(graph, build(graph));
      graph.dispose();
    });
    const graph = new Graph();
    const outputs = differentiate(graph, build(graph));
    kept.push(graph);
    bench.add(`compile: ${name}`, () => graph.compile(outputs).dispose());
    plans[name] = describe(graph.compile(outputs).plan);
  }
  return () => kept.forEach((graph) => graph.dispose());
}

const plans = {};

function describe({ sharedLaunches, varyingLaunches, sharedBytes, memberBytes }) {
  const mebibytes = ((sharedBytes + memberBytes) / 2 ** 20).toFixed(1);
  return `${sharedLaunches} + ${varyingLaunches} launches (shared + per member), peak ${mebibytes} MiB for one member`;
}

/** Facts that follow from the programs. */
export const summary = () => plans;
