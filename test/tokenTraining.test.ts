/** Training on tokens that stay in their files: the same bits as in memory, no memory, and files that change. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evaluate, hessianTrace, loadRun, text, tokens, trainGPT2, type PtmzError } from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';
import { loadNative } from '../lib/load.js';
import { ptmz } from './support/cli.js';

const root = mkdtempSync(join(tmpdir(), 'ptmz-token-training-'));
afterAll(() => rmSync(root, { recursive: true }));
const train = Uint16Array.from({ length: 1200 }, (_, i) => (i * i + 5 * (i >> 3)) % 11);
const val = Uint16Array.from({ length: 150 }, (_, i) => (i * i) % 11);
const meta = '{"vocabulary": 11}';

let folders = 0;
function folder(files: Record<string, Uint16Array | string>): string {
  const dir = join(root, `text${folders++}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return dir;
}

const network = { dim: 12, heads: 2, depth: 1, batchSize: 16, seeds: [0, 1] } as const;

test.each([
  ['windows side by side', undefined],
  ['windows that overlap', 5],
])(
  '%s train to the same bits as those of text()',
  async (_, stride) => {
    using files = await tokens(folder({ 'train.bin': train, 'val.bin': val, 'meta.json': meta }));
    const data = files.windows({ block: 8, ...(stride && { stride }) });
    const resident = text({ tokens: train, test: val, block: 8, vocab: 11, ...(stride && { stride }) });
    expect([data.train.count, data.test!.count, data.classes]).toEqual([
      resident.train.count,
      resident.test!.count,
      11,
    ]);
    using streamed = await trainGPT2({ ...network, data, epochs: 2, threads: 2 });
    using whole = await trainGPT2({ ...network, data: resident, epochs: 2, threads: 1 });
    expect(streamed.history).toEqual(whole.history);
    for (const m of [0, 1]) expect(streamed.stateDict(m)).toEqual(whole.stateDict(m));
    expect(await evaluate(streamed, data.test!)).toEqual(await evaluate(whole, resident.test!));
    const measure = { probes: 3, samples: 20 };
    expect(await hessianTrace(streamed, data.train, measure)).toEqual(
      await hessianTrace(whole, resident.train, measure),
    );
  },
  30_000,
);

test('windows of a file take no memory of their own, however long it is', async () => {
  const long = folder({ 'train.bin': new Uint16Array(0), 'meta.json': meta });
  // Holes are zeros that take no space: 2 GiB, of which nothing is read.
  truncateSync(join(long, 'train.bin'), 2 ** 31);
  using files = await tokens(long);
  const before = loadNative().nativeBytes();
  const { count } = files.train.windows({ block: 1024 });
  expect(count).toBe(Math.floor((2 ** 30 - 1 - 1024) / 1024) + 1);
  expect(loadNative().nativeBytes()).toBe(before);
  expect(() => files.train.windows({ block: 8, count: 2 ** 30 })).toThrow(/count/);
});

test('the hash of a file is computed in pieces, and stopped by a signal', async () => {
  const bytes = new Uint8Array(40_000_000);
  bytes.fill(1, 100, 200);
  const dir = folder({ 'meta.json': meta });
  writeFileSync(join(dir, 'train.bin'), bytes);
  using files = await tokens(dir, { vocabulary: 65_536 });
  const seen: number[] = [];
  const abort = new AbortController();
  const stopped = files.train.hash({
    signal: abort.signal,
    onProgress: (done) => {
      seen.push(done);
      abort.abort('enough');
    },
  });
  await expect(stopped).rejects.toBe('enough');
  expect(seen).toEqual([2 ** 23]);
  const all: number[] = [];
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  expect(await files.train.hash({ onProgress: (done) => all.push(done) })).toBe(sha256);
  expect(all).toEqual([2 ** 23, 2 ** 24, 20_000_000]);
  expect(files.train.digest()).toBe(sha256);
  await files.train.hash({ onProgress: () => expect.fail('it is known') });
});

test('a run is resumed with the same files alone', async () => {
  const dir = folder({ 'train.bin': train, 'val.bin': val, 'meta.json': meta });
  const saveTo = join(root, 'run');
  using files = await tokens(dir);
  const data = files.windows({ block: 8 });
  using straight = await trainGPT2({ ...network, data, epochs: 2 });
  using half = await trainGPT2({ ...network, data, epochs: 2, until: 7, saveTo });
  expect(half.finished).toBe(false);
  using resumed = await loadRun(saveTo, { data });
  await resumed.train();
  expect(resumed.stateDict(1)).toEqual(straight.stateDict(1));
  using others = await tokens(
    folder({ 'train.bin': train.map((token) => (token + 1) % 11), 'val.bin': val, 'meta.json': meta }),
  );
  await expect(loadRun(saveTo, { data: others.windows({ block: 8 }) })).rejects.toMatchObject({
    code: 'CHECKPOINT_MISMATCH',
  });
  await expect(loadRun(saveTo, { data: files.windows({ block: 8, stride: 4 }) })).rejects.toMatchObject({
    code: 'CHECKPOINT_MISMATCH',
  });
}, 30_000);

describe('what goes wrong says which file', () => {
  const failing = async (files: Record<string, Uint16Array | string>, change: (dir: string) => void = () => {}) => {
    const dir = folder(files);
    using opened = await tokens(dir);
    const data = opened.windows({ block: 8 });
    change(dir);
    return trainGPT2({ ...network, data, epochs: 1 }).then(
      () => expect.fail('it trained'),
      (error: unknown) => error as PtmzError,
    );
  };

  test('a token beyond the vocabulary', async () => {
    const error = await failing({ 'train.bin': train.with(700, 11), 'meta.json': meta });
    expect(error).toMatchObject({ code: 'INDEX_OUT_OF_RANGE' });
    expect(error.message).toMatch(/train\.bin: token 11 at 700 is not in 0\.\.10/);
  });

  test('a file that has gone, or has become shorter', async () => {
    const files = { 'train.bin': train, 'meta.json': meta };
    const gone = await failing(files, (dir) => rmSync(join(dir, 'train.bin')));
    expect(gone).toMatchObject({
      code: 'IO_ERROR',
      message: expect.stringMatching(/train\.bin could not be read/) as string,
    });
    const shorter = await failing(files, (dir) => truncateSync(join(dir, 'train.bin'), 100));
    expect(shorter).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(shorter.message).toMatch(/fewer tokens than the samples need/);
  });

  test('sizes that do not fit', async () => {
    using files = await tokens(folder({ 'train.bin': train, 'meta.json': meta }));
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error;
    expect(() => files.train.windows({ block: 0 })).toThrow(refused);
    expect(() => files.train.windows({ block: 1200 })).toThrow(/less than the 1200 tokens of .*train\.bin for block/);
    expect(() => files.train.windows({ block: 8, stride: 0 })).toThrow(/stride/);
    expect(() => files.train.windows({ block: 8, count: 150 })).toThrow(/between 1 and 149 for count/);
    expect(() => files.windows({ block: 8, windows: 3 } as never)).toThrow(/windows/);
  });
});

test('ptmz train and ptmz measure read them', async () => {
  folder({ 'train.bin': train, 'val.bin': val, 'meta.json': meta });
  const args = ['--data', `tokens:text${folders - 1}`, '--block', '8', '--train-samples', '40', '--test-samples', '9'];
  const trained = await ptmz(root, [
    ...[
      'train',
      '--model',
      'gpt2',
      ...args,
      '--dim',
      '12',
      '--heads',
      '2',
      '--depth',
      '1',
      '--epochs',
      '1',
      '--out',
      'cli',
    ],
    '--json',
  ]);
  expect(JSON.parse(trained.stdout)).toMatchObject({ data: { train: 40, test: 9, classes: 11 }, finished: true });
  expect(trained.stderr).toContain('40 + 9 windows of 8 tokens, 11 different');
  const measured = await ptmz(root, ['measure', 'cli', '--only', 'trace', '--probes', '2', '--split', 'test']);
  expect(measured).toMatchObject({ code: 0, stderr: expect.stringContaining('trace on 9 windows') as string });
}, 30_000);
