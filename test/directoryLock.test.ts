/** Directory locks: one writer at a time, in threads and processes; locks of the dead, of the unknown and of other machines. */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from 'ptmz-native';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { disk } from '../lib/formats/atomicFile.js';
import { lockDirectory } from '../lib/formats/directoryLock.js';
import { heartbeat, newOwner } from '../lib/formats/lockOwner.js';
import { startTime, startTimeOfPs } from '../lib/formats/processes.js';
import { mlp, points } from './support/models.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());
const contender = fileURLToPath(new URL('./support/lock-contender.mjs', import.meta.url));
const parent = { process: process.ppid, started: startTime(process.ppid) };
const guard = () => `${file}.takeover`;

let directory = '';
let file = '';
let count = 0;
beforeEach(() => {
  directory = join(folder, `run${count++}`);
  file = join(directory, 'ptmz.lock');
  mkdirSync(directory);
});

const put = (values: object, path = file) => writeFileSync(path, JSON.stringify({ ...newOwner(), ...values }));
const dead = spawnSync(process.execPath, ['-e', '']).pid;
const mine = () => expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ process: process.pid, thread: 0 });
/** Seconds since the last sign of life. */
const silent = (seconds: number) => {
  const then = Date.now() / 1000 - seconds;
  utimesSync(file, then, then);
};

test('one at a time; the file goes with the lock', () => {
  {
    using _ = lockDirectory(directory);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ process: process.pid, host: hostname() });
    expect(() => lockDirectory(directory)).toThrow(
      expect.objectContaining({
        code: 'BUSY',
        message: `${directory} is in use by this process, ${process.pid}`,
        hint: expect.stringContaining(file) as string,
      }),
    );
  }
  expect(existsSync(file)).toBe(false);
  using _ = lockDirectory(directory);
});

test('a process that lives is named, and its lock is taken over once it was killed', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const ended = new Promise((resolve) => child.once('close', resolve));
  put({ process: child.pid, started: startTime(child.pid!) });
  expect(() => lockDirectory(directory)).toThrow(new RegExp(`in use by process ${child.pid}$`));
  child.kill('SIGKILL');
  await ended;
  using _ = lockDirectory(directory);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ process: process.pid });
});

test('processes that come at once, to locks that dead ones left, are in one after the other', async () => {
  const contend = async () => {
    const child = spawn(process.execPath, [contender, directory, '100', String(dead)], { stdio: 'inherit' });
    return new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
  };
  expect(await Promise.all([contend(), contend(), contend(), contend()])).toEqual([0, 0, 0, 0]);
  expect(readdirSync(directory)).toEqual(['ptmz.lock']);
});

const long = 600;
describe('is taken over', () => {
  test.each<[string, () => void]>([
    ['of a dead process', () => put({ process: dead })],
    ['of this thread, which has let go', () => put({})],
    ['of an earlier process of the same number', () => put({ process: process.ppid, started: 'long ago' })],
    ['of an earlier process with the number of this one', () => put({ thread: 99, started: 'long ago' })],
    ['from before the machine started', () => put({ process: process.ppid, boot: 'earlier' })],
    ['that was never written', () => (writeFileSync(file, ''), silent(long))],
    ['that is no lock', () => (writeFileSync(file, 'null'), silent(long))],
    ['of another machine without a sign of life', () => (put({ host: 'elsewhere' }), silent(long))],
    ['of another machine with signs of life from the future', () => (put({ host: 'elsewhere' }), silent(-long))],
    ['of another container without a sign of life', () => (put({ space: 'pid:[1]' }), silent(long))],
    ['of another thread without a sign of life', () => (put({ thread: 99 }), silent(long))],
    ['of a process that cannot be told from an earlier one', () => (put({ ...parent, started: null }), silent(long))],
    ['whose takeover a dead process began', () => (put({ process: dead }), put({ process: dead }, guard()))],
  ])('one %s', (_, prepare) => {
    // Without start times there is nothing to tell two processes of one number apart by.
    if (startTime(process.pid) === null && /number|told/.test(_)) return;
    prepare();
    {
      using _ = lockDirectory(directory);
      mine();
    }
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('is respected', () => {
  test.each<[string, () => void, RegExp]>([
    ['of another thread', () => put({ thread: 99 }), /this process/],
    ['of another machine', () => put({ host: 'elsewhere', process: 7 }), /process 7 on elsewhere/],
    ['of a machine of the same name', () => put({ machine: 'another', process: dead }), /process \d+/],
    ['of another container', () => put({ space: 'pid:[1]', process: dead }), /process \d+/],
    ['that is being written', () => writeFileSync(file, ''), /an unknown process/],
    ['of a process that sleeps', () => (put(parent), silent(long)), /process \d+/],
    ['whose start is unknown', () => put({ ...parent, started: null }), /process \d+/],
    ['whose takeover is under way', () => (put({ process: dead }), put(parent, guard())), /process \d+/],
  ])('one %s', (_, prepare, message) => {
    const unknown = { machine: newOwner().machine, space: newOwner().space };
    if ((/name/.test(_) && unknown.machine === null) || (/container/.test(_) && unknown.space === null)) return;
    prepare();
    const before = readFileSync(file, 'utf8');
    expect(() => lockDirectory(directory)).toThrow(
      expect.objectContaining({ code: 'BUSY', message: expect.stringMatching(message) as string }),
    );
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
});

describe('a file system', () => {
  const failing = (code: string) =>
    vi.spyOn(disk, 'link').mockImplementation(() => {
      throw Object.assign(new Error(code), { code });
    });

  test('without links has locks all the same', () => {
    failing('EPERM');
    using _ = lockDirectory(directory);
    mine();
    expect(() => lockDirectory(directory)).toThrow('in use by this process');
    expect(readdirSync(directory)).toEqual(['ptmz.lock']);
  });

  test.each([
    ['EIO', 'IO_ERROR'],
    ['ENOSPC', 'DISK_FULL'],
  ])('that fails with %s is said to, and nothing stays', (error, code) => {
    failing(error);
    expect(() => lockDirectory(directory)).toThrow(expect.objectContaining({ code }));
    expect(readdirSync(directory)).toEqual([]);
  });
});

test('who has lost the lock is told so before it writes; a file that was removed by hand is put back', () => {
  using lock = lockDirectory(directory);
  lock.check();
  rmSync(file);
  lock.check();
  mine();
  put({ host: 'elsewhere', process: 7 });
  expect(() => lock.check()).toThrow(
    expect.objectContaining({ code: 'BUSY', message: `${directory} is in use by process 7 on elsewhere` }),
  );
});

test('signs of life come while a lock is held, and only for that one', async () => {
  const [kept, lost] = [join(directory, 'kept'), join(directory, 'lost')].map((path) => {
    mkdirSync(path);
    return join(path, 'ptmz.lock');
  }) as [string, string];
  vi.useFakeTimers();
  try {
    using _lost = lockDirectory(dirname(lost));
    using _kept = lockDirectory(dirname(kept));
    const text = readFileSync(kept, 'utf8');
    put({ host: 'elsewhere' }, lost);
    for (const path of [kept, lost]) utimesSync(path, 0, 0);
    vi.advanceTimersByTime(heartbeat);
    vi.useRealTimers();
    await vi.waitFor(() => expect(statSync(kept).mtimeMs).toBeGreaterThan(0));
    expect([readFileSync(kept, 'utf8'), statSync(lost).mtimeMs]).toEqual([text, 0]);
  } finally {
    vi.useRealTimers();
  }
});

test.skipIf(process.platform === 'win32')('ps tells when a process began, in words that stay', () => {
  const began = startTimeOfPs(process.pid)!;
  expect(Math.abs(Date.parse(`${began} UTC`) - (Date.now() - 1000 * process.uptime()))).toBeLessThan(3000);
  expect(startTimeOfPs(dead)).toBeNull();
});

test('what another one has locked meanwhile stays', () => {
  const lock = lockDirectory(directory);
  put({ host: 'elsewhere' });
  lock[Symbol.dispose]();
  expect(existsSync(file)).toBe(true);
});

test('runs: one trains and saves in a directory; the second is refused before its first step', async () => {
  const settings = { model: mlp([4, 6, 3], [4, 1, 1]), data: points(40, 4, 3, true), batchSize: 7, epochs: 2 };
  using one = prepare({ ...settings, seeds: [1] });
  using two = prepare({ ...settings, seeds: [2] });
  const training = one.train({ saveTo: directory });
  await expect(two.train({ saveTo: directory })).rejects.toMatchObject({ code: 'BUSY' });
  await expect(two.save(directory)).rejects.toMatchObject({ code: 'BUSY' });
  await training;
  expect([one.finished, two.step, existsSync(file)]).toEqual([true, 0, false]);
  await expect(two.train({ saveTo: directory })).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
  await one.save(directory);
});
