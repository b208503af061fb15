/** Checkpoints: saved and loaded they go on bit for bit; bit rot and foreign runs are refused. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digits, loadRun, prepare, prepareResNet, readSafetensors, train } from 'ptmz-native';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { loadNative } from '../lib/load.js';
import { mlp, points } from './support/models.js';
import { flipRandomBit } from './support/faults.mjs';
import { bits, data, model, savingFolder, small, thrown, visible } from './support/savedRuns.js';

const { folder, newDirectory } = savingFolder('checkpoint');
afterEach(() => void vi.restoreAllMocks());

describe('save and load', () => {
  test.each([
    ['SGD', {}],
    ['AdamW', { optimizer: 'adamw' }],
    ['float64, cosine', { dtype: 'float64', schedule: { kind: 'cosine', warmup: 3 }, nesterov: true }],
  ] as const)(
    '%s: stopped in the middle of an epoch, loaded elsewhere, it ends with the same bits',
    async (_, more) => {
      const directory = newDirectory();
      using straight = await train({ ...small, ...more });
      {
        using run = prepare({ ...small, ...more });
        const controller = new AbortController();
        const onSave = ({ step }: { step: number }) => step >= 10 && controller.abort('stop');
        const job = { saveTo: directory, saveEvery: { steps: 5 }, onSave, signal: controller.signal };
        await expect(run.train(job)).rejects.toBe('stop');
        expect(run.step).toBe(10);
      }
      using run = await loadRun(directory, { data, model });
      expect([run.step, run.warnings]).toEqual([10, []]);
      expect(run.settings).toEqual(straight.settings);
      await run.train({ saveTo: directory });
      expect(bits(run)).toEqual(bits(straight));
      using finished = await loadRun(directory, { data, model });
      await finished.train({ saveTo: directory, onSave: () => expect.fail('there was nothing to do') });
      expect(bits(finished)).toEqual(bits(straight));
      const empty = newDirectory();
      await finished.train({ saveTo: empty, onSave: () => expect.fail('there was nothing to do') });
      expect(visible(empty)).toEqual([]);
    },
  );

  test('buffers too; a ResNet on a named data set needs neither model nor data', async () => {
    const directory = newDirectory();
    const named = await digits({ train: 64, test: 20 });
    const options = { depth: 18, width: 2, data: named, batchSize: 16, epochs: 2, seeds: [3] } as const;
    using straight = prepareResNet(options);
    await straight.train({ saveTo: directory, saveEvery: { steps: 3 }, keep: 9 });
    expect(visible(directory)).toEqual([
      'epoch-000000-step-000000003',
      'epoch-000001-step-000000006',
      'epoch-000002-step-000000008',
    ]);
    using run = await loadRun(join(directory, 'epoch-000000-step-000000003'));
    expect(run.step).toBe(3);
    await run.train();
    expect(bits(run)).toEqual(bits(straight));
    const weights = readSafetensors(join(directory, 'epoch-000002-step-000000008', 'member-0.safetensors'));
    expect([...weights.get('layer1.0.conv1.weight')!.data]).toEqual([
      ...straight.stateDict(0)['layer1.0.conv1.weight']!.data,
    ]);
    expect(weights.get('bn1.num_batches_tracked')!.data[0]).toBe(8n);
  });

  test('run.save() adds a checkpoint beside the others, twice the same is one', async () => {
    const directory = newDirectory();
    using run = prepare(small);
    const first = await run.save(directory);
    expect(first).toEqual({ path: join(directory, 'epoch-000000-step-000000000'), step: 0, epoch: 0 });
    expect(await run.save(directory)).toEqual(first);
    await run.train();
    await run.save(directory);
    expect(visible(directory)).toHaveLength(2);
    using loaded = await loadRun(directory, { data, model });
    expect(loaded.finished).toBe(true);
    expect(bits(loaded)).toEqual(bits(run));
  });

  test('keep is the number that stays; the end of the training is always among them', async () => {
    const directory = newDirectory();
    using _ = await train({ ...small, saveTo: directory, saveEvery: { epochs: 3 }, keep: 1 });
    expect(visible(directory)).toEqual(['epoch-000004-step-000000024']);
  });

  test('a member that diverged is saved with its last finite numbers, and stays frozen', async () => {
    const directory = newDirectory();
    using run = await train({ ...small, lr: [1e38, 0.02], saveTo: directory, saveEvery: { steps: 4 } });
    expect(run.divergedAt[0]).not.toBeNull();
    for (const name of visible(directory))
      for (const { data } of readSafetensors(join(directory, name, 'member-0.safetensors')).values())
        expect([...data].every((x) => Number.isFinite(Number(x)))).toBe(true);
    using loaded = await loadRun(directory, { data, model });
    expect([loaded.divergedAt, bits(loaded)]).toEqual([run.divergedAt, bits(run)]);
  });

  test('numbers that are not finite never replace a checkpoint', async () => {
    const directory = newDirectory();
    using run = await train({ ...small, epochs: 1, saveTo: directory });
    const before = visible(directory);
    run.vectors.params.set(1, [NaN], 0);
    run.vectors.state.set(0, [7]); // another step, so that the name is a new one
    expect(await thrown(() => run.save(directory))).toMatchObject({
      code: 'NON_FINITE',
      message: expect.stringMatching(/member 1.*layer0\.weight\[0\] = NaN/) as string,
    });
    run.vectors.params.set(1, [0], 0);
    run.vectors.velocity.set(1, [Infinity], 2);
    expect(await thrown(() => run.save(directory))).toMatchObject({
      code: 'NON_FINITE',
      message: expect.stringMatching(/member 1.*velocity\[2\] = Infinity/) as string,
    });
    expect(visible(directory)).toEqual(before);
  });
});

describe('bit rot', () => {
  test('200 of 200 single bits are noticed; the checkpoint before is used, and that is said', async () => {
    const directory = newDirectory();
    using _ = await train({ ...small, saveTo: directory, saveEvery: { steps: 10 }, keep: 2 });
    const [, newest] = visible(directory);
    const path = join(directory, newest!);
    let noticed = 0;
    let named = 0;
    for (let i = 0; i < 200; i++) {
      const { file, restore } = flipRandomBit(path);
      using run = await loadRun(directory, { data, model });
      const error = await thrown(() => loadRun(path, { data, model }));
      expect(error.code).toBe('CHECKSUM_MISMATCH');
      // Which of the two changed cannot be known where a checksum itself did.
      if (!file.endsWith('SHA256SUMS')) expect(error.message).toContain(file);
      if (/tensor '\w/.test(error.message)) named++;
      if (run.step === 20 && run.warnings[0]!.startsWith(error.message)) noticed++;
      restore();
    }
    expect(noticed).toBe(200);
    expect(named).toBeGreaterThan(0);
  });

  test('the tensor is named; a training goes on from the checkpoint before and replaces the damaged one', async () => {
    const directory = newDirectory();
    using straight = await train({ ...small, saveTo: directory, saveEvery: { steps: 10 }, keep: 2 });
    const newest = join(directory, visible(directory)[1]!);
    const file = join(newest, 'member-1.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 4;
    writeFileSync(file, bytes);
    using run = await loadRun(directory, { data, model });
    expect(run.warnings).toEqual([
      expect.stringMatching(/member-1\.safetensors: tensor 'layer1\.bias'.*going on from/),
    ]);
    await run.train({ saveTo: directory });
    expect(bits(run)).toEqual(bits(straight));
    using again = await loadRun(directory, { data, model });
    expect([again.warnings, again.step]).toEqual([[], 24]);
  });

  test('missing files and none that is whole', async () => {
    const directory = newDirectory();
    using _ = await train({ ...small, saveTo: directory, keep: 1 });
    const [only] = visible(directory);
    rmSync(join(directory, only!, 'member-0.safetensors'));
    expect(await thrown(() => loadRun(directory, { data, model }))).toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    rmSync(join(directory, only!, 'SHA256SUMS'));
    expect(await thrown(() => loadRun(directory, { data, model }))).toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    for (const none of [newDirectory(), folder])
      expect(await thrown(() => loadRun(none))).toMatchObject({ code: 'DATA_MISSING' });
  });
});

describe('what does not belong together', () => {
  test('another model, other data, another run, an earlier moment', async () => {
    const directory = newDirectory();
    using _ = await train({ ...small, saveTo: directory });
    const load = (options: object) => thrown(() => loadRun(directory, { data, model, ...options }));
    expect(await load({ model: mlp([4, 7, 3], [4, 1, 1]) })).toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
      message: expect.stringContaining('layer0.weight [6,4] where') as string,
    });
    expect(await load({ data: points(41, 4, 3, true) })).toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
      message: expect.stringMatching(/data\.train were .*\[40,4,1,1\].*these are.*\[41,4,1,1\]/) as string,
    });
    expect(await load({ data: points(40, 4, 3) })).toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    expect(await load({ model: undefined })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await load({ data: undefined })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await load({ seeds: [] })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const mismatch = { code: 'CHECKPOINT_MISMATCH', hint: expect.stringContaining('loadRun') as string };
    using other = prepare({ ...small, seeds: [1, 3] });
    expect(await thrown(() => other.train({ saveTo: directory }))).toMatchObject(mismatch);
    using earlier = prepare(small);
    expect(await thrown(() => earlier.save(directory))).toMatchObject(mismatch);
    expect([other.step, earlier.step]).toEqual([0, 0]);
  });

  test('another build or SIMD level is told', async () => {
    const directory = newDirectory();
    using _ = await train({ ...small, saveTo: directory });
    const info = loadNative().info();
    vi.spyOn(loadNative(), 'info').mockReturnValue({ ...info, simd: { ...info.simd, used: 'another' } });
    using run = await loadRun(directory, { data, model });
    expect(run.warnings).toEqual([expect.stringMatching(/simd was '\w+' and is 'another'; results may differ/)]);
  });

  test.each<[string, object, RegExp]>([
    ['an unknown unit', { saveTo: 'x', saveEvery: { minutes: 1 } }, /saveEvery/],
    ['two units', { saveTo: 'x', saveEvery: { steps: 1, epochs: 1 } }, /saveEvery/],
    ['no steps', { saveTo: 'x', saveEvery: { steps: 0 } }, /saveEvery\.steps.*0/],
    ['nothing kept', { saveTo: 'x', keep: 0 }, /keep.*0/],
    ['an empty name', { saveTo: '' }, /saveTo/],
    ['no directory', { keep: 2 }, /keep.*saveTo/],
    ['no function', { saveTo: 'x', onSave: 1 }, /onSave/],
    ['no function when full', { saveTo: 'x', onDiskFull: 1 }, /onDiskFull/],
    ['an unknown answer', { saveTo: 'x', whenDiskFull: 'retry' }, /whenDiskFull.*'retry'/],
  ])('refused: %s', async (_, options, message) => {
    using run = prepare(small);
    const error = await thrown(() => run.train(options));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) as string });
    expect(existsSync('x')).toBe(false);
  });
});
