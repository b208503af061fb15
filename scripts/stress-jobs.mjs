#!/usr/bin/env node
/**
 * Ends native runs in the middle, many times: by terminating their worker thread, by cancelling, by process.exit.
 *
 *   node scripts/stress-jobs.mjs [--count 100]
 *
 * Terminations and aborts happen in child processes of 25 rounds each, so that a crash is counted and not suffered;
 * there are half as many process exits. Exits with 1 on a crash, a hang or a leak.
 */
import { fork, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';

const self = fileURLToPath(import.meta.url);
const support = (name) => new URL(`../test/support/${name}`, import.meta.url);
const batchSize = 25;

const { values } = parseArgs({ options: { count: { type: 'string', default: '100' }, batch: { type: 'string' } } });
if (values.batch === undefined) await supervise(Number(values.count));
else await batch(Number(values.batch));

async function supervise(count) {
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`--count: expected a positive integer`);
  const total = {
    terminations: 0,
    aborts: 0,
    exits: 0,
    crashes: 0,
    before: 0,
    after: 0,
    latencies: [],
    slowestExit: 0,
  };
  for (let left = count; left > 0; left -= batchSize) {
    const report = await runBatch(Math.min(left, batchSize));
    if (report === undefined) {
      total.crashes += 1;
      continue;
    }
    for (const key of ['terminations', 'aborts', 'before', 'after']) total[key] += report[key];
    total.latencies.push(...report.latencies);
  }
  for (let i = 0; i < Math.ceil(count / 2); i += 1) {
    const how = [
      ['exit', 3],
      ['error', 1],
    ][i % 2];
    const { code, milliseconds } = await exitMidRun(how[0]);
    total.exits += 1;
    total.slowestExit = Math.max(total.slowestExit, milliseconds);
    if (code !== how[1]) total.crashes += 1;
  }
  total.latencies.sort((a, b) => a - b);
  const p99 = total.latencies[Math.ceil(total.latencies.length * 0.99) - 1] ?? NaN;
  console.log(`terminations      ${total.terminations}`);
  console.log(`aborts            ${total.aborts}, p99 latency ${p99.toFixed(1)} ms`);
  console.log(`process exits     ${total.exits}, slowest ${total.slowestExit.toFixed(0)} ms`);
  console.log(`crashes           ${total.crashes}`);
  console.log(`native bytes      ${total.before} before, ${total.after} after`);
  if (total.crashes > 0 || total.before !== total.after || total.slowestExit > 1000) process.exitCode = 1;
}

/** What a child process that does `count` rounds reports; undefined if it crashed or hung. */
function runBatch(count) {
  return new Promise((resolve) => {
    const child = fork(self, ['--batch', String(count)]);
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000 * count);
    let report;
    child.on('message', (message) => (report = message));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve(code === 0 ? report : undefined);
    });
  });
}

async function batch(count) {
  const { addon, endlessRun, outcome, sleep } = await import(support('long-run.mjs').href);
  const before = addon.nativeBytes();
  let terminations = 0;
  for (let i = 0; i < count; i += 1) {
    const worker = new Worker(support('running-worker.mjs'));
    // One in five is ended at a random moment of its start-up.
    if (i % 5 !== 0) await new Promise((resolve) => worker.once('message', resolve));
    await sleep(Math.random() * 60);
    await worker.terminate();
    terminations += 1;
  }
  const latencies = [];
  for (let i = 0; i < count; i += 1) {
    const chain = endlessRun();
    const job = chain.run();
    if (i % 5 !== 0) await sleep(Math.random() * 40);
    const start = performance.now();
    job.cancel();
    const code = await outcome(job.promise);
    if (code !== 'ABORTED') throw new Error(`expected ABORTED, got ${code}`);
    latencies.push(performance.now() - start);
    chain.dispose();
  }
  for (let i = 0; i < 400 && addon.nativeBytes() !== before; i += 1) await sleep(5);
  process.send({ terminations, aborts: latencies.length, before, after: addon.nativeBytes(), latencies });
  process.disconnect();
}

/** How a process that ends in the middle of a run does so, and how long after asking. */
function exitMidRun(how) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [fileURLToPath(support('exit-mid-run.mjs')), how], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    let ending = NaN;
    child.stdout.on('data', () => (ending = performance.now()));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, milliseconds: performance.now() - ending });
    });
  });
}
