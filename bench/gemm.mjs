// The ceiling of a run: the best rate of a 1024 x 1024 x 1024 product in float32, of this package or of PyTorch.
import { Graph } from 'ptmz-native';
import { bestOf } from './race.mjs';

const side = 1024;
const rate = (milliseconds) => (2 * side ** 3) / (milliseconds * 1e6);

/** GFLOP/s of both sides with so many threads, and the larger as `peak`. */
export async function gemmPeak(threads, peer, milliseconds = 500) {
  const graph = new Graph();
  const [a, b] = [graph.input('a', [side, side]), graph.input('b', [side, side])];
  const program = graph.compile({ product: a.matmul(b) });
  const inputs = Object.fromEntries(
    ['a', 'b'].map((name, i) => [name, program.vector(name).random({ distribution: 'normal', seeds: [i] })]),
  );
  const into = { product: program.vector('product') };
  const once = async () => program.run(inputs, { threads, into });
  await once();
  const ours = rate(
    await bestOf(milliseconds, async (runs) => {
      for (let i = 0; i < runs; ++i) await once();
    }),
  );
  program.dispose();
  graph.dispose();
  const other = await peer?.open('gemm', { side });
  const theirs = other && rate(await other.measure(milliseconds));
  await other?.close();
  return { threads, ours, ...(theirs && { peer: theirs }), peak: Math.max(ours, theirs ?? 0) };
}
