/** `npm run oracle -- DIR [--device D] [--only PART] [--verbose]`: exit 0 passed, 1 failures, 2 wrong use. */
import { parseArgs } from 'node:util';
import { checkOneOf, PtmzError } from '../errors.js';
import { parts, runOracle, type OracleOptions } from './run.js';

const usage = `usage: npm run oracle -- DIR [--device cpu] [--only ${parts.join('|')}] [--verbose]`;

function parse(args: string[]): { directory: string; options: OracleOptions } {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { device: { type: 'string' }, only: { type: 'string' }, verbose: { type: 'boolean' } },
  });
  if (positionals.length !== 1) throw new PtmzError('INVALID_ARGUMENT', 'Expected one DIR', { hint: usage });
  return {
    directory: positionals[0]!,
    options: {
      ...(values.device !== undefined && { device: values.device }),
      ...(values.only !== undefined && { only: checkOneOf('--only', values.only, parts) }),
      verbose: values.verbose ?? false,
    },
  };
}

async function main(): Promise<number> {
  const { directory, options } = parse(process.argv.slice(2));
  const counts = await runOracle(directory, options);
  const { passed, failed, undecided, skipped } = counts;
  console.log(
    `${passed} passed, ${failed} failed, ${undecided > 0 ? `${undecided} undecided, ` : ''}${skipped} skipped`,
  );
  return counts.failed > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const { code = 'INVALID_ARGUMENT', message, hint } = error as { code?: string; message: string; hint?: string };
  console.error(`${code}: ${message}${hint ? `\n${hint}` : ''}`);
  process.exitCode = 2;
}
