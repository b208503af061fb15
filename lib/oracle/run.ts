/** Runs a folder of oracle cases and says how many passed. */
import { readManifest } from './manifest.js';
import { passed, runOpCase, type CaseResult } from './ops.js';

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
  skipped: number;
}

function describe(result: CaseResult, verbose: boolean): string[] {
  if (result.failure !== undefined) return [`failed  ops/${result.id}: ${result.failure}`];
  const ok = passed(result);
  const shown = verbose ? result.checks : result.checks.filter((c) => !(c.error <= c.tolerance));
  const lines = shown.map((c) => {
    const mark = c.error <= c.tolerance ? 'ok' : 'FAILED';
    return `  ${mark} ${c.tensor} in ${c.program}: error ${c.error.toExponential(2)}, tolerance ${c.tolerance.toExponential(2)}`;
  });
  if (ok && !verbose) return [];
  return [`${ok ? 'passed' : 'failed'}  ops/${result.id}`, ...lines];
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
  const counts = { passed: 0, failed: 0, skipped: 0 };
  if (only === undefined || only === 'ops') {
    for (const c of manifest.ops) {
      const result = await runOpCase(c, directory, device);
      ++counts[passed(result) ? 'passed' : 'failed'];
      describe(result, verbose).forEach((line) => print(line));
    }
  }
  for (const [part, ids] of Object.entries(manifest.others)) {
    if ((only !== undefined && only !== part) || ids.length === 0) continue;
    counts.skipped += ids.length;
    print(`skipped ${part}: ${ids.length} cases, this version does not run ${part}`);
    if (verbose) ids.forEach((id) => print(`  skipped ${part}/${id}`));
  }
  return counts;
}
