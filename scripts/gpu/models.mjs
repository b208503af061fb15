// Models as programs - loss, gradient, Hessian-vector product - with numbers that depend on positions only.
const { batchNorm, conv2d, crossEntropy, globalAvgPool2d, Graph, gpt2, linear, resnet } =
  await import('../../dist/index.js');

/** Many pixels in few channels: the sums over a channel and those of the weights' gradient are shared by blocks. */
export const manyPixels = 'a layer of many pixels';

/** A product that is large enough for cuBLAS, with a bias that cuBLASLt adds in float32. */
export const wideLayer = 'a wide linear layer';

/** By name: builds into a graph, returns the loss and how many labels there are. */
export const models = {
  'ResNet-18 of width 2': (graph) => {
    const model = resnet({ depth: 18, width: 2, input: [3, 16, 16], classes: 10 });
    const logits = model.build(graph, graph.input('x', [4, 3, 16, 16]), { training: true });
    return { loss: crossEntropy(logits, graph.input('y', [4], 'index')), labels: 10 };
  },
  [manyPixels]: (graph) => {
    const param = (name, shape) => graph.param(name, shape);
    const x = conv2d(graph.input('x', [16, 3, 40, 40]), param('conv', [4, 3, 3, 3]), { padding: 1 });
    const y = batchNorm(x, { weight: param('scale', [4]), bias: param('shift', [4]), relu: true });
    const logits = linear(globalAvgPool2d(y).reshape([16, 4]), param('fc', [5, 4]));
    return { loss: crossEntropy(logits, graph.input('y', [16], 'index')), labels: 5 };
  },
  [wideLayer]: (graph) => {
    const x = linear(graph.input('x', [128, 132]), graph.param('weight', [128, 132]), graph.param('bias', [128]));
    const logits = linear(x, graph.param('fc', [12, 128]));
    return { loss: crossEntropy(logits, graph.input('y', [128], 'index')), labels: 12 };
  },
  'tiny GPT-2': (graph) => {
    const model = gpt2({ vocab: 19, block: 6, dim: 12, heads: 3, depth: 2 });
    const logits = model.build(graph, graph.input('x', [2, 6], 'index'), { training: true });
    return { loss: crossEntropy(logits.reshape([12, 19]), graph.input('y', [12], 'index')), labels: 19 };
  },
};

/** Compiles a model for a device; returns the program, its inputs and a `dispose`. */
export function compileModel(name, { dtype = 'float64', device, members, hvp = true }) {
  const graph = new Graph();
  const { loss, labels } = models[name](graph);
  const outputs = { loss, grad: graph.grad(loss) };
  if (hvp) outputs.hvp = graph.hvp(loss, graph.direction('v'));
  const program = graph.compile(outputs, { dtype, device });
  const inputs = {};
  for (const slot of program.inputs) {
    const most = slot.name === 'y' ? labels : 19;
    const integer = (_, i) => (i * 7 + 3) % most;
    const real = (_, i) => 0.3 * Math.sin(i * 12.9898 + slot.index) + (slot.name === 'buffers' ? 1 : 0);
    const length = slot.size * (slot.varies ? members : 1);
    inputs[slot.name] = Array.from({ length }, slot.kind === 'index' ? integer : real);
  }
  const dispose = () => {
    program.dispose();
    graph.dispose();
  };
  return { program, inputs, dispose };
}

/** Runs once; all rows of each output, one after the other. */
export async function results({ program, inputs }, options) {
  const vectors = await program.run(inputs, options);
  return Object.fromEntries(
    Object.entries(vectors).map(([key, vector]) => {
      const rows = Array.from({ length: vector.rows }, (_, row) => [...vector.toArray(row)]).flat();
      vector.dispose();
      return [key, rows];
    }),
  );
}

/** The largest difference of each output on two devices, relative to its largest value. */
export async function compareDevices(name, members, dtype, devices = ['cpu', 'cuda']) {
  const all = [];
  for (const device of devices) {
    const model = compileModel(name, { dtype, device, members });
    all.push(await results(model, { members }));
    model.dispose();
  }
  const [first, second] = all;
  return Object.fromEntries(
    Object.entries(first).map(([key, values]) => {
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const gap = values.reduce((most, value, i) => Math.max(most, Math.abs(value - second[key][i])), 0);
      const comparable = values.length === second[key].length && largest > 0 && second[key].every(Number.isFinite);
      return [key, comparable ? gap / largest : Infinity];
    }),
  );
}
