/** Runs a folder of oracle cases and says how many passed. */
import { join } from 'node:path';
import { runFileCase, runsFile } from './files.js';
import { runLbfgsCase } from './lbfgs.js';
import { readManifest, type MetricCase } from './manifest.js';
import { metricKinds, runMetricCase } from './metrics.js';
import { runModelCase } from './models.js';
import { runScheduleCase } from './optim.js';
import { runsModel } from './subjects.js';
import { outcome, runOpCase, undecidable, within, type CaseResult, type Check } from './ops.js';

/** The parts of an oracle folder. */
export const parts = ['ops', 'models', 'metrics', 'optim', 'files'] as const;
export type Part = (typeof parts)[number];

export interface OracleOptions {
  /** Default `cpu`. */
  device?: string;
  /** Run and count this part alone. */
  only?: Part;
  /** Print every comparison, not only failures. */
  verbose?: boolean;
  /** Where lines go; default console.log. */
  print?: (line: string) => void;
}

export interface OracleCounts {
  passed: number;
  failed: number;
  /** Cases that miss nothing but what float64 misses too once its first weights are rounded to float32. */
  undecided: number;
  skipped: number;
}

function describeCheck(c: Check): string {
  const mark = within(c) ? 'ok' : undecidable(c) ? 'UNDECIDED' : 'FAILED';
  const rounding = c.rounding === undefined ? '' : `, of float64 from rounded weights ${c.rounding.toExponential(2)}`;
  const error = `error ${c.error.toExponential(2)}, tolerance ${c.tolerance.toExponential(2)}`;
  return `  ${mark} ${c.tensor} in ${c.program}: ${error}${rounding}`;
}

function describe(part: Part, result: CaseResult, verbose: boolean): string[] {
  if (result.failure !== undefined) return [`failed  ${part}/${result.id}: ${result.failure}`];
  const shown = verbose ? result.checks : result.checks.filter((c) => !within(c));
  if (shown.length === 0) return [];
  return [`${outcome(result)}  ${part}/${result.id}`, ...shown.map(describeCheck)];
}

/**
 * Runs every case of a folder in the format of the oracle: one per entry of its manifest. Cases of parts that this
 * version does not run count as skipped.
 *
 * @throws PtmzError `IO_ERROR`, `DATA_MALFORMED` where the folder is none
 */
export async function runOracle(directory: string, options: OracleOptions = {}): Promise<OracleCounts> {
  const { device = 'cpu', only, verbose = false, print = console.log } = options;
  const manifest = readManifest(directory);
  const counts = { passed: 0, failed: 0, undecided: 0, skipped: 0 };
  const wanted = (part: Part) => only === undefined || only === part;
  const count = (part: Part, result: CaseResult) => {
    ++counts[outcome(result)];
    describe(part, result, verbose).forEach((line) => print(line));
  };
  const skip = (part: string, what: string, ids: readonly string[]) => {
    counts.skipped += ids.length;
    print(`skipped ${part}: ${ids.length} ${ids.length === 1 ? 'case' : 'cases'}, this version does not run ${what}`);
    if (verbose) ids.forEach((id) => print(`  skipped ${part}/${id}`));
  };
  if (wanted('ops')) for (const c of manifest.ops) count('ops', await runOpCase(c, directory, device));
  if (wanted('models')) {
    for (const c of manifest.models) {
      if (runsModel(c)) count('models', await runModelCase(c, directory, device));
      else skip('models', `${c.config?.kind} models`, [c.id]);
    }
  }
  if (wanted('metrics')) {
    const runs = ({ kind }: MetricCase) => metricKinds.includes(kind);
    for (const c of manifest.metrics.filter(runs)) count('metrics', await runMetricCase(c, directory));
    const others = manifest.metrics.filter((c) => !runs(c));
    for (const kind of new Set(others.map((c) => c.kind))) {
      const ids = others.filter((c) => c.kind === kind).map(({ id }) => id);
      skip('metrics', `${kind} metrics`, ids);
    }
  }
  if (wanted('files')) {
    for (const c of manifest.files.filter(runsFile)) count('files', runFileCase(c, directory));
    const others = manifest.files.filter((c) => !runsFile(c)).map(({ file }) => file.replace(/^files\//, ''));
    for (const folder of new Set(others.map((file) => file.split('/')[0]!))) {
      const ids = others.filter((file) => file.startsWith(`${folder}/`) || file === folder);
      skip('files', `files/${folder}`, ids);
    }
  }
  if (wanted('optim')) {
    const { schedules, lbfgs } = manifest.optim;
    for (const id of schedules.ids) count('optim', runScheduleCase(id, schedules.file, directory));
    for (const [id, c] of Object.entries(lbfgs.cases))
      count('optim', await runLbfgsCase(id, c, join(directory, lbfgs.file)));
  }
  return counts;
}
