/** `ptmz quickstart`: the whole command in small, what it prints, and how it stops. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createProgram } from '../lib/cli/program.js';
import { formatDuration, formatNumber, formatPercent, formatTable } from '../lib/cli/table.js';

const dir = mkdtempSync(join(tmpdir(), 'ptmz-quickstart-'));
afterAll(() => rmSync(dir, { recursive: true }));

let output = '';
let messages = '';
beforeEach(() => {
  output = messages = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((output += text), true));
  vi.spyOn(console, 'log').mockImplementation((text) => void (output += `${text}\n`));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((messages += text), true));
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

const small = ['--epochs', '1', '--widths', '2', '--seeds', '5', '6'];
function quickstart(...args: string[]) {
  const program = createProgram();
  for (const command of program.commands) command.exitOverride();
  return program.parseAsync(['node', 'ptmz', 'quickstart', ...args]);
}

describe('quickstart', () => {
  test('trains, measures, prints a table and keeps the numbers', async () => {
    const out = join(dir, 'new', 'folder');
    await quickstart(...small, '--out', out);
    const lines = output.trim().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/width +seed +train loss +train acc +test loss +test acc +Hessian trace/);
    expect(lines[1]).toMatch(/^ +2 +5 +[\d.]+ +[\d.]+ % +[\d.]+ +[\d.]+ % +[\d.]+ ± [\d.]+/);
    expect(messages).toMatch(/data: (Fashion-MNIST|digits), [\d,]+ \+ [\d,]+ images/);
    expect(messages).toMatch(/training 2 networks of 11,384 parameters/);
    expect(messages).toMatch(/done after \d+ s/);
    expect(readdirSync(out)).toEqual(['quickstart.json']);
    const result = JSON.parse(readFileSync(join(out, 'quickstart.json'), 'utf8'));
    expect(result).toMatchObject({ epochs: 1, widths: [2], seeds: [5, 6], interrupted: false });
    expect(result.members).toHaveLength(2);
    expect(result.members[1]).toMatchObject({ width: 2, seed: 6, epochs: 1, divergedAt: null });
    for (const member of result.members) {
      expect(member.testAccuracy).toBeGreaterThan(0.2);
      expect(member.traceError).toBeGreaterThan(0);
    }
  }, 60_000);

  test('Ctrl-C stops it, prints what is finished and exits with 130', async () => {
    const waiting = quickstart(...small, '--epochs', '1000', '--json');
    await vi.waitFor(() => expect(messages).toMatch(/training/), { timeout: 10_000 });
    process.emit('SIGINT');
    await waiting;
    expect(process.exitCode).toBe(130);
    expect(JSON.parse(output)).toMatchObject({ interrupted: true, epochs: 1000 });
    expect(messages).toMatch(/press Ctrl-C again/);
    expect(process.listenerCount('SIGINT')).toBe(0);
  }, 30_000);

  test('refuses a folder that cannot be written to before any work', async () => {
    writeFileSync(join(dir, 'file'), '');
    await expect(quickstart('--out', join(dir, 'file'))).rejects.toMatchObject({ code: 'IO_ERROR' });
    await expect(quickstart('--out', join(dir, 'file', 'below'))).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect(messages).toBe('');
  });

  test.each([
    ['--epochs', '0'],
    ['--widths', 'two'],
    ['--seeds', '1.5'],
  ])('refuses %s %s', async (...args) => {
    await expect(quickstart(...args)).rejects.toThrow(new RegExp(`${args[0]}.*'${args[1]}'`));
  });
});

test('numbers for people', () => {
  expect([0, 1.23456, 12345.6, 123456789, 0.00001234, NaN, null].map((x) => formatNumber(x))).toEqual([
    ...['0.000', '1.235', '12346', '1.235e+8', '1.234e-5', '-', '-'],
  ]);
  expect([0.12345, null].map(formatPercent)).toEqual(['12.3 %', '-']);
  expect([6.6, 65, 7380, NaN].map(formatDuration)).toEqual(['7 s', '1 min 05 s', '2 h 03 min', '?']);
  const columns = [
    { heading: 'n', cell: (n: number) => String(n) },
    { heading: 'square', cell: (n: number) => String(n * n) },
  ];
  expect(formatTable(columns, [9, 10])).toBe(' n   square\n 9       81\n10      100');
});
