/** The oracle runner on a part of the oracle that is committed here, and on a copy with a wrong number in it. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from '../lib/index.js';
import { relativeError } from '../lib/oracle/ops.js';
import { outcome as outcomeOf } from '../lib/oracle/ops.js';
import { runOracle } from '../lib/oracle/run.js';

const fixtures = fileURLToPath(new URL('./oracle/fixtures', import.meta.url));
const training = fileURLToPath(new URL('./oracle/training', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'ptmz-oracle-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Manifest {
  ops: { id: string; op: string; file: string; attrs: object; tol: { f32: Record<string, number> } }[];
}

/** A copy of some cases, changed by `change`. */
function copy(
  name: string,
  ids: string[],
  change: (folder: string, manifest: Manifest & Record<string, unknown>) => void,
) {
  const folder = join(directory, name);
  cpSync(fixtures, folder, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Manifest &
    Record<string, unknown>;
  manifest.ops = manifest.ops.filter((c) => ids.includes(c.id));
  change(folder, manifest);
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  return folder;
}

async function outcome(folder: string, options = {}) {
  const lines: string[] = [];
  const counts = await runOracle(folder, { print: (line) => lines.push(line), ...options });
  return { ...counts, lines };
}

describe('the oracle runner', () => {
  test('all committed cases pass', async () => {
    const { passed, failed, skipped, lines } = await outcome(fixtures);
    expect(lines).toEqual([]);
    expect({ passed, failed, skipped }).toEqual({ passed: 31, failed: 0, skipped: 0 });
  });

  test('one wrong number in one tensor fails the case and names the tensor, program, error and tolerance', async () => {
    const folder = copy('wrong', ['unary_softplus', 'mse_mean'], (at, { ops }) => {
      const path = join(at, ops.find((c) => c.id === 'unary_softplus')!.file);
      const tensors = readSafetensors(path);
      (tensors.get('f64.h.x')!.data as Float64Array)[3]! += 1e-9;
      writeSafetensors(path, tensors);
    });
    const { passed, failed, lines } = await outcome(folder);
    expect({ passed, failed }).toEqual({ passed: 1, failed: 1 });
    expect(lines[0]).toBe('failed  ops/unary_softplus');
    expect(lines[1]).toMatch(/FAILED h\.x in float64 \(y,g,h\): error \d.*e-\d+, tolerance 1\.00e-11/);
    expect(lines).toHaveLength(3); // fused and unfused; float32 is within its tolerance
  });

  test('an unknown operator and a missing file are failures', async () => {
    const folder = copy('unknown', ['unary_softplus', 'mse_mean', 'gelu_erf'], (_, { ops }) => {
      ops[0]!.op = 'fft';
      ops[1]!.file = 'ops/none.safetensors';
      ops[2]!.attrs = { f: 'cbrt' };
      ops[2]!.op = 'unary';
    });
    const { failed, lines } = await outcome(folder);
    expect(failed).toBe(3);
    expect(lines.join('\n')).toMatch(/'fft' is unknown/);
    expect(lines.join('\n')).toMatch(/IO_ERROR.*none\.safetensors/);
    expect(lines.join('\n')).toMatch(/'cbrt' of unary is unknown/);
  });

  test('cases of other parts count as skipped, by part; --only counts one part', async () => {
    const folder = copy('parts', ['mse_mean'], (_, manifest) => {
      manifest.models = ['a', 'b'].map((id) => ({ id, config: { kind: 'rnn' } }));
      manifest.files = [{ file: 'x.pt' }];
    });
    const { passed, failed, skipped, lines } = await outcome(folder);
    expect({ passed, failed, skipped }).toEqual({ passed: 1, failed: 0, skipped: 3 });
    expect(lines).toContain('skipped models: 1 case, this version does not run rnn models');
    expect(await outcome(folder, { only: 'ops' })).toMatchObject({ passed: 1, skipped: 0, lines: [] });
    expect(await outcome(folder, { only: 'files' })).toMatchObject({ passed: 0, skipped: 1 });
  });

  test('a ResNet and a ViT with their training steps, two schedules and two runs of L-BFGS pass', async () => {
    const { passed, failed, skipped, lines } = await outcome(training);
    expect({ passed, failed, skipped }).toEqual({ passed: 6, failed: 0, skipped: 0 });
    expect(lines).toEqual([]);
  });

  test('a wrong digest, a wrong loss and a wrong rate fail their cases; so do weights of another formula', async () => {
    const folder = join(directory, 'training');
    cpSync(training, folder, { recursive: true });
    const change = (file: string, from: (text: string) => string) =>
      writeFileSync(join(folder, file), from(readFileSync(join(folder, file), 'utf8')));
    change('models/resnet18_w8_stem7.json', (text) => {
      const detail = JSON.parse(text) as { digests: Record<string, { proj: number[]; l2: number }> };
      detail.digests['adamw.m']!.proj[2]! += 1e-2 * detail.digests['adamw.m']!.l2;
      return JSON.stringify(detail);
    });
    const reference = join(folder, 'models/resnet18_w8_stem7.ref.safetensors');
    const tensors = readSafetensors(reference);
    (tensors.get('f64.sgd.losses')!.data as Float64Array)[4]! += 1e-3;
    writeSafetensors(reference, tensors);
    change('optim/optim.json', (text) => text.replace('"lr": [0.008', '"lr": [0.0081'));
    const { passed, failed, lines } = await outcome(folder);
    expect({ passed, failed }).toEqual({ passed: 4, failed: 2 });
    const bad = lines.filter((line) => line.includes('FAILED')).map((line) => line.split(':')[0]!.trim());
    expect(bad).toEqual([
      'FAILED sgd.losses in float64',
      'FAILED adamw.m in float64',
      'FAILED sgd.losses in float32',
      'FAILED adamw.m in float32',
      'FAILED lr in schedule',
    ]);
    change('models/resnet18_w8_stem7.json', (text) =>
      text.replace(/("weights_sha256":.*?"conv1.weight": ?")./s, '$1-'),
    );
    const { lines: messages } = await outcome(folder, { only: 'models' });
    expect(messages[0]).toMatch(/DATA_MALFORMED: the weights of 'conv1.weight'/);
  });

  test('a case is undecided where float64 from rounded weights misses as much, and nothing else is wrong', () => {
    const check = (program: string, error: number, rounding?: number) => ({
      tensor: 'sgd.params',
      program,
      error,
      tolerance: 1e-6,
      ...(rounding !== undefined && { rounding }),
    });
    const of = (...checks: ReturnType<typeof check>[]) => outcomeOf({ id: 'case', checks });
    const good = check('float64', 1e-9);
    expect(of(good, check('float32', 1e-7))).toBe('passed');
    expect(of(good, check('float32', 1e-3, 2e-4))).toBe('undecided');
    expect(of(good, check('float32', 1e-3, 2e-5))).toBe('failed');
    expect(of(good, check('float32', 1e-3, 2e-7))).toBe('failed');
    expect(of(good, check('float32', 1e-3, 2e-4), check('float32', 1e-3, 2e-7))).toBe('failed');
    expect(of(check('float64', 1e-3), check('float32', 1e-3, 2e-4))).toBe('failed');
    expect(of(good, check('float32', Infinity, 2e-7))).toBe('failed');
    expect(of()).toBe('failed');
  });

  test('verbose prints every comparison', async () => {
    const folder = copy('verbose', ['mse_mean'], () => {});
    const { lines } = await outcome(folder, { verbose: true });
    expect(lines[0]).toBe('passed  ops/mse_mean');
    expect(lines.length).toBeGreaterThan(60);
    expect(lines.every((line, i) => i === 0 || line.startsWith('  ok '))).toBe(true);
  });

  test('a folder that is none is a typed error', async () => {
    await expect(runOracle(join(directory, 'none'))).rejects.toMatchObject({ code: 'IO_ERROR' });
    writeFileSync(join(directory, 'manifest.json'), '{');
    await expect(runOracle(directory)).rejects.toMatchObject({ code: 'DATA_MALFORMED' });
  });

  test('the command ends with the counts, and with 2 where it is used wrongly', () => {
    const command = (...args: string[]) => {
      const main = fileURLToPath(new URL('../dist/oracle/main.js', import.meta.url));
      return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
    };
    const folder = copy('command', ['mse_mean'], () => {});
    expect(command(folder, '--only', 'ops')).toMatchObject({ status: 0, stdout: '1 passed, 0 failed, 0 skipped\n' });
    expect(command(join(directory, 'none'))).toMatchObject({ status: 2, stderr: expect.stringMatching(/^IO_ERROR: /) });
    expect(command()).toMatchObject({ status: 2, stderr: expect.stringContaining('usage: npm run oracle') });
    expect(command(folder, '--only', 'all').status).toBe(2);
    expect(command(folder, '--fast').status).toBe(2);
    const unknown = command(folder, '--device', 'abacus');
    expect(unknown).toMatchObject({ status: 1, stdout: expect.stringContaining('0 passed, 1 failed, 0 skipped') });
  });

  test('a NaN or a missing element is an infinite error', () => {
    expect(relativeError([1, NaN], [1, 2], [1, 2])).toBe(Infinity);
    expect(relativeError([1], [1, 2], [1, 2])).toBe(Infinity);
    expect(relativeError([Infinity, NaN, 1], [Infinity, NaN, 1], [1, 1, 1])).toBe(0);
    expect(relativeError([1, 2], [1, 2.5], [1, 2.5])).toBe(0.2);
  });
});
