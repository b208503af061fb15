/** The checks of a machine with a GPU, run on this device: all of them pass, and the JSON that they leave is whole. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ptmz-gpu-check-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface GpuReport {
  quick: boolean;
  seconds: number;
  package: unknown;
  devices: { name: string; available: boolean; detail: string }[];
  checks: { name: string; passed: boolean }[];
  skipped: string[];
  timings: { what: string; members: number; perSecond: number }[];
  races: { ceilings: { ours: Record<string, number> } };
}

test('scripts/gpu-check.sh', () => {
  const out = join(folder, 'gpu.json');
  const args = ['--oracle', 'test/oracle/fixtures', '--out', out, '--quick'];
  const { status, stdout, stderr } = spawnSync('scripts/gpu-check.sh', args, { cwd: root, encoding: 'utf8' });
  expect(`${status}\n${status === 0 ? '' : stdout + stderr}`).toBe('0\n');
  const report = JSON.parse(readFileSync(out, 'utf8')) as GpuReport;
  expect(report.checks.filter(({ passed }) => !passed)).toEqual([]);
  expect(report.devices).toContainEqual(expect.objectContaining({ name: 'cuda:0', available: true }));
  expect(report).toMatchObject({
    quick: true,
    seconds: expect.any(Number) as number,
    package: expect.anything() as object,
  });
  const names = report.checks.map(({ name }) => name).join('\n');
  for (const kind of [
    /oracle, ops/,
    /float32: hvp/,
    /without graphs/,
    /in chunks/,
    /blocks share/,
    /training, .* against the CPU/,
  ])
    expect(names).toMatch(kind);
  for (const cut of [
    'again',
    'without graphs',
    'stopped twice and gone on',
    'one member at a time',
    'beside others',
    'every member alone',
    'tokens of a file as a whole',
    'tokens of a file in windows',
  ])
    expect(names).toContain(`training, ${cut}: the same bits`);
  expect(report.timings.map(({ members }) => members)).toEqual([1, 1, 3, 3]);
  expect(report.timings.every(({ what, perSecond }) => what.length > 0 && perSecond > 0)).toBe(true);
  expect(Object.values(report.races.ceilings.ours).every(Number.isFinite)).toBe(true);
}, 300_000);

test('scripts/gpu-check.sh --convolutions: every way over the same layers, every order of images over a step', () => {
  const out = join(folder, 'convolutions.json');
  const args = ['--convolutions', '--quick', '--time', '1', '--members', '2', '--out', out];
  const { status, stdout, stderr } = spawnSync('scripts/gpu-check.sh', args, { cwd: root, encoding: 'utf8' });
  expect(`${status}\n${status === 0 ? '' : stdout + stderr}`).toBe('0\n');
  type Times = { ms: Record<string, number> };
  const report = JSON.parse(readFileSync(out, 'utf8')) as { rows: ({ kind: string } & Times)[]; steps: Times[] };
  expect(report.rows.map(({ kind }) => kind)).toEqual(['y', 'dx', 'dw']);
  for (const { ms } of report.rows) expect(Object.keys(ms)).toEqual(['chosen', 'tiles', 'narrow', 'columns']);
  expect(report.steps.map(({ ms }) => Object.keys(ms))).toEqual([['outermost', 'last', 'lastFrom64']]);
  for (const { ms } of [...report.rows, ...report.steps])
    expect(Object.values(ms).every((time) => time > 0)).toBe(true);
}, 120_000);

test('scripts/gpu-check.sh --races: what there is without PyTorch, tried on the CPU', () => {
  const out = join(folder, 'races.json');
  const rows = ['ceilings', 'G4', 'G2'].flatMap((row) => ['--rows', row]);
  const args = ['--races', '--device', 'cpu', '--quick', '--time', '1', '--rounds', '1', ...rows, '--out', out];
  const env = { ...process.env, PTMZ_PYTHON: 'no-such-python' };
  const { status, stdout, stderr } = spawnSync('scripts/gpu-check.sh', args, { cwd: root, encoding: 'utf8', env });
  expect(`${status}\n${status === 0 ? '' : stdout + stderr}`).toBe('0\n');
  const report = JSON.parse(readFileSync(out, 'utf8')) as {
    ceilings: { ours: Record<string, number> };
    rows: { row: string; ours: number; peer: number | null }[];
    skipped: string[];
  };
  expect(report.skipped).toEqual([expect.stringContaining('no-such-python has no PyTorch')]);
  expect(Object.values(report.ceilings.ours).every(Number.isFinite)).toBe(true);
  expect(report.rows.map(({ row }) => row)).toEqual(['G4', 'G2']);
  expect(report.rows.every(({ ours }) => ours > 0)).toBe(true);
}, 120_000);
