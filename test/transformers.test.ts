/** GPT-2 and ViT: derivatives against PyTorch, sizes, state-dict names, and training on text. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Graph, gpt2, crossEntropy, hessianTrace, loadRun, prepare, text, trainGPT2, Vector, vit } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { vitName } from '../lib/models/vit.js';
import { dense, fillWaves, wave } from './support/waves.js';

const expected = JSON.parse(
  readFileSync(new URL('./fixtures/training/transformers.json', import.meta.url), 'utf8'),
) as Record<string, { loss: number; grad: number[]; hvp: number[] }>;

describe('GPT-2', () => {
  test.each(Object.keys(expected))('%s: loss, gradient and Hessian product in float64', async (name) => {
    const [, d, h, tied, b] = /d(\d+)-h(\d+)-(\w+)-b(\d+)/.exec(name)!;
    const [dim, heads, block] = [Number(d), Number(h), Number(b)];
    using graph = new Graph();
    const model = gpt2({ vocab: 13, block, dim, heads, depth: 1, tied: tied === 'tied' });
    const logits = model.build(graph, graph.input('x', [4, block], 'index'), { training: true });
    const loss = crossEntropy(logits.reshape([-1, 13]), graph.input('y', [4 * block], 'index'));
    const hvp = graph.hvp(loss, graph.direction('v'));
    using program = graph.compile({ loss, grad: graph.grad(loss), hvp }, { dtype: 'float64' });
    using params = new Vector('float64', 1, graph.params.size);
    fillWaves(params, graph.params.entries, 0.2);
    const tokens = Array.from({ length: 4 * block + 1 }, (_, i) => (i * i + 3 * i) % 13);
    const result = await program.run({ x: tokens.slice(0, -1), y: tokens.slice(1), params, v: params });
    const reference = expected[name]!;
    expect(result['loss']!.item()).toBeCloseTo(reference.loss, 12);
    for (const key of ['grad', 'hvp'] as const) {
      const row = result[key]!.toArray();
      const norm = Math.sqrt(Array.from(row).reduce((total, x) => total + x * x, 0));
      const sum = graph.params.entries.reduce((total, entry) => {
        const values = dense(row, [entry]);
        const weights = wave(values.length, 0.5);
        return total + values.reduce((s, x, i) => s + x * weights[i]!, 0);
      }, 0);
      expect(Math.abs(norm / reference[key][0]! - 1)).toBeLessThan(1e-10);
      expect(Math.abs(sum - reference[key][1]!) / norm).toBeLessThan(1e-10);
    }
  });
});

describe('text', () => {
  const tokens = Array.from({ length: 401 }, (_, i) => (i * i) % 7);

  test('windows do not overlap by default, and the part at the end is for testing', () => {
    const data = text({ tokens, block: 8, test: 0.25 });
    expect([data.train.count, data.test!.count, data.classes]).toEqual([37, 12, 5]);
  });

  test.each([
    [{ tokens: [1, 2], block: 2 }, /more than block/],
    [{ tokens: [1, -2, 3], block: 1 }, /tokens\[1\]/],
    [{ tokens: [1, 9, 3], block: 1, vocab: 5 }, /tokens\[1\]/],
    [{ tokens, block: 8, test: 0.01 }, /test/],
    [{ tokens, block: 0 }, /block/],
  ])('%# is refused', (options, message) => {
    expect(() => text(options)).toThrow(message);
  });

  test('a longer window than the block, and images, are refused', () => {
    const settings = { batchSize: 4, epochs: 1, seeds: [0] };
    const model = gpt2({ vocab: 5, block: 4, dim: 8, heads: 2, depth: 1 });
    expect(() => prepare({ ...settings, model, data: text({ tokens, block: 8 }) })).toThrow(/windows of up to 4/);
    const small = gpt2({ vocab: 3, block: 8, dim: 8, heads: 2, depth: 1 });
    expect(() => prepare({ ...settings, model: small, data: text({ tokens, block: 8 }) })).toThrow(/at most 3 classes/);
  });

  test('a population learns the text, its members alone give the same bits, and it goes on where it stopped', async () => {
    const data = text({ tokens, block: 8, test: 0.25 });
    const network = { dim: 16, heads: 2, depth: 1, dropout: 0.1, data, batchSize: 8, epochs: 8, lr: 0.02 };
    const directory = mkdtempSync(join(tmpdir(), 'ptmz-text-'));
    try {
      using run = await trainGPT2({ ...network, seeds: [3, 4] });
      expect(run.history.at(-1)!.testLoss[0]).toBeLessThan(0.7 * run.history[0]!.testLoss[0]!);
      using alone = await trainGPT2({ ...network, seeds: [4] });
      expect(alone.vectors.params.toArray()).toEqual(run.vectors.params.toArray(1));
      using _ = await trainGPT2({ ...network, seeds: [3, 4], until: 12, saveTo: directory });
      using again = await loadRun(directory, { data, model: run.model });
      await again.train();
      expect(again.vectors.params.toArray(1)).toEqual(run.vectors.params.toArray(1));
      const { trace } = await hessianTrace(run, data.train, { probes: 2 });
      expect(trace.every(Number.isFinite)).toBe(true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('ViT', () => {
  test('has the parameters of the published dimensions and torchvision names', () => {
    const count = (dim: number, depth: number) => {
      using graph = new Graph();
      const model = vit({ dim, depth, input: [3, 32, 32], classes: 10 });
      model.build(graph, graph.input('x', [1, 3, 32, 32]), { training: true });
      return graph.params.count;
    };
    // Of the specification: dim 6 at depths 6 and 12; dim 192.
    expect([count(6, 6), count(6, 12)]).toEqual([3832, 6892]);
    expect(Math.round(count(192, 12) / 1e4) / 100).toBe(5.36);
  });

  test('its name says its options', () => {
    const options = {
      dim: 24,
      patch: 8,
      depth: 2,
      heads: 4,
      mlpRatio: 2.5,
      activation: 'gelu',
      classToken: false,
    } as const;
    const model = vit({ ...options, dropout: 0.1, input: [1, 16, 16], classes: 3 });
    expect(vitName.parse(model.name)).toEqual({ ...options, dropout: 0.1 });
    expect(vitName.parse('resnet18-w8')).toBeUndefined();
  });

  test.each([
    [{ dim: 10, heads: 3 }, /multiple of heads/],
    [{ dim: 12, patch: 5 }, /multiples of the patch/],
    [{ dim: 12, dropout: 1 }, /dropout/],
    [{ dim: 12, mlpRatio: 0 }, /mlpRatio/],
    [{ dim: 0 }, /dim/],
  ])('%o is refused', (options, message) => {
    expect(() => vit({ ...options, input: [3, 32, 32], classes: 10 })).toThrow(message);
  });
});
