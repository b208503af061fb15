/** Checkpoints: resume bit for bit after kill -9 and power cuts, full disks, failing calls, bit rot, foreign runs, Ctrl-C. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  digits,
  DiskFullError,
  loadRun,
  prepare,
  prepareResNet,
  readSafetensors,
  train,
  type PtmzError,
  type Run,
} from 'ptmz-native';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { disk, removeOrphans } from '../lib/formats/atomicFile.js';
import { loadNative } from '../lib/load.js';
import { mlp, points } from './support/models.js';
import { killTrial, powerCutTrial, stopTrial, summary, wholeTraining, whyNoPowerCuts } from './support/crashes.mjs';
import { wrongOrder } from '../scripts/reliability/d2-syscalls.mjs';
import { failNthCall, fillDisk, flipRandomBit } from './support/faults.mjs';
import { whyNoMounts } from './support/mounts.mjs';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-checkpoint-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => void vi.restoreAllMocks());

let count = 0;
const newDirectory = () => join(folder, `run${count++}`);
const visible = (directory: string) => readdirSync(directory).sort();

/** Every number of a run, to be compared bit by bit. */
const bits = (run: Run) => ({
  tensors: run.seeds.map((_, m) => Object.entries(run.stateDict(m)).map(([name, { data }]) => [name, [...data]])),
  state: Object.values(run.vectors as unknown as Record<string, Run['vectors']['params'] | null>).map(
    (vector) => vector && Array.from({ length: vector.rows }, (_, row) => [...vector.toArray(row)]),
  ),
  history: run.history,
  step: run.step,
});

const data = points(40, 4, 3, true);
const model = mlp([4, 6, 3], [4, 1, 1]);
const small = { model, data, batchSize: 7, epochs: 4, seeds: [1, 2], lr: [0.1, 0.02] };
const thrown = async (work: () => unknown): Promise<PtmzError> => {
  try {
    await work();
  } catch (error) {
    return error as PtmzError;
  }
  throw new Error('expected an error');
};

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

describe('crashes', () => {
  const reference = async (settings: string[]) => {
    const whole = await wholeTraining([newDirectory(), ...settings]);
    expect(whole.sha).toMatch(/^[0-9a-f]{64}$/);
    return whole;
  };

  test(
    'kill -9 at 10 random moments: nothing lost or torn, the same bits at the end',
    { timeout: 120_000 },
    async () => {
      const settings = ['3', '1'];
      const whole = await reference(settings);
      const outcomes = [];
      for (let i = 0; i < 10; i++) outcomes.push(await killTrial(whole, settings));
      expect(summary(outcomes)).toMatchObject({ trials: 10, lost: 0, torn: 0, equal: 10 });
    },
  );

  test('20 power cuts: nothing lost or torn, the same bits at the end', { timeout: 240_000 }, async (context) => {
    const reason = whyNoPowerCuts();
    if (reason !== undefined) {
      expect(reason).toMatch(/Linux|root|mkfs|mount/);
      console.warn(`power cuts are not simulated: ${reason}`);
      return context.skip(reason);
    }
    const settings = ['1', '1'];
    const whole = await reference(settings);
    const outcomes = [];
    for (let i = 0; i < 20; i++) outcomes.push(await powerCutTrial(whole, settings));
    expect(summary(outcomes)).toMatchObject({ trials: 20, lost: 0, torn: 0, equal: 20 });
  });

  test('SIGINT and SIGTERM, once and twice: 130 or 143, a valid directory, the same bits at the end', async () => {
    const settings = ['3', '2'];
    const whole = await reference(settings);
    for (const [signal, exit] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      for (const twice of [false, true]) {
        const { finished, code, ...state } = await stopTrial(whole, { signal, twice, settings });
        if (!finished) expect(code).toBe(exit);
        expect(state).toMatchObject({ lost: false, torn: 0, equal: true });
      }
    }
  });

  test('flushed before it is renamed, and the name before it is reported: what strace saw, whole and cut short', () => {
    const save = (...without: string[]) =>
      [
        '7 openat(AT_FDCWD, "/r/.e.tmp/a", O_WRONLY|O_CREAT|O_EXCL, 0666) = 20</r/.e.tmp/a>',
        '7 fsync(20</r/.e.tmp/a> <unfinished ...>',
        '8 write(5, "x", 1) = 1',
        '7 <... fsync resumed>) = 0',
        '7 fsync(20</r/.e.tmp>) = 0',
        '7 rename("/r/.e.tmp", "/r/epoch-1-step-1") = 0',
        '7 fsync(20</r>) = 0',
        '7 write(1</p>, "ACK epoch-1-step-1 1\\n", 21) = 21',
      ]
        .filter((line) => !without.some((part) => line.includes(part)))
        .join('\n');
    expect(wrongOrder(save())).toEqual({ saves: 1, wrong: [] });
    expect(wrongOrder(save('fsync(20</r/.e.tmp/a>', 'resumed')).wrong).toEqual([
      expect.stringMatching(/tmp\/a was renamed/),
      expect.stringMatching(/acknowledged/),
    ]);
    expect(wrongOrder(save('fsync(20</r/.e.tmp>')).wrong[0]).toMatch(/\.tmp was renamed/);
    expect(wrongOrder(save('fsync(20</r>')).wrong).toEqual(['/r was acknowledged before its fsync']);
  });

  test('temporaries of killed writers go at the next start; other files stay', () => {
    const directory = newDirectory();
    mkdirSync(directory);
    const dead = spawnSync(process.execPath, ['-e', 'console.log(process.pid + "-" + os.hostname())'], {
      encoding: 'utf8',
    }).stdout.trim();
    const [pid, host] = [dead.slice(0, dead.indexOf('-')), dead.slice(dead.indexOf('-') + 1)];
    const names = [
      `.a.${host}-${pid}-0.tmp`,
      `.b.${host}-${process.ppid}-0.tmp`,
      '.c.elsewhere-1-0.tmp',
      '.d.tmp',
      'e',
    ];
    names.forEach((name) => writeFileSync(join(directory, name), ''));
    removeOrphans(directory);
    expect(visible(directory)).toEqual(names.slice(1).sort());
  });
});

describe('the disk', () => {
  test('a full one: DISK_FULL with sizes, the older checkpoint is whole', { timeout: 60_000 }, async (context) => {
    const reason = whyNoMounts();
    if (reason !== undefined) {
      expect(reason).toMatch(/Linux|root|mount/);
      console.warn(`full disks are not tried: ${reason}`);
      return context.skip(reason);
    }
    const mount = newDirectory();
    mkdirSync(mount);
    using run = await train({ ...small, epochs: 1 });
    const expected = bits(run);
    // Of one checkpoint and a part of the next.
    const need = readdirSync((await run.save(newDirectory())).path).length * 4096 + 12_000;
    let full = 0;
    for (let i = 0; i < 10; i++) {
      const size = `size=${need + i * 4096}`;
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'none', mount]).status).toBe(0);
      try {
        using half = prepare(small);
        await half.save(mount);
        const before = visible(mount);
        const job = { saveTo: mount, saveEvery: { steps: 5 }, keep: 100, whenDiskFull: 'throw' } as const;
        const error = await half.train(job).then(
          () => undefined,
          (error: PtmzError) => error,
        );
        if (!error) continue;
        full++;
        if (!(error instanceof DiskFullError)) throw error;
        expect(error).toMatchObject({
          code: 'DISK_FULL',
          message: expect.stringMatching(/\/run\d+.*no space left in \w+ .*bytes needed, \d+ free/) as string,
        });
        expect(error.free).toBeLessThan(error.needed!);
        expect(visible(mount)).toEqual(expect.arrayContaining(before));
        expect(visible(mount).filter((name) => name.startsWith('.'))).toEqual([]);
        using loaded = await loadRun(mount, { data, model });
        expect(loaded.warnings).toEqual([]);
        await loaded.train();
        using straight = await train(small);
        expect(bits(loaded)).toEqual(bits(straight));
      } finally {
        spawnSync('umount', [mount]);
      }
    }
    expect(full).toBeGreaterThan(0);
    expect(bits(run)).toEqual(expected);
  });

  describe('full for a while', () => {
    let free: () => void;
    beforeEach(() => void (free = fillDisk(disk)));
    afterEach(() => free());

    test('the training pauses, says so once, and ends with the same bits', async () => {
      const [directory, events] = [newDirectory(), [] as string[]];
      using run = await train({
        ...small,
        saveTo: directory,
        saveEvery: { steps: 12 },
        onSave: ({ step }) => events.push(`saved ${step}`),
        onDiskFull: (error) => {
          expect(error).toMatchObject({ code: 'DISK_FULL', needed: expect.any(Number) as number });
          events.push('full');
          setTimeout(free, 700); // longer than one look at the disk
        },
      });
      expect(events).toEqual(['full', 'saved 12', 'saved 24']);
      using straight = await train(small);
      using loaded = await loadRun(directory, { data, model });
      expect([bits(run), bits(loaded)]).toEqual([bits(straight), bits(straight)]);
    });

    test('nobody listening: the process warns', async () => {
      const warned = vi.spyOn(process, 'emitWarning').mockImplementation(free);
      using _ = await train({ ...small, epochs: 1, saveTo: newDirectory() });
      expect(warned.mock.calls).toEqual([[expect.stringMatching(/pauses until/), { code: 'DISK_FULL' }]]);
    });

    test('an abort ends the pause with DISK_FULL; the run keeps its steps and can be saved elsewhere', async () => {
      const [directory, elsewhere] = [newDirectory(), newDirectory()];
      const controller = new AbortController();
      using run = prepare(small);
      const job = { saveTo: directory, signal: controller.signal, onDiskFull: () => controller.abort() };
      expect(await thrown(() => run.train(job))).toMatchObject({ code: 'DISK_FULL' });
      expect([run.step, visible(directory)]).toEqual([6, []]);
      free();
      expect(await run.save(elsewhere)).toMatchObject({ step: 6 });
    });

    test('whenDiskFull: throw ends it with DISK_FULL', async () => {
      const onDiskFull = vi.fn();
      const job = { ...small, saveTo: newDirectory(), whenDiskFull: 'throw', onDiskFull } as const;
      expect(await thrown(() => train(job))).toMatchObject({ code: 'DISK_FULL' });
      expect(onDiskFull).not.toHaveBeenCalled();
    });
  });

  test.each([
    ['EIO', 'IO_ERROR'],
    ['ENOSPC', 'DISK_FULL'],
    ['EROFS', 'NOT_WRITABLE'],
  ])('%s in the n-th call is %s with path and call, and nothing is lost, for every n', async (code, expected) => {
    let failed = 0;
    for (let n = 1; ; n++) {
      const directory = newDirectory();
      using run = prepare({ ...small, epochs: 1 });
      await run.save(directory);
      const [first] = visible(directory);
      const fault = failNthCall(disk, n, code);
      const error = await run.train({ saveTo: directory, keep: 1, whenDiskFull: 'throw' }).then(
        () => undefined,
        (error: PtmzError) => error,
      );
      fault.restore();
      if (fault.failed === undefined) break;
      failed++;
      expect(error).toMatchObject({ code: expected, message: expect.stringContaining(directory) as string });
      expect(error!.message).toContain(fault.failed);
      using loaded = await loadRun(directory, { data, model });
      expect(loaded.warnings).toEqual([]);
      removeOrphans(directory);
      expect(visible(directory).every((name) => name.startsWith('epoch-'))).toBe(true);
      expect(visible(directory).length).toBeGreaterThan(0);
      expect(loaded.step === 0 ? visible(directory) : [first]).toContain(first);
    }
    expect(failed).toBeGreaterThan(30);
  });

  test('writes that take only a part of their bytes are gone on with', async () => {
    for (let n = 1; ; n++) {
      const directory = newDirectory();
      const fault = failNthCall(disk, n, 'SHORT');
      using run = await train({ ...small, epochs: 1, saveTo: directory });
      fault.restore();
      using loaded = await loadRun(directory, { data, model });
      expect([loaded.warnings, bits(loaded)]).toEqual([[], bits(run)]);
      if (fault.failed === undefined) break;
    }
  });

  test('a directory that cannot be one is refused before any training', async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    using run = prepare(small);
    for (const path of [file, join(file, 'below')]) {
      expect(await thrown(() => run.train({ saveTo: path }))).toMatchObject({ code: 'NOT_WRITABLE' });
      expect(await thrown(() => run.save(path))).toMatchObject({ code: 'NOT_WRITABLE' });
    }
    expect(run.step).toBe(0);
    if (whyNoMounts() !== undefined) return;
    const mount = newDirectory();
    mkdirSync(mount);
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'none', mount]);
    try {
      expect(await thrown(() => run.save(mount))).toMatchObject({ code: 'NOT_WRITABLE' });
      expect(await thrown(() => run.save(join(mount, 'below')))).toMatchObject({ code: 'NOT_WRITABLE' });
    } finally {
      spawnSync('umount', [mount]);
    }
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

describe('Ctrl-C', () => {
  test('an aborted signal saves the last whole step first; from there the run ends as if nothing had been', async () => {
    const named = await digits({ train: 200, test: 20 });
    const options = { depth: 18, width: 2, data: named, batchSize: 8, epochs: 12, seeds: [0] } as const;
    using straight = prepareResNet(options);
    await straight.train();
    const directory = newDirectory();
    const controller = new AbortController();
    using run = prepareResNet(options);
    const onProgress = ({ step }: { step: number }) => step > 3 && controller.abort('Ctrl-C');
    const job = { saveTo: directory, saveEvery: { epochs: 12 }, signal: controller.signal, onProgress };
    await expect(run.train(job)).rejects.toBe('Ctrl-C');
    expect(run.step).toBeGreaterThan(3);
    expect(visible(directory)).toEqual([expect.stringMatching(new RegExp(`step-0*${run.step}$`))]);
    using resumed = await loadRun(directory, { data: named });
    expect(resumed.step).toBe(run.step);
    await resumed.train();
    expect(bits(resumed)).toEqual(bits(straight));
  });

  test('a copy of the directory is as good', async () => {
    const [directory, copy] = [newDirectory(), newDirectory()];
    using run = await train({ ...small, saveTo: directory });
    cpSync(directory, copy, { recursive: true });
    using loaded = await loadRun(copy, { data, model });
    expect(bits(loaded)).toEqual(bits(run));
  });
});
