// Trains the zoo of convection networks, beta x learning rate x seeds, as one population, and prints loss and error of
// every cell: node scripts/pinn-zoo.mjs [--steps N] [--minutes N] [--threads N] [--out FILE]. Stopped by Ctrl-C or after
// so many minutes it prints how far it has come.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { evaluate, preparePINN, zoos } from '../dist/index.js';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '10000' },
    minutes: { type: 'string', default: '1440' },
    threads: { type: 'string', default: '0' },
    beta: { type: 'string', default: '1,5,10,20,30' },
    lr: { type: 'string', default: '0.01,0.1,0.5,1,2' },
    seeds: { type: 'string', default: '0,123,2023' },
    collocation: { type: 'string', default: '100' },
    out: { type: 'string' },
  },
});
const numbers = (text) => text.split(',').map(Number);
const [betas, rates, seeds] = [values.beta, values.lr, values.seeds].map(numbers);
const members = betas.flatMap((beta) => rates.flatMap((lr) => seeds.map((seed) => ({ beta, lr, seed }))));
const stepsPerEpoch = 100;
const began = performance.now();
const seconds = () => (performance.now() - began) / 1000;

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
const timer = setTimeout(() => stop.abort(), Number(values.minutes) * 60_000);
const run = preparePINN({
  ...zoos.pinnConvection.recipe,
  collocation: Number(values.collocation),
  beta: members.map(({ beta }) => beta),
  lr: members.map(({ lr }) => lr),
  seeds: members.map(({ seed }) => seed),
  stepsPerEpoch,
  epochs: Math.ceil(Number(values.steps) / stepsPerEpoch),
  evaluateEvery: 10 ** 9,
});
const training = run.train({
  threads: Number(values.threads),
  signal: stop.signal,
  onProgress({ step, steps, loss }) {
    const sorted = [...loss].sort((a, b) => a - b);
    process.stderr.write(
      `\r${step}/${steps} iterations, ${seconds().toFixed(0)} s, median loss ${sorted[sorted.length >> 1]}  `,
    );
  },
});
await training.catch((error) => {
  if (!stop.signal.aborted) throw error;
});
clearTimeout(timer);
process.stderr.write('\n');
const wall = seconds();
const [train, test] = [await evaluate(run, run.data.train), await evaluate(run, run.data.test)];
const results = members.map((member, m) => ({
  ...member,
  loss: train.loss[m],
  error: test.loss[m],
  evaluations: run.evaluations[m],
  converged: run.converged[m],
  divergedAt: run.divergedAt[m],
}));
if (values.out) writeFileSync(values.out, `${JSON.stringify({ wall, results }, null, 1)}\n`);

const mean = (xs) => xs.reduce((a, b) => a + b, 0) / xs.length;
const deviation = (xs) => Math.sqrt(mean(xs.map((x) => (x - mean(xs)) ** 2)));
const short = (x) => Number(x.toPrecision(2)).toString();
const summary = (xs) =>
  `${short(mean(xs))} ± ${short(deviation(xs))} [${short(Math.min(...xs))}, ${short(Math.max(...xs))}]`;
const table = (key) => {
  const cell = (beta, lr) => mean(results.filter((r) => r.beta === beta && r.lr === lr).map((r) => r[key]));
  const rows = rates.map((lr) => `| ${[lr, ...betas.map((beta) => short(cell(beta, lr)))].join(' | ')} |`);
  return [`| lr \\ beta | ${betas.join(' | ')} |`, `|${'---|'.repeat(betas.length + 1)}`, ...rows].join('\n');
};
const done = results.filter(({ converged }) => converged).length;
const evaluations = results.reduce((sum, r) => sum + r.evaluations, 0);
console.log(
  `Mean loss over ${seeds.length} seeds:\n\n${table('loss')}\n\nMean relative L2 error:\n\n${table('error')}\n`,
);
console.log('| | loss | relative L2 error |\n|---|---|---|');
console.log(`| here | ${summary(results.map((r) => r.loss))} | ${summary(results.map((r) => r.error))} |`);
console.log('| paper, table 7 | .31 ± .18 [.00048, .81] | .81 ± .34 [.021, 1.28] |\n');
console.log(
  `${members.length} networks, ${done} converged within ${run.step} iterations; ${evaluations} evaluations in ` +
    `${wall.toFixed(0)} s: ${(evaluations / wall).toFixed(0)} per second.`,
);
run.dispose();
