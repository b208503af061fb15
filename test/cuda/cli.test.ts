/** `--device cuda` on the command line: training, going on, measuring, and devices that are not there. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ptmz } from '../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cuda-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

const small = ['--data', 'digits', '--train-samples', '24', '--test-samples', '8', '--width', '2', '--batch-size', '8'];
const begin = ['train', ...small, '--epochs', '2', '--seeds', '0', '5', '--dtype', 'float64', '--json'];
const cuda = ['--device', 'cuda'];

interface Report {
  device: string;
  warnings: string[];
  history: { trainLoss: number[] }[];
}

async function report(args: readonly string[]): Promise<Report & { stderr: string }> {
  const { code, stdout, stderr } = await ptmz(folder, args);
  expect(`${code} ${code === 0 ? '' : stderr}`).toBe('0 ');
  return { ...(JSON.parse(stdout) as Report), stderr };
}

test('a training that was stopped goes on there with the same numbers; both are those of the CPU within rounding', async () => {
  const whole = await report([...begin, ...cuda, '--out', 'whole']);
  expect(whole.device).toBe('cuda:0');
  expect(whole.stderr).toContain('ptmz measure whole --device cuda:0');
  const first = await report([...begin, ...cuda, '--out', 'parts', '--until', '4']);
  expect(first.stderr).toContain('ptmz train --resume parts --device cuda:0');
  const second = await report(['train', '--resume', 'parts', '--json', ...cuda]);
  expect(second.history).toEqual(whole.history);
  expect(second.warnings).toEqual([]);

  const cpu = await report([...begin, '--out', 'cpu']);
  expect(cpu.device).toBe('cpu');
  cpu.history.forEach(({ trainLoss }, epoch) =>
    trainLoss.forEach((loss, m) => expect(whole.history[epoch]!.trainLoss[m]).toBeCloseTo(loss, 8)),
  );

  const measure = ['measure', 'whole', '--only', 'trace', '--samples', '8', '--probes', '2', '--json'];
  const traces = await Promise.all(
    [cuda, []].map(async (device) => {
      const { stdout } = await ptmz(folder, [...measure, ...device]);
      return (JSON.parse(stdout) as { metrics: { trace: { members: { trace: number }[] } } }).metrics.trace.members;
    }),
  );
  traces[0]!.forEach(({ trace }, m) => expect(trace / traces[1]![m]!.trace).toBeCloseTo(1, 6));
}, 120_000);

test.each([
  ['gpu', /--device <name>.*'cpu', 'cuda' or 'cuda:N'/s],
  ['cuda:9', /device 'cuda:9': expected a number below 1/s],
])('--device %s is refused', async (device, message) => {
  const { code, stderr } = await ptmz(folder, [...begin, '--out', 'none', '--device', device]);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(message);
});
