/** The examples run, and show what they promise. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = async (path: string): Promise<string> => {
  const file = fileURLToPath(new URL(`../examples/${path}`, import.meta.url));
  return (await promisify(execFile)(process.execPath, [file], { timeout: 60_000 })).stdout;
};

test('custom-loss: every quantile is learnt, and the HVP is right', { timeout: 60_000 }, async () => {
  const output = await run('custom-loss/main.mjs');
  const losses = [...output.matchAll(/quantile [\d.]+: loss ([\d.]+) -> ([\d.]+)/g)];
  expect(losses).toHaveLength(3);
  for (const [, first, last] of losses) expect(Number(last)).toBeLessThan(Number(first) / 3);
  expect(Number(/relative error (\S+)/.exec(output)![1])).toBeLessThan(1e-6);
});

const numbers = (output: string, pattern: RegExp): number[][] =>
  [...output.matchAll(pattern)].map((match) => match.slice(1).map(Number));

test('pinn: every member comes closer to its solution', { timeout: 60_000 }, async () => {
  const output = await run('pinn/main.mjs');
  const errors = numbers(output, /error ([\d.]+).*error ([\d.]+).*error ([\d.]+)/g);
  expect(errors).toHaveLength(3);
  for (const error of errors.at(-1)!) expect(error).toBeLessThan(0.05);
});

test('vit: the loss falls for every rate, and the trace has an error', { timeout: 60_000 }, async () => {
  const output = await run('vit/main.mjs');
  const losses = numbers(output, /loss ([\d.]+).*loss ([\d.]+).*loss ([\d.]+)/g);
  expect(losses).toHaveLength(6);
  losses[5]!.forEach((loss, m) => expect(loss).toBeLessThan(losses[0]![m]!));
  expect(output).toMatch(/trace: -?\d+ \+- \d+; /);
});

test('gpt2: it learns more than how often each letter comes, and writes', { timeout: 60_000 }, async () => {
  const output = await run('gpt2/main.mjs');
  expect(output).toMatch(/^27\d{4} characters, 73 different/);
  const guess = Number(/costs ([\d.]+)/.exec(output)![1]);
  const losses = numbers(output, /test ([\d.]+); .*test ([\d.]+)/g);
  expect(Math.min(...losses.at(-1)!)).toBeLessThan(guess - 1);
  expect(output).toMatch(/it writes: ".{70,}"/);
});
