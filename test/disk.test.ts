/** The disk of a run that is saved: full, failing in every call, unwritable, or with leftovers of the dead. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiskFullError, loadRun, prepare, train, type PtmzError } from 'ptmz-native';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { disk, removeOrphans } from '../lib/formats/atomicFile.js';
import { failNthCall, fillDisk } from './support/faults.mjs';
import { whyNoMounts } from './support/mounts.mjs';
import { bits, data, model, savingFolder, small, thrown, visible } from './support/savedRuns.js';

const { folder, newDirectory } = savingFolder('disk');
afterEach(() => void vi.restoreAllMocks());

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
