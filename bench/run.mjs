// Runs benchmarks: `npm run bench -- --help`. Every file of workloads/ is one: races against PyTorch, or plain timings.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { gemmPeak } from './gemm.mjs';
import { Handover } from './inputs.mjs';
import { describeMachine, formatMachine } from './machine.mjs';
import { chooseRows, chooseWorkloads, help, parseOptions } from './options.mjs';
import { findPython, Peers } from './peer.mjs';
import { raceRow, formatRace } from './row.mjs';
import { formatTiming, timePlainly } from './timing.mjs';

async function loadWorkloads() {
  const folder = new URL('workloads/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.mjs'));
  return Promise.all(
    files.sort().map(async (file) => ({
      name: basename(file, '.mjs'),
      ...(await import(new URL(file, folder).href)),
    })),
  );
}

/** All rows of one workload in turn; a row that fails is reported and the others run. */
async function raceWorkload({ rows, ...workload }, context) {
  const results = [];
  for (const row of chooseRows(rows, context.options)) {
    process.stderr.write(`${workload.name}: ${row.label}\n`);
    results.push(await raceRow(row, workload, context));
  }
  return results;
}

async function main(options) {
  const workloads = await loadWorkloads();
  const chosen = chooseWorkloads(workloads, options.only);
  if (options.list) {
    for (const { name, groups, title, rows = [] } of chosen)
      console.log([`${name} (${groups.join(', ')}): ${title}`, ...rows.map(({ id }) => `  ${id}`)].join('\n'));
    return;
  }
  const matching = chosen.filter(({ rows }) => !rows || chooseRows(rows, options).length > 0);
  const wanted = options.rows ? matching.filter(({ rows }) => rows) : matching;
  if (wanted.length === 0)
    throw new RangeError(`Expected rows that --list shows for --rows but received '${options.rows.join(',')}'`);

  const python = options.peer ? findPython() : { missing: 'left out by --no-peer' };
  const peers = new Peers(python);
  const handover = new Handover();
  const ceilings = new Map();
  // One ceiling for each number of threads, measured once in a run.
  const ceiling = async (threads) => {
    if (!ceilings.has(threads)) ceilings.set(threads, await gemmPeak(threads, peers.with(threads)));
    return ceilings.get(threads);
  };
  try {
    const machine = describeMachine((await peers.with(options.threads)?.call('info')) ?? python);
    console.log(formatMachine(machine));
    const results = [];
    for (const workload of wanted) {
      const { name, title, groups } = workload;
      const plain = workload.tasks !== undefined;
      const result = plain
        ? await timePlainly(workload, options)
        : { rows: await raceWorkload(workload, { options, peers, handover, ceiling, python }) };
      console.log(`\n${name}: ${title}\n${plain ? formatTiming(result) : formatRace(result)}`);
      results.push({ name, title, groups, ...result });
    }
    for (const { threads, peak, ours, peer } of ceilings.values())
      console.log(
        `\nceiling, ${threads} thread${threads > 1 ? 's' : ''}: ${peak.toFixed(0)} GFLOP/s of a 1024^3 product` +
          ` (ours ${ours.toFixed(0)}, PyTorch ${peer?.toFixed(0) ?? '-'})`,
      );
    if (options.json !== undefined) {
      const { rounds, time, threads } = options;
      mkdirSync(dirname(options.json), { recursive: true });
      const document = {
        date: new Date().toISOString(),
        options: { rounds, time, threads },
        machine,
        ceilings: [...ceilings.values()],
        results,
      };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
    if (results.some(({ rows }) => rows.some(({ error, check }) => error || check?.passed === false)))
      process.exitCode = 1;
  } finally {
    await peers.close();
    handover.dispose();
  }
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(help);
  else await main(options);
} catch (error) {
  const mistaken = error instanceof RangeError || error.code?.startsWith('ERR_PARSE_ARGS');
  console.error(mistaken ? `error: ${error.message}` : error);
  process.exitCode = 1;
}
