/** Linear layers on a device: the product and what follows it are one launch, with the numbers of the CPU. */
import { gelu, Graph, linear } from 'ptmz-native';
import { describe, expect, test } from 'vitest';

const values = (length: number, step: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(i * step) * 0.3);

// Of products that cuBLAS computes, and of those that our own kernels do.
describe.each([
  [130, 128, 132],
  [9, 12, 10],
])('of %i rows, %i outputs and %i inputs', (rows, outputs, inputs) => {
  test.each(['bias', 'bias and GELU'] as const)('with a %s', async (what) => {
    using graph = new Graph();
    const layer = linear(
      graph.input('x', [rows, inputs]),
      graph.input('weight', [outputs, inputs]),
      graph.input('bias', [outputs]),
    );
    const y = what === 'bias' ? layer : gelu(layer);
    const feeds = {
      x: values(rows * inputs, 0.7),
      weight: values(outputs * inputs, 0.3),
      bias: values(outputs, 1.1),
    };
    const results: Float32Array[] = [];
    for (const device of ['cpu', 'cuda']) {
      using program = graph.compile({ y }, { device });
      const launches = program.dump().match(/^[ +] \w+ \[.*$/gm) ?? [];
      expect(launches.map((line) => line.trim().split(' ')[0])).toEqual(['matmul']);
      const { y: result } = await program.run(feeds);
      results.push(result!.toArray() as Float32Array);
      result!.dispose();
    }
    const [cpu, cuda] = results;
    cuda!.forEach((value, i) => expect(Math.abs(value - cpu![i]!)).toBeLessThan(1e-5));
  });
});
