// A race: package and peer measured in turns, so that whatever slows the machine down slows both.
import { setTimeout as pause } from 'node:timers/promises';

// Threads of the other side may still spin for a moment after their last work.
const settle = 50;
// A variant of the peer that was slower than this in the first look takes no part.
const near = 1.15;

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const shortest = 50;

/**
 * The least milliseconds per unit within a measuring time: pieces of at least 50 ms, of which there are at least two.
 * `peers/timing.py` does the same on the other side.
 *
 * @param work does so many units
 */
export async function bestOf(milliseconds, work) {
  let units = 1;
  let best = Infinity;
  let pieces = 0;
  const began = performance.now();
  while (pieces < 2 || performance.now() - began < milliseconds) {
    const start = performance.now();
    await work(units);
    const took = performance.now() - start;
    if (took < shortest) {
      units = Math.ceil(units * Math.min(10, (1.2 * shortest) / took));
      continue;
    }
    best = Math.min(best, took / units);
    pieces += 1;
  }
  return best;
}

async function measure(side, milliseconds) {
  await pause(settle);
  return side.measure(milliseconds);
}

/** The variants of the peer worth racing: the fastest, and those that may turn out faster. */
async function screen(variants, time) {
  const looks = [];
  for (const variant of variants) looks.push({ variant, look: await measure(variant, time) });
  const fastest = Math.min(...looks.map(({ look }) => look));
  return {
    kept: looks.filter(({ look }) => look <= near * fastest).map(({ variant }) => variant),
    looks: Object.fromEntries(looks.map(({ variant, look }) => [variant.name, look])),
  };
}

/**
 * Peer, package, peer, package ... for so many rounds.
 *
 * @param ours `{ measure(ms) }`: the least milliseconds per unit
 * @param variants ways to run the peer, the same with a `name`; none: the package runs alone
 * @returns medians over the rounds; `ratio` > 1 where the package is faster
 */
export async function race(ours, variants, { rounds, time }) {
  await measure(ours, time / 4);
  const { kept, looks } = await screen(variants, time / 2);
  const results = [];
  for (let round = 0; round < rounds; ++round) {
    const times = [];
    for (const variant of kept) times.push({ name: variant.name, ms: await measure(variant, time) });
    const peer = times.sort((a, b) => a.ms - b.ms)[0];
    results.push({ peer, ours: await measure(ours, time) });
  }
  const result = { ours: median(results.map((round) => round.ours)), rounds: results };
  if (kept.length === 0) return result;
  const ratios = results.map((round) => round.peer.ms / round.ours);
  const names = results.map((round) => round.peer.name).sort();
  return {
    ...result,
    peer: median(results.map((round) => round.peer.ms)),
    variant: names[names.length >> 1],
    looks,
    ratio: median(ratios),
    ratioRange: [Math.min(...ratios), Math.max(...ratios)],
  };
}
