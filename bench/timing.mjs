// Plain timings of this package alone, by tinybench.
import { Bench } from 'tinybench';
import { formatNumber, formatTable } from '../dist/cli/table.js';

/** Runs the tasks of a workload; `facts` are what its summary makes of the rows. */
export async function timePlainly({ tasks, summary }, { time }) {
  const bench = new Bench({ time, warmup: false, warmupTime: time / 5, warmupIterations: 2 });
  const release = await tasks(bench);
  // One after the other: the library's own warm-up starts all tasks at once, and they would share the cores.
  for (const task of bench.tasks) await task.warmup();
  await bench.run();
  await release?.();
  const rows = bench.tasks.map(measured);
  return { rows, facts: summary?.(Object.fromEntries(rows.map((row) => [row.task, row]))) ?? {} };
}

function measured({ name, result }) {
  if (result.state !== 'completed') throw result.error ?? new Error(`${name} did not complete: ${result.state}`);
  const milliseconds = (value) => Number(value.toPrecision(4));
  const { p50, min } = result.latency;
  return { task: name, 'median ms': milliseconds(p50), 'min ms': milliseconds(min), runs: result.latency.samplesCount };
}

const columns = [
  { heading: '', cell: ({ task }) => task },
  ...['median ms', 'min ms'].map((heading) => ({ heading, cell: (row) => formatNumber(row[heading]) })),
  { heading: 'runs', cell: ({ runs }) => String(runs) },
];

/** The rows as a table, and the facts. */
export const formatTiming = ({ rows, facts }) =>
  [formatTable(columns, rows), ...Object.entries(facts).map(([fact, value]) => `${fact}: ${value}`)].join('\n');
