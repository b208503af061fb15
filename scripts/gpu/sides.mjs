// What is raced on a device: our side of every row, each as `{ measure(ms) }` in milliseconds per unit.
import { bestOf } from '../../bench/race.mjs';
import { randomImages, unchanged } from '../../bench/inputs.mjs';

const { arrays, evaluate, Graph, hessianTrace, prepareResNet } = await import('../../dist/index.js');

/** That of bench/training.mjs: a constant rate so small that ten steps in float32 do not leave each other. */
export const sgd = { lr: 1e-4, momentum: 0.9, weightDecay: 5e-4 };

const mostSteps = 20_000;

/** A population of ResNet-18s on images that lie on the device; dispose of it. */
export function population({ width, batch, members, device, precision = 'float32', samples, steps = mostSteps }) {
  const count = samples ?? Math.max(1024, 8 * batch);
  const images = randomImages(count);
  const data = arrays({ ...images, normalise: unchanged });
  const seeds = Array.from({ length: members }, (_, i) => i);
  const epochs = Math.ceil(steps / Math.ceil(count / batch));
  const settings = { depth: 18, width, data, batchSize: batch, epochs, seeds, schedule: 'constant', ...sgd };
  const run = prepareResNet({ ...settings, device, precision });
  const dispose = () => {
    run.dispose();
    data.train.dispose();
  };
  return { run, data, images, dispose };
}

/** Milliseconds of one member's step: samples gathered, forward, backward, optimizer, history. */
export const steps = (settings) => ({
  async measure(milliseconds) {
    const { run, dispose } = population(settings);
    try {
      const take = (n) => run.train({ until: run.step + n });
      await take(3); // compiled, launched and recorded
      return (await bestOf(milliseconds, take)) / settings.members;
    } finally {
      dispose();
    }
  },
});

/** Milliseconds of one member's test on one image. */
export const tests = (settings) => ({
  async measure(milliseconds) {
    const { run, data, dispose } = population(settings);
    try {
      await evaluate(run, data.train);
      const perTest = await bestOf(milliseconds, async (n) => {
        for (let i = 0; i < n; ++i) await evaluate(run, data.train);
      });
      return perTest / settings.members / data.train.count;
    } finally {
      dispose();
    }
  },
});

/** Milliseconds of a Hessian-vector product over 64 images, of `images` at once and as many probes as a block has. */
export const products = ({ images, block, ...settings }) => ({
  async measure() {
    const { run, data, dispose } = population({ ...settings, batch: 8, members: 1, samples: images });
    try {
      const time = async (probes) => {
        const began = performance.now();
        await hessianTrace(run, data.train, { probes, block, batchSize: images, rtol: 0 });
        return performance.now() - began;
      };
      // What a call costs beside its products is the same for few and for many.
      const few = Math.min(await time(block), await time(block));
      const many = Math.min(await time(3 * block), await time(3 * block));
      return ((many - few) / (2 * block)) * (64 / images);
    } finally {
      dispose();
    }
  },
});

/** Milliseconds of a run of a graph's program, over vectors that stay where they are; disposes of the graph. */
export async function programTime(graph, outputs, device, milliseconds, { members = 1, ...options } = {}) {
  const program = graph.compile(outputs, { device, ...options });
  const fill = (slot) => program.vector(slot.name, members).fill(0.5);
  const vectors = Object.fromEntries(program.inputs.map((slot) => [slot.name, fill(slot)]));
  const into = Object.fromEntries(program.outputs.map((slot) => [slot.name, program.vector(slot.name, members)]));
  try {
    return await bestOf(milliseconds, async (n) => {
      for (let i = 0; i < n; ++i) await program.run(vectors, { members, into });
    });
  } finally {
    for (const vector of [...Object.values(vectors), ...Object.values(into)]) vector.dispose();
    program.dispose();
    graph.dispose();
  }
}

/** Milliseconds of one run of `length` tiny launches that wait for each other. */
export const chain = ({ length, device }) => ({
  async measure(milliseconds) {
    const graph = new Graph();
    let y = graph.input('x', [32]);
    for (let i = 0; i < length; ++i) y = y.sin();
    return programTime(graph, { y }, device, milliseconds, { fuse: false });
  },
});

/** Milliseconds of a map that reads and writes so many numbers of float32. */
export const copy = ({ count, device }) => ({
  async measure(milliseconds) {
    const graph = new Graph();
    return programTime(graph, { y: graph.input('x', [count]).mul(2) }, device, milliseconds);
  },
});

/** Milliseconds of a square matrix product. */
export const product = ({ side, device, precision }) => ({
  async measure(milliseconds) {
    const graph = new Graph();
    const [a, b] = ['a', 'b'].map((name) => graph.input(name, [side, side]));
    return programTime(graph, { y: a.matmul(b) }, device, milliseconds, { precision });
  },
});

/** Losses of the first steps on one batch, and the weights that they began with. */
export async function firstLosses({ width, batch, device, steps: count }) {
  const one = population({ width, batch, members: 1, device, samples: batch, steps: count });
  try {
    const state = one.run.stateDict(0);
    await one.run.train();
    return { images: one.images, state, losses: one.run.history.map(({ trainLoss }) => trainLoss) };
  } finally {
    one.dispose();
  }
}
