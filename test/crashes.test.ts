/** Crashes: kill -9, power cuts, signals and Ctrl-C; every run goes on from its last checkpoint, bit for bit. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digits, loadRun, prepareResNet, train } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { removeOrphans } from '../lib/formats/atomicFile.js';
import { killTrial, powerCutTrial, stopTrial, summary, wholeTraining, whyNoPowerCuts } from './support/crashes.mjs';
import { wrongOrder } from '../scripts/reliability/d2-syscalls.mjs';
import { bits, data, model, savingFolder, small, visible } from './support/savedRuns.js';

const { newDirectory } = savingFolder('crashes');

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
