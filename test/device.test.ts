/** Devices: their names, and what an absent one says. A GPU is not needed; programs on one are scripts/test-cuda.mjs's. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Graph, Vector } from '../lib/index.js';
import { checkDevice } from '../lib/device.js';

const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'ptmz-device-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('names', () => {
  test.each([
    ['cpu', 'cpu'],
    ['cuda', 'cuda:0'],
    ['cuda:0', 'cuda:0'],
    ['cuda:12', 'cuda:12'],
  ])('%s is %s', (given, name) => expect(checkDevice('device', given)).toBe(name));

  test.each([['gpu'], ['CUDA'], ['cuda:'], ['cuda:-1'], ['cuda:01'], ['cuda:1000'], ['cuda:0 '], [0], [null]])(
    '%j is none',
    (given) =>
      expect(() => checkDevice('device', given)).toThrow(
        expect.objectContaining({
          code: 'INVALID_ARGUMENT',
          message: expect.stringContaining("'cpu', 'cuda' or 'cuda:N'"),
        }),
      ),
  );
});

test('programs and vectors say where they are', () => {
  using graph = new Graph();
  using program = graph.compile({ y: graph.input('x', [2]).exp() });
  expect(program.device).toBe('cpu');
  using vector = program.vector('x');
  expect(vector.device).toBe('cpu');
  expect(() => graph.compile({ y: graph.input('x', [2]) }, { device: 'tpu' })).toThrow(/'cuda:N'/);
  expect(() => new Vector('float32', 1, 2, 'tpu')).toThrow(/'cuda:N'/);
});

// The library is looked for once per process, so each case is a process of its own.
describe('a CUDA library that cannot be used', () => {
  const broken = join(directory, 'libbroken.so');
  writeFileSync(broken, 'not a library');

  test.each([
    ['missing', join(directory, 'libmissing.so'), /the CUDA library is not built/],
    ['broken', broken, /the CUDA library does not load: .*libbroken\.so/],
  ])('%s: doctor and compile give the reason', (_, library, reason) => {
    const env = { ...process.env, PTMZ_CUDA_LIBRARY: library };
    const doctor = spawnSync(process.execPath, [cli, 'doctor', '--json'], { encoding: 'utf8', env });
    const { devices } = JSON.parse(doctor.stdout) as {
      devices: { name: string; available: boolean; reason?: string }[];
    };
    expect(devices).toContainEqual({ name: 'cuda', available: false, reason: expect.stringMatching(reason) });

    const code = `
      import { gpt2, Graph, prepare, text, Vector } from ${JSON.stringify(fileURLToPath(new URL('../dist/index.js', import.meta.url)))};
      const graph = new Graph();
      const y = graph.input('x', [2]).exp();
      const data = text({ tokens: [0, 1, 2, 1, 0, 2], block: 2 });
      const model = gpt2({ vocab: 3, block: 2, dim: 4, heads: 1, depth: 1 });
      const run = () => prepare({ model, data, batchSize: 1, epochs: 1, seeds: [0], device: 'cuda:2' });
      for (const use of [() => graph.compile({ y }, { device: 'cuda:1' }), () => new Vector('int32', 1, 2, 'cuda'), run])
        try { use(); } catch (error) { console.log(error.code, error.message); }`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', env });
    const [compile, vector, training] = stdout.trim().split('\n');
    expect(compile).toMatch(/^CUDA_UNAVAILABLE device 'cuda:1': /);
    expect(vector).toMatch(/^CUDA_UNAVAILABLE device 'cuda:0': /);
    expect(training).toMatch(/^CUDA_UNAVAILABLE device 'cuda:2': /);
    expect(stdout).toMatch(reason);
  });
});
