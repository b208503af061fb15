/** CIFAR-10 through the command line, from the unpacked binary archive to trained networks and their curvature. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arrays, hessianTrace, trainResNet, type DataSet, type Run } from 'ptmz-native';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ptmz } from './support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cli-cifar-'));
const pixels = 3 * 32 * 32;
/** A record of the archive: the label, and 1024 bytes of red, green and blue each. */
const record = (i: number) => [
  i % 10,
  ...Array.from({ length: pixels }, (_, k) => (i * 37 + k * (1 + (i % 10))) % 256),
];
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

let data: DataSet;
let run: Run;

beforeAll(async () => {
  const batches = join(folder, 'data', 'cifar-10-batches-bin');
  mkdirSync(batches, { recursive: true });
  const write = (name: string, from: number, to: number) =>
    writeFileSync(join(batches, name), Uint8Array.from(range(from, to).flatMap(record)));
  for (const batch of [1, 2, 3, 4, 5]) write(`data_batch_${batch}.bin`, 12 * (batch - 1), 12 * batch);
  write('test_batch.bin', 60, 80);

  // The same images without a file, normalised as is usual for CIFAR-10.
  const part = (from: number, to: number) => ({
    images: Uint8Array.from(range(from, to).flatMap((i) => record(i).slice(1))),
    shape: [to - from, 3, 32, 32] as const,
    labels: range(from, to).map((i) => i % 10),
  });
  const [mean, std] = [
    [125.3, 123, 113.9],
    [63, 62.1, 66.7],
  ].map((values) => values.map((x) => x / 255)) as [number[], number[]];
  data = arrays({ ...part(0, 60), classes: 10, test: part(60, 80), normalise: { mean, std } });
  run = await trainResNet({ depth: 18, width: 2, data, batchSize: 20, epochs: 2, seeds: [1, 2] });
}, 60_000);
afterAll(() => {
  run.dispose();
  rmSync(folder, { recursive: true });
});

test('trains and measures what the API does with the same images', async () => {
  const settings = ['--width', '2', '--batch-size', '20', '--epochs', '2', '--seeds', '1', '2'];
  const trained = await ptmz(folder, ['train', '--data', 'cifar10:data', ...settings, '--out', 'run', '--json']);
  expect(trained).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('60 + 20 images of 3 x 32 x 32') as string,
  });
  expect(JSON.parse(trained.stdout)).toMatchObject({
    ...{ data: { name: 'CIFAR-10', train: 60, test: 20 }, step: 6, finished: true },
    history: run.history,
  });

  // Where the images are is known from the run.
  const options = ['--only', 'trace', '--samples', '24', '--batch-size', '12', '--probes', '4'];
  const measured = await ptmz(folder, ['measure', 'run', ...options, '--json']);
  expect(measured).toMatchObject({ code: 0 });
  const { trace, standardError } = await hessianTrace(run, data.train, { samples: 24, batchSize: 12, probes: 4 });
  expect(JSON.parse(measured.stdout).metrics.trace.members).toMatchObject(
    trace.map((value, m) => ({ trace: value, standardError: standardError[m] })),
  );
}, 60_000);

test('a damaged batch is refused by name, before anything is written', async () => {
  const path = join(folder, 'data', 'cifar-10-batches-bin', 'data_batch_3.bin');
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, -1));
  const { code, stderr } = await ptmz(folder, ['train', '--data', 'cifar10:data', '--out', 'never', '--epochs', '1']);
  writeFileSync(path, whole);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/error: .*data_batch_3\.bin: /)]);
  expect(() => readFileSync(join(folder, 'never', 'run.json'))).toThrow('ENOENT');
});
