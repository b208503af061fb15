// Hessian-vector products of ResNet-18, in a block of probes, against the fresh double backward pass of PyHessian.
import { arrays, crossEntropy, Graph, prepareResNet, resnet } from 'ptmz-native';
import { batchTensors, randomImages, splitVector, stateTensors, unchanged } from '../inputs.mjs';
import { bestOf } from '../race.mjs';
import { hessianFlops } from '../resnet-work.mjs';

export const title = 'v^T H v of ResNet-18 on 64 images, batch norm in evaluation mode, per probe';
export const groups = ['cpu'];

const images = 64;
const probes = 16;
const checkedProbes = 4;

/** Rows of the race. */
export const rows = [2, 8, 16].map((width) => ({
  id: `r18-${width}`,
  label: `ResNet-18 ${width}, ${images} images`,
  unit: 'ms/probe',
  open: (context) => open(width, context),
}));

async function open(width, { threads, peer, handover }) {
  const batch = randomImages(images);
  const state = await trained(width, batch, threads);
  const block = probeBlock(width, batch, state);
  await block.run(threads);
  const flops = hessianFlops(18, width, images, probes);
  const ours = {
    measure: async (milliseconds) => {
      const blocks = async (count) => {
        for (let i = 0; i < count; ++i) await block.run(threads);
      };
      return (await bestOf(milliseconds, blocks)) / probes;
    },
  };
  if (!peer) return { ours, variants: [], flops, close: () => block.dispose() };

  const directions = Array.from({ length: checkedProbes }, (_, m) => stateTensors(block.probe(m), `v${m}.`));
  const file = handover.write([...batchTensors(batch), ...stateTensors(state, 'net.'), ...directions.flat()]);
  const variants = [];
  for (const layout of ['NCHW', 'channels_last']) {
    const side = await peer.open('hvp', { file, width, probes: checkedProbes, layout });
    variants.push({ name: `fresh ${layout}`, ...side });
  }
  return {
    ...{ ours, variants, flops },
    check: async () => {
      const exact = await variants[0].check({ double: true });
      const size = Math.max(...exact.map(Math.abs));
      const difference = (values) => Math.max(...exact.map((value, m) => Math.abs(value - values[m]) / size));
      const spreads = [];
      for (const variant of variants) spreads.push(difference(await variant.check({ double: false })));
      return {
        what: `v^T H v of ${checkedProbes} probes, against PyTorch in float64`,
        difference: difference(exact.map((_, m) => block.result(m))),
        peerSpread: Math.max(...spreads),
        // One ReLU that changes sides by rounding changes the product, in PyTorch's float32 and in ours.
        tolerance: Math.max(1e-3, ...spreads),
      };
    },
    close: async () => {
      block.dispose();
      for (const { close } of variants) await close();
    },
  };
}

/** State of a network after some steps: at the first values the running statistics are not those of any data. */
async function trained(width, batch, threads) {
  const data = arrays({ ...batch, normalise: unchanged });
  const run = prepareResNet({ depth: 18, width, data, batchSize: images / 2, epochs: 5, seeds: [0], lr: 0.01 });
  await run.train({ threads });
  const state = run.stateDict(0);
  run.dispose();
  data.train.dispose();
  return state;
}

/** All probes as one population that shares parameters, images, and so the first forward and backward pass. */
function probeBlock(width, { images: pixels, shape, labels, classes }, state) {
  const graph = new Graph();
  const model = resnet({ depth: 18, width, input: [3, 32, 32], classes });
  const x = graph.input('x', shape);
  const loss = crossEntropy(model.build(graph, x, { training: false }), graph.input('y', [images], 'index'));
  const direction = graph.direction('v');
  const curvature = graph.dot(direction, graph.hvp(loss, direction));
  const program = graph.compile({ curvature }, { varying: ['v'] });
  const inputs = { x: program.vector('x').set(0, pixels), y: program.vector('y').set(0, labels) };
  for (const name of ['params', 'buffers']) {
    inputs[name] = program.vector(name);
    for (const entry of graph[name].entries) inputs[name].set(0, state[entry.name].data, entry.offset);
  }
  const seeds = Array.from({ length: probes }, (_, m) => m);
  inputs.v = program.vector('v', probes).random({ distribution: 'rademacher', seeds });
  const into = { curvature: program.vector('curvature', probes) };
  return {
    run: (threads) => program.run(inputs, { members: probes, threads, into }),
    result: (m) => into.curvature.item(m),
    /** One direction as a state dict. */
    probe: (m) => splitVector(inputs.v.toArray(m), graph.params.entries),
    dispose() {
      for (const vector of [...Object.values(inputs), into.curvature]) vector.dispose();
      program.dispose();
      graph.dispose();
    },
  };
}
