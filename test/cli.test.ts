/** The command line in this process: help, doctor, and how errors are printed. */
import cliProgress from 'cli-progress';
import { afterEach, expect, test, vi } from 'vitest';
import { shellWord } from '../lib/cli/options.js';
import { createProgram } from '../lib/cli/program.js';
import { createProgress } from '../lib/cli/progress.js';
import { reportError } from '../lib/cli/reportError.js';
import { alignPairs, formatCount, formatList } from '../lib/cli/table.js';
import { PtmzError } from '../lib/index.js';

afterEach(() => vi.restoreAllMocks());

/** What a function prints to a stream of the console. */
async function printed(stream: 'log' | 'error', action: () => unknown): Promise<string> {
  const spy = vi.spyOn(console, stream).mockImplementation(() => {});
  await action();
  return spy.mock.calls.flat().join('\n');
}

test('every command has a name of its own and a description', () => {
  const { commands } = createProgram();
  const names = commands.map((command) => command.name());
  expect(names).toEqual(expect.arrayContaining(['quickstart', 'train', 'measure', 'doctor', 'build']));
  expect(new Set(names).size).toBe(names.length);
  for (const command of commands) expect(command.description()).not.toBe('');
});

test('doctor names versions, CPU, BLAS, devices and data sets', async () => {
  const text = await printed('log', () => createProgram().parseAsync(['doctor'], { from: 'user' }));
  for (const name of ['ptmz-native', 'Node', 'system', 'CPU', 'memory', 'addon', 'SIMD', 'BLAS', 'threads'])
    expect(text).toMatch(new RegExp(`^${name} `, 'm'));
  expect(text).toMatch(/^device cpu +available$/m);
  expect(text).toMatch(/^data digits +found$/m);
});

test('doctor --json is one JSON document with the same facts', async () => {
  const text = await printed('log', () => createProgram().parseAsync(['doctor', '--json'], { from: 'user' }));
  const report = JSON.parse(text);
  expect(report).toMatchObject({ node: process.versions.node, addon: { loaded: true }, libc: expect.any(String) });
  expect(report.cpu.simdAvailable).toContain(report.cpu.simdUsed);
  expect(report.cpu.simdAvailable).toContain('portable');
  expect(report.threads).toBeGreaterThan(0);
  // Those that are looked for without being told where.
  expect(report.data.map(({ name }: { name: string }) => name)).toEqual(['digits', 'Fashion-MNIST']);
  for (const device of report.devices) if (!device.available) expect(device.reason).not.toBe('');
});

test('an error is printed with its hint and without a stack', async () => {
  const error = new PtmzError('DATA_MISSING', 'There is no data set here', { hint: 'Get one' });
  expect(await printed('error', () => reportError(error))).toBe('error: There is no data set here\n  Get one');
});

test('a fault of our own is printed with its stack', async () => {
  expect(await printed('error', () => reportError(new TypeError('x is not a function')))).toContain('cli.test.ts');
});

test('a stopped run is no error', async () => {
  expect(await printed('error', () => reportError(new DOMException('stopped', 'AbortError')))).toBe('stopped');
});

test('a few numbers are listed, many become a range', () => {
  expect(formatList([0.5, NaN])).toBe('0.500 -');
  expect(formatList([3, 1, NaN, 2, 5])).toBe('1.00 to 5.00');
  expect(formatList(new Array<number>(5).fill(NaN))).toBe('-');
});

test('a word is quoted for the shell where it needs to be', () => {
  expect(['runs/a-b_1', 'a b', "it's"].map(shellWord)).toEqual(['runs/a-b_1', "'a b'", "'it'\\''s'"]);
});

test('a count has its noun in the singular or plural', () => {
  expect([formatCount(1, 'seed'), formatCount(4000, 'image')]).toEqual(['1 seed', '4,000 images']);
});

test('a bar makes way for a note and comes back with the next update; a stopped one stays away', () => {
  const events: string[] = [];
  const { isTTY } = process.stderr;
  vi.spyOn(cliProgress.SingleBar.prototype, 'start').mockImplementation(() => void events.push('start'));
  vi.spyOn(cliProgress.SingleBar.prototype, 'update').mockImplementation(() => void events.push('update'));
  vi.spyOn(cliProgress.SingleBar.prototype, 'stop').mockImplementation(() => void events.push('stop'));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => events.push(String(text)) > 0);
  process.stderr.isTTY = true;
  try {
    const progress = createProgress();
    progress.begin('work');
    progress.update(0.1, 1, '');
    progress.note('a note');
    progress.note('another');
    progress.update(0.2, 1, '');
    progress.stop();
    progress.update(0.3, 1, '');
    progress.end('done');
  } finally {
    process.stderr.isTTY = isTTY;
  }
  expect(events).toEqual([
    ...['start', 'update', 'stop', 'a note\n', 'another\n', 'start', 'update', 'stop', 'work: done\n'],
  ]);
});

test('values of several lines stay aligned', () => {
  expect(
    alignPairs([
      ['a', 'one\ntwo'],
      ['name', 'three'],
    ]),
  ).toBe('a     one\n      two\nname  three');
});
