// Runs benchmarks: `npm run bench -- [NAME...] [--time MS] [--json FILE]`. Every file of workloads/ is one benchmark.
import { readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench } from 'tinybench';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { time: { type: 'string', default: '1000' }, json: { type: 'string' } },
});

const folder = new URL('workloads/', import.meta.url);
const known = readdirSync(folder)
  .filter((file) => file.endsWith('.mjs'))
  .sort();
const names = known.map((file) => basename(file, '.mjs'));
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`No benchmark ${unknown.join(', ')}; there are ${names.join(', ')}.`);
  process.exit(1);
}

const results = [];
for (const name of positionals.length > 0 ? positionals : names) {
  const { title, tasks, summary } = await import(new URL(`${name}.mjs`, folder).href);
  const time = Number(values.time);
  const bench = new Bench({ time, warmup: false, warmupTime: time / 5, warmupIterations: 2 });
  const release = await tasks(bench);
  // One after the other: the library's own warm-up starts all tasks at once, and they would share the cores.
  for (const task of bench.tasks) await task.warmup();
  await bench.run();
  await release?.();
  console.log(`\n${name}: ${title}`);
  const rows = bench.tasks.map(measured);
  console.table(Object.fromEntries(rows.map(({ task, ...row }) => [task, row])));
  const facts = summary?.(Object.fromEntries(rows.map((row) => [row.task, row]))) ?? {};
  for (const [fact, value] of Object.entries(facts)) console.log(`${fact}: ${value}`);
  results.push({ name, title, rows, facts });
}

if (values.json !== undefined) {
  const machine = { cpu: os.cpus()[0]?.model, cores: os.availableParallelism(), node: process.version };
  writeFileSync(values.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
}

function measured({ name, result }) {
  if (result.state !== 'completed') throw result.error ?? new Error(`${name} did not complete: ${result.state}`);
  const milliseconds = (value) => Number(value.toPrecision(4));
  const { p50, min } = result.latency;
  return { task: name, 'median ms': milliseconds(p50), 'min ms': milliseconds(min), runs: result.latency.samplesCount };
}
