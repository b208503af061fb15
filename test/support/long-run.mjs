/** Programs that run long enough to be interrupted, in plain JavaScript for tests, worker threads and child processes. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** @type {import('../../lib/native.ts').NativeAddon} */
export const addon = createRequire(import.meta.url)('node-gyp-build')(fileURLToPath(new URL('../..', import.meta.url)));

export const options = { members: 1, threads: 1, memoryLimit: 0 };

/**
 * a (n,n) multiplied `depth` times with itself, ready to run: zeros, so that no number grows.
 * @param {number} n
 * @param {number} depth
 */
export function matmulChain(n, depth) {
  const graph = new addon.Graph();
  const slots = [graph.slot('a', 'real', n * n), graph.slot('out', 'real', n * n)];
  const a = graph.node('input', [], [slots[0], 0], [], [n, n]);
  let product = a;
  for (let i = 0; i < depth; i += 1) product = graph.node('matmul', [product, a], [0, 0]);
  const program = graph.compile({
    outputs: [{ node: product, slot: slots[1], offset: 0 }],
    dtype: 'float32',
    precision: 'float32',
    varying: [],
    fuse: true,
    device: 'cpu',
  });
  graph.dispose();
  const input = new addon.Vector('float32', 1, n * n);
  const output = new addon.Vector('float32', 1, n * n);
  return {
    program,
    input,
    output,
    run: () => program.run([input, output], options),
    dispose: () => [program, input, output].forEach((object) => object.dispose()),
  };
}

/** About 5 ms per launch on one core, a minute in all: always cut short. */
export const endlessRun = () => matmulChain(512, 10_000);
/** The same launches, done in a tenth of a second. */
export const shortRun = () => matmulChain(512, 20);

/**
 * How a promise ended: 'resolved' or the code of its error.
 * @param {Promise<unknown>} promise
 * @returns {Promise<string>}
 */
export const outcome = (promise) =>
  promise.then(
    () => 'resolved',
    (error) => error.code ?? String(error),
  );

/** @param {number} milliseconds */
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
