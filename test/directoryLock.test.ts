/** Directory locks: one writer at a time, in threads and processes; locks of the dead, of the unknown and of other machines. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepare } from 'ptmz-native';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { lockDirectory } from '../lib/formats/directoryLock.js';
import { startTime } from '../lib/formats/processes.js';
import { mlp, points } from './support/models.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));

let directory = '';
let file = '';
let count = 0;
beforeEach(() => {
  directory = join(folder, `run${count++}`);
  file = join(directory, 'ptmz.lock');
  mkdirSync(directory);
});

const owner = (values: object) => ({
  ...{ host: hostname(), process: process.pid, started: startTime(process.pid), thread: 0, number: 0, ...values },
});
const put = (values: object) => writeFileSync(file, JSON.stringify(owner(values)));
const dead = spawnSync(process.execPath, ['-e', '']).pid;

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

describe('is taken over', () => {
  test.each([
    ['of a dead process', () => put({ process: dead })],
    ['of this thread, which has let go', () => put({ thread: 0, number: -1 })],
    ['that was never written', () => writeFileSync(file, '')],
    ['that is no lock', () => writeFileSync(file, '{"host')],
    [
      'of another machine without a sign of life',
      () => {
        put({ host: 'elsewhere' });
        utimesSync(file, 0, 0);
      },
    ],
  ])('one %s', (_, prepare) => {
    prepare();
    {
      using _ = lockDirectory(directory);
      expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ process: process.pid, host: hostname() });
    }
    expect(existsSync(file)).toBe(false);
  });

  test('one of an earlier process of the same number, where the system tells when a process began', () => {
    put({ process: process.ppid, started: 'long ago' });
    if (startTime(process.ppid) === null) return expect(startTime(process.pid)).toBeNull();
    using _ = lockDirectory(directory);
  });
});

test.each([
  ['another thread', { thread: 99 }, /this process/],
  ['another machine', { host: 'elsewhere', process: 7 }, /process 7 on elsewhere/],
])('one of %s is respected', (_, values, message) => {
  put(values);
  expect(() => lockDirectory(directory)).toThrow(message);
  expect(existsSync(file)).toBe(true);
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
