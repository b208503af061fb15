// One row of a race: opened, checked, raced, and set against the arithmetic floor.
import { formatNumber, formatTable } from '../dist/cli/table.js';
import { race } from './race.mjs';

/**
 * Races one row. `row.open(context)` gives both sides, a `check` that they compute the same, and either the nominal
 * `flops` of a unit or none. What fails is kept as `error` beside the other rows' results.
 */
export async function raceRow(row, workload, { options, peers, handover, ceiling, python }) {
  const threads = row.threads ?? options.threads;
  const peer = peers.with(threads);
  const { id, label, unit } = row;
  const named = { id, label, unit, threads };
  let contest;
  try {
    contest = await row.open({ threads, peer, handover, python, compile: options.compile });
    const check = await checked(contest);
    const raced = await race(contest.ours, contest.variants, options);
    const floor = contest.flops && floorOf(contest.flops, await ceiling(threads), raced);
    const note = contest.note?.(raced);
    return { ...named, ...raced, ...floor, ...(check && { check }), ...(note && { note }) };
  } catch (error) {
    return { ...named, error: error.message, trace: error.trace ?? error.stack };
  } finally {
    await close(contest);
  }
}

/** A peer that has died cannot be closed; the row says so already. */
async function close(contest) {
  try {
    await contest?.close();
  } catch {}
}

async function checked({ check }) {
  if (!check) return undefined;
  const outcome = await check();
  return { ...outcome, passed: outcome.difference <= outcome.tolerance };
}

/** The time that the arithmetic alone would take at the rate of the run's best matrix product. */
function floorOf(flops, { peak }, { ours, peer }) {
  const floor = flops / (peak * 1e6);
  return { flops, floor, overFloor: ours / floor, ...(peer && { peerOverFloor: peer / floor }) };
}

const seconds = (value) => formatNumber(value, 3);
const times = (value) => (value === undefined ? '-' : `${formatNumber(value, 3)}x`);

const columns = [
  { heading: '', cell: ({ label }) => label },
  { heading: 'threads', cell: ({ threads }) => String(threads) },
  { heading: 'unit', cell: ({ unit }) => unit },
  { heading: 'PyTorch', cell: ({ peer }) => seconds(peer) },
  { heading: 'as', cell: ({ variant }) => variant ?? '-' },
  { heading: 'ours', cell: ({ ours }) => seconds(ours) },
  { heading: 'faster', cell: ({ ratio }) => times(ratio) },
  { heading: 'of rounds', cell: ({ ratioRange }) => ratioRange?.map((r) => formatNumber(r, 3)).join(' to ') ?? '-' },
  { heading: 'GFLOP', cell: ({ flops }) => (flops ? formatNumber(flops / 1e9, 3) : '-') },
  { heading: 'floor', cell: ({ floor }) => seconds(floor) },
  { heading: 'ours / floor', cell: ({ overFloor }) => times(overFloor) },
  { heading: 'PyTorch / floor', cell: ({ peerOverFloor }) => times(peerOverFloor) },
  {
    heading: 'differs',
    cell: ({ check }) => (check ? `${check.difference.toExponential(1)}${check.passed ? '' : ' FAILED'}` : '-'),
  },
];

/** The rows as a table, what is to be said of them, and the errors. */
export function formatRace({ rows }) {
  const raced = rows.filter(({ error }) => !error);
  const notes = new Set(raced.flatMap(({ note }) => note ?? []));
  return [
    ...(raced.length > 0 ? [formatTable(columns, raced)] : []),
    ...notes,
    ...rows.filter(({ error }) => error).map(({ label, trace }) => `${label} FAILED: ${trace}`),
  ].join('\n');
}
