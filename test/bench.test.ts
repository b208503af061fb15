/** The benchmark command: its counts of work, its choice of rows, its arithmetic, and whole runs of it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Graph, gpt2, resnet, vit } from 'ptmz-native';
import { afterAll, describe, expect, it } from 'vitest';
import { chooseRows, chooseWorkloads, parseOptions } from '../bench/options.mjs';
import { findPython } from '../bench/peer.mjs';
import { race } from '../bench/race.mjs';
import { hessianFlops, resnetWork, trainingFlops } from '../bench/resnet-work.mjs';
import { gpt2Flops, vitFlops } from '../bench/transformer-work.mjs';
import { levels, numberIn, numbersOf, sizes, withNumbers } from '../bench/tuning.mjs';
import { pinnFlops } from '../bench/workloads/pinn.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ptmz-bench-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function bench(args: string[], env: Record<string, string> = {}) {
  const options = { cwd: root, encoding: 'utf8', env: { ...process.env, ...env } } as const;
  return spawnSync(process.execPath, ['bench/run.mjs', ...args], options);
}

describe('nominal work', () => {
  it.each([
    [18, 2],
    [18, 8],
    [50, 2],
  ] as const)('ResNet-%i of width %i has the parameters that are counted', (depth, width) => {
    const graph = new Graph();
    const model = resnet({ depth, width, input: [3, 32, 32], classes: 10 });
    model.build(graph, graph.input('x', [1, 3, 32, 32]), { training: false });
    expect(resnetWork(depth, width).parameters).toBe(graph.params.count);
    graph.dispose();
  });

  it('counts the multiply-adds that are published for ResNet-18 with the 3x3 stem', () => {
    // 0.56 G and 11.17 M parameters are this network's usual figures; the classifier is 5,120 of the first.
    expect(resnetWork(18, 64).macs).toBe(555_422_720);
    expect(resnetWork(18, 64).parameters).toBe(11_173_962);
    expect(resnetWork(18, 64).stemMacs).toBe(3 * 64 * 9 * 1024);
  });

  it('a step is three passes without the gradient of the images; probes share the first of theirs', () => {
    const { macs, stemMacs } = resnetWork(18, 2);
    expect(trainingFlops(18, 2, 8)).toBe(16 * (3 * macs - stemMacs));
    expect(hessianFlops(18, 2, 1, 1) - hessianFlops(18, 2, 1, Infinity)).toBe(2 * (2 * macs - stemMacs));
  });
});

describe('nominal work of transformers', () => {
  /** Elements of all matrices but the tables that rows are only picked from. */
  const weights = (build: (graph: Graph) => void, without: RegExp) => {
    using graph = new Graph();
    build(graph);
    return graph.params.entries
      .filter(({ name, shape }) => shape.length >= 2 && !without.test(name))
      .reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
  };

  it('GPT-2: every token meets every weight three times, and half of the other tokens', () => {
    const sizes = { dim: 12, depth: 3, heads: 2, vocab: 17, block: 5 };
    const build = (graph: Graph) => gpt2(sizes).build(graph, graph.input('x', [1, 5], 'index'), { training: true });
    const attention = 3 * 2 * 12 * (1 + 2 + 3 + 4 + 5);
    expect(gpt2Flops(sizes, 4)).toBe(6 * 4 * (5 * weights(build, /wpe/) + attention));
  });

  it('ViT: the head meets one token, the patches have no gradient', () => {
    const sizes = { dim: 12, depth: 2, heads: 2, patch: 4 };
    const build = (graph: Graph) =>
      vit({ ...sizes, input: [3, 8, 8], classes: 10 }).build(graph, graph.input('x', [1, 3, 8, 8]), { training: true });
    const inner = 5 * weights(build, /pos_embedding|class_token|head|conv_proj/) + 2 * 2 * 12 * 25;
    const embedding = 4 * 3 * 16 * 12;
    expect(vitFlops({ ...sizes, side: 8 }, 3)).toBe(2 * 3 * (3 * (inner + 120) + 2 * embedding));
  });

  it('PINN: 556 points, and the 100 inside once more', () => expect(pinnFlops()).toBe(6 * 7650 * (556 + 100)));
});

describe('tuning', () => {
  const header = readFileSync(new URL('../native/backend/cpu/tuning.h', import.meta.url), 'utf8');

  it('every number that is tried is in the table, and what the table holds is tried', () => {
    const set = new Set<string>();
    for (const [size, { candidates }] of Object.entries(sizes))
      for (const level of levels) {
        const tried = candidates.map((candidate) => numbersOf(size, candidate, level));
        for (const numbers of tried) {
          const text = withNumbers(header, numbers);
          for (const [name, value] of Object.entries(numbers)) {
            expect(numberIn(text, name)).toBe(value);
            set.add(name);
          }
        }
        const current = Object.fromEntries(Object.keys(tried[0]!).map((name) => [name, numberIn(header, name)]));
        expect(tried).toContainEqual(current);
      }
    expect([...header.matchAll(/constexpr \w+ (\w+) = \d+;/g)].map((match) => match[1]).sort()).toEqual(
      [...set].sort(),
    );
  });

  it('a number that the table does not have is an error', () => {
    expect(() => withNumbers(header, { kNone: 1 })).toThrow('tuning.h has no kNone');
  });
});

describe('options', () => {
  const workloads = [
    { name: 'a', groups: ['cpu'] },
    { name: 'b', groups: ['plain'] },
  ];

  it('chooses workloads by name and by group', () => {
    expect(chooseWorkloads(workloads, ['cpu'])).toEqual([workloads[0]]);
    expect(chooseWorkloads(workloads, undefined)).toEqual(workloads);
    expect(() => chooseWorkloads(workloads, ['c'])).toThrow(
      "Expected some of a, cpu, b, plain for --only but received 'c'",
    );
  });

  it('chooses rows in full or by what follows the dash, slow ones when named', () => {
    const rows = [{ id: 'r18-2x8' }, { id: 'r18-2x8x3' }, { id: 'r18-64x128', slow: true }];
    const ids = (args: string[]) => chooseRows(rows, parseOptions(args)).map(({ id }: { id: string }) => id);
    expect(ids([])).toEqual(['r18-2x8', 'r18-2x8x3']);
    expect(ids(['--slow'])).toHaveLength(3);
    expect(ids(['--rows', '2x8,r18-64x128'])).toEqual(['r18-2x8', 'r18-64x128']);
  });

  it('names the option that is wrong', () => {
    expect(() => parseOptions(['--rounds', 'x'])).toThrow("at least 1 for --rounds but received 'x'");
    expect(() => parseOptions(['--fast'])).toThrow('--fast');
  });
});

describe('race', () => {
  const side = (...times: number[]) => ({ measure: async () => times.shift()! });

  it('takes the median of the ratios of rounds, the fastest variant in each', async () => {
    const ours = side(9, 1, 2, 4);
    const variants = [
      { name: 'slow', ...side(100) },
      { name: 'a', ...side(10, 10, 12, 20) },
      { name: 'b', ...side(11, 8, 14, 24) },
    ];
    const result = await race(ours, variants, { rounds: 3, time: 1 });
    expect(result).toMatchObject({ peer: 12, ours: 2, ratio: 6, ratioRange: [5, 8], variant: 'a' });
    expect(result).toHaveProperty('looks', { slow: 100, a: 10, b: 11 });
  });

  it('runs without a peer', async () => {
    expect(await race(side(9, 3, 1, 2), [], { rounds: 3, time: 1 })).toMatchObject({ ours: 2 });
  });
});

describe('npm run bench', () => {
  it('races a row, says why there is no peer, and writes machine and numbers', () => {
    const file = join(folder, 'deep', 'out.json');
    const args = ['--only', 'train-step', '--rows', '2x8', '--rounds', '1', '--time', '10', '--json', file];
    const { status, stdout } = bench(args, { PTMZ_PYTHON: join(folder, 'no-python') });
    expect(stdout).toMatch(/no peer: .*no-python.* name another in PTMZ_PYTHON/);
    expect(stdout).toContain('ResNet-18 2 x 8');
    expect(status).toBe(0);
    const { machine, results, ceilings } = JSON.parse(readFileSync(file, 'utf8'));
    expect(machine.cores).toBeGreaterThan(0);
    const [row] = results[0].rows;
    expect(row.flops).toBe(trainingFlops(18, 2, 8));
    expect(row.floor).toBeCloseTo(row.flops / (ceilings[0].peak * 1e6), 9);
    expect(row.overFloor).toBeCloseTo(row.ours / row.floor, 9);
  });

  it('refuses what it does not know before it measures', () => {
    const unknown = bench(['--only', 'nothing']);
    expect(unknown.status).toBe(1);
    expect(unknown.stderr).toContain("for --only but received 'nothing'");
    expect(bench(['--rows', '3x3']).stderr).toContain("for --rows but received '3x3'");
  });

  // Python takes its time to load PyTorch on a machine that does other things too.
  const timeout = 120_000;
  it.skipIf(findPython().missing)('computes what PyTorch computes', { timeout }, () => {
    const file = join(folder, 'checked.json');
    const args = ['--only', 'train-step,hvp', '--rows', '2x8,r18-2', '--rounds', '1', '--time', '10', '--json', file];
    expect(bench(args).status).toBe(0);
    const checks = JSON.parse(readFileSync(file, 'utf8')).results.flatMap(({ rows }: { rows: { check: unknown }[] }) =>
      rows.map(({ check }) => check),
    );
    expect(checks).toHaveLength(2);
    for (const check of checks) expect(check).toMatchObject({ passed: true });
  });
});
