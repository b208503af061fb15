/** Precisions where there are none: on the CPU and in float64. Those of a GPU are test/cuda/precision.test.ts's. */
import { describe, expect, test } from 'vitest';
import { digits, Graph, prepareResNet } from '../lib/index.js';
import { checkPrecision } from '../lib/precision.js';

const cpu = { dtype: 'float32', device: 'cpu' } as const;
const cuda = { dtype: 'float32', device: 'cuda:0' } as const;

test('float32 is for all programs, and what is meant where nothing is said', () => {
  expect(checkPrecision(undefined, cpu)).toBe('float32');
  expect(checkPrecision('float32', { dtype: 'float64', device: 'cpu' })).toBe('float32');
  for (const precision of ['tf32', 'bf16']) expect(checkPrecision(precision, cuda)).toBe(precision);
});

describe('is refused', () => {
  test.each([['fp16'], ['TF32'], [16], [true]])('%j: there is no such precision', (given) => {
    expect(() => checkPrecision(given, cuda)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining("'float32', 'tf32', 'bf16'"),
      }),
    );
  });

  test('in float64', () =>
    expect(() => checkPrecision('bf16', { dtype: 'float64', device: 'cuda:0' })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: "Expected dtype 'float32' for precision 'bf16' but received 'float64'",
      }),
    ));

  test('on the CPU: by programs and trainings', async () => {
    const refused = expect.objectContaining({
      code: 'UNSUPPORTED',
      message: "Expected a CUDA device for precision 'tf32' but received 'cpu', which has 'float32' only",
      hint: expect.stringContaining('--device cuda'),
    });
    using graph = new Graph();
    const y = graph.input('x', [2]).exp();
    expect(() => graph.compile({ y }, { precision: 'tf32' })).toThrow(refused);
    const data = await digits({ train: 8, test: 4 });
    const settings = { depth: 18, width: 2, data, batchSize: 4, epochs: 1, seeds: [0] } as const;
    expect(() => prepareResNet({ ...settings, precision: 'tf32' })).toThrow(refused);
  });
});
