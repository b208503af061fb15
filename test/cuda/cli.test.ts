/** `--device cuda` on the command line: training, going on, measuring, and devices that are not there. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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

const zoo = [
  ...['quickstart', '--data', 'digits', '--train-samples', '40', '--test-samples', '20', '--epochs', '1'],
  ...['--widths', '2', '--batch-sizes', '20', '--seeds', '0', '1', '--out', 'zoo', '--json'],
];
const results = (name: string) =>
  readFileSync(join(folder, name, 'result.json'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number | string>);

test('a zoo: the numbers of the CPU within rounding; what is begun on one device ends on another, and says so', async () => {
  const there = await ptmz(folder, [...zoo, ...cuda]);
  expect(`${there.code} ${there.stderr}`).toMatch(/^0 /);
  expect(JSON.parse(there.stdout)).toMatchObject({ device: 'cuda:0', cells: [{ width: 2, members: 2 }] });
  const lines = results('zoo');
  expect(lines.map(({ device }) => device)).toEqual(['cuda:0', 'cuda:0']);

  // Without its results the cell is measured again from its checkpoint, here on the CPU.
  rmSync(join(folder, 'zoo', 'result.json'));
  const here = await ptmz(folder, zoo);
  expect(here.stderr).toMatch(/warning: .*device was 'cuda' and is 'cpu'/s);
  const again = results('zoo');
  expect(again.map(({ device }) => device)).toEqual(['cpu', 'cpu']);
  for (const [i, line] of lines.entries()) {
    expect(again[i]!.train_loss).toBe(line.train_loss);
    const [a, b] = [again[i]!, line].map((l) => l.hessian_trace_train_mean as number) as [number, number];
    expect(a / b).toBeCloseTo(1, 3);
  }
}, 120_000);

test('--preset trains a published zoo there', async () => {
  const preset = ['train', '--preset', 'cifar10ResNet18', '--width', '2', '--batch-size', '10', '--data', 'digits'];
  const short = ['--train-samples', '20', '--test-samples', '10', '--epochs', '1', '--seeds', '0', '--json'];
  const there = await report([...preset, ...short, ...cuda, '--out', 'preset']);
  expect(there.device).toBe('cuda:0');
  expect(there.history).toHaveLength(1);
}, 60_000);

test('a zoo on a device that is not there: nothing is begun', async () => {
  const { code, stderr } = await ptmz(folder, [...zoo.slice(0, -3), '--out', 'nowhere', '--device', 'cuda:9']);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/CUDA_UNAVAILABLE|expected a number below 1/);
  expect(existsSync(join(folder, 'nowhere'))).toBe(false);
});

test.each([
  ['gpu', /--device <name>.*'cpu', 'cuda' or 'cuda:N'/s],
  ['cuda:9', /device 'cuda:9': expected a number below 1/s],
])('--device %s is refused', async (device, message) => {
  const { code, stderr } = await ptmz(folder, [...begin, '--out', 'none', '--device', device]);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(message);
});
