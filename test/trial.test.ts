/** Trials of published zoos: results with Python's numbers, cut and repeated lines, settings, checkpoints. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readStateDict, readTrial, writeStateDict } from '../lib/index.js';
import { parsePythonJson } from '../lib/zoo/pythonJson.js';

const directory = mkdtempSync(join(tmpdir(), 'ptmz-trial-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;

const good = { 'model::type': 'Resnet18_width', 'model::width': 2, seed: 0 };

/** A trial of these results, settings and checkpoints. */
function trial(results: string, params: unknown = good, epochs: string[] = []): string {
  const folder = join(directory, `NN_tune_trainable::${count++}=é,x`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'result.json'), results);
  writeFileSync(join(folder, 'params.json'), typeof params === 'string' ? params : JSON.stringify(params));
  const w = { dtype: 'F32', shape: [1], data: Float32Array.of(2) } as const;
  for (const name of epochs) {
    mkdirSync(join(folder, name));
    writeStateDict(join(folder, name, 'checkpoints'), { 'module.w': w }, { format: 'torch' });
  }
  return folder;
}

describe('readTrial', () => {
  test('rows by epoch, checkpoints by epoch, state dicts without prefix', () => {
    const folder = trial(
      '{"training_iteration": 1, "test_acc": 0.5, "name": "NaN"}\n{"training_iteration": 0, "test_acc": NaN}\n',
      good,
      ['checkpoint_000010', 'checkpoint_000002', 'checkpoint_x'],
    );
    mkdirSync(join(folder, 'checkpoint_000003'));
    writeFileSync(join(folder, 'checkpoint_000002', 'optimizer'), '');
    const { rows, checkpoints, params, badLines, truncated } = readTrial(folder);
    expect(rows).toEqual([
      { training_iteration: 0, test_acc: NaN },
      { training_iteration: 1, test_acc: 0.5, name: 'NaN' },
    ]);
    expect(checkpoints.map(({ epoch, optimizer }) => [epoch, optimizer !== undefined])).toEqual([
      [2, true],
      [10, false],
    ]);
    expect(readStateDict(checkpoints[1]!.path).get('w')!.data).toEqual(Float32Array.of(2));
    expect({ params, badLines, truncated }).toEqual({ params: good, badLines: [], truncated: false });
  });

  test('a cut last line, a torn line and a repeated epoch', () => {
    const { rows, badLines, truncated } = readTrial(
      trial('{"training_iteration": 0, "a": 1}\n\0{{\n\r\n{"training_iteration": 0, "a": 2}\r\n[1]\n{"training_it'),
    );
    expect(rows).toEqual([{ training_iteration: 0, a: 2 }]);
    expect({ badLines, truncated }).toEqual({ badLines: [2, 5], truncated: true });
  });

  test.each([
    ['Python', "{'model::width': 2}", /not JSON/],
    ['a list', [1], /expected an object/],
    ['another model', { ...good, 'model::type': 'Resnet9000_width' }, /Resnet18_width, Resnet50_width.*Resnet9000/],
    ['a width in words', { ...good, 'model::width': 'two' }, /'model::width', there is "two"/],
    ['no width', { 'model::type': 'Resnet18_width' }, /'model::width', there is none/],
    ['a negative batch', { ...good, 'training::batchsize': -8 }, /'training::batchsize', there is -8/],
  ])('settings that are %s', (_, params, message) => {
    expect(() => readTrial(trial('', params))).toThrow(
      expect.objectContaining({ code: 'DATA_MALFORMED', message: expect.stringMatching(message) as string }),
    );
  });

  test('a folder that is no trial', () => {
    expect(() => readTrial(directory)).toThrow(expect.objectContaining({ code: 'DATA_MISSING' }));
  });
});

test('JSON of Python', () => {
  expect(parsePythonJson('{"a": [NaN, -Infinity, "x\\"NaN", 1e3]}')).toEqual({ a: [NaN, -Infinity, 'x"NaN', 1000] });
  expect(() => parsePythonJson('{"a": NaNs}')).toThrow(SyntaxError);
  expect(() => parsePythonJson('{"a": None}')).toThrow(SyntaxError);
  const value = parsePythonJson('{"__proto__": {"polluted": NaN}}');
  expect(Object.keys(value as object)).toEqual(['__proto__']);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});
