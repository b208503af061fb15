/** What a row of the operator table says, and how it is checked: value, first and second derivative, population. */
import { expect } from 'vitest';
import { Graph, type Program, type Shape, type Value } from '../../lib/index.js';
import { count, uniform, type Tensor } from './tensor.js';

export interface Case {
  /** Real inputs by name. */
  inputs: Record<string, Shape>;
  /** Index inputs by name, with numbers in [0, below). */
  indices?: Record<string, { shape: Shape; below: number }>;
  /** Where inputs are drawn from; default [-1.5, 1.5]. */
  domain?: [number, number];
  build(values: Record<string, Value>, graph: Graph): Value;
  reference(tensors: Record<string, Tensor>): Tensor;
}

export interface Row {
  /** The operator of op.def that the case's graph must hold; left out for composites. */
  op?: string;
  /** The name in fused.def that the case's graph must hold. */
  fused?: string;
  name: string;
  cases: Case[];
  /** Default true: derivatives are checked. */
  differentiable?: boolean;
  /** The inputs are parameters instead of slots of their own. */
  params?: boolean;
}

interface Built {
  graph: Graph;
  y: Value;
  program: (dtype: 'float32' | 'float64') => Program;
}

const sum = (values: Value[]): Value => values.reduce((a, b) => a.add(b));

// L = <y, u>, its derivative D along v, and the derivative of D along w; the full gradient and HVP are outputs, too.
function build(row: Row, c: Case): Built {
  const graph = new Graph();
  const names = Object.keys(c.inputs);
  const real = (name: string, shape: Shape) => (row.params ? graph.param(name, shape) : graph.input(name, shape));
  const values = Object.fromEntries(names.map((name) => [name, real(name, c.inputs[name]!)]));
  const indices = Object.entries(c.indices ?? {}).map(([name, { shape }]) => [name, graph.input(name, shape, 'index')]);
  const y = c.build({ ...values, ...Object.fromEntries(indices) }, graph);
  const outputs: Record<string, Value> = { y };
  const varying = row.params ? ['params'] : [...names];
  if (row.differentiable !== false) {
    const wrt = Object.values(values);
    const direction = (kind: string) => names.map((name) => graph.input(`${kind}.${name}`, c.inputs[name]!));
    const along = (gradients: Value[], kind: string) => sum(gradients.map((g, i) => g.mul(direction(kind)[i]!).sum()));
    const loss = y.mul(graph.input('u', y.shape)).sum();
    const gradients = graph.grad(loss, wrt);
    const first = along(gradients, 'v');
    const second = graph.grad(first, wrt);
    Object.assign(outputs, { loss, first, second: along(second, 'w') });
    names.forEach((name, i) => Object.assign(outputs, { [`g.${name}`]: gradients[i], [`h.${name}`]: second[i] }));
  }
  return { graph, y, program: (dtype) => graph.compile(outputs, { dtype, varying }) };
}

/** Numbers for every slot of a program: per member for those that vary. */
function data(row: Row, c: Case, graph: Graph, program: Program, members: number, seed: number) {
  const [low, high] = c.domain ?? [-1.5, 1.5];
  const inputs: Record<string, number[]> = {};
  const draw = (name: string, n: number, from: number, to: number) => uniform(seed + hash(name), n, from, to);
  for (const slot of program.inputs) {
    const { name, size } = slot;
    const index = c.indices?.[name];
    if (index) inputs[name] = draw(name, size, 0, index.below).map(Math.floor);
    else if (name === 'key') inputs[name] = Array.from({ length: members }, (_, m) => [m + 1, 0, 0, 0]).flat();
    else if (slot.varies) inputs[name] = draw(name, size * members, low, high);
    else inputs[name] = draw(name, size, -1, 1);
  }
  const tensors = (member: number): Record<string, Tensor> => {
    const part = (
      name: string,
      shape: Shape,
      slot: string,
      offset: number,
      size: number,
      row_: number,
    ): [string, Tensor] => {
      const begin = row_ * size + offset;
      return [name, { shape: [...shape], data: inputs[slot]!.slice(begin, begin + count(shape)) }];
    };
    const real = Object.entries(c.inputs).map(([name, shape]) => {
      if (!row.params) return part(name, shape, name, 0, count(shape), member);
      return part(name, shape, 'params', graph.params.get(name).offset, graph.params.size, member);
    });
    const index = Object.entries(c.indices ?? {}).map(([name, { shape }]) => part(name, shape, name, 0, 0, 0));
    return Object.fromEntries([...real, ...index]);
  };
  return { inputs, tensors };
}

const hash = (text: string): number => [...text].reduce((h, ch) => (Math.imul(h, 31) + ch.charCodeAt(0)) | 0, 7);

async function run(program: Program, inputs: Record<string, number[]>, members: number) {
  const results = await program.run(inputs, { members, threads: 1 });
  return Object.fromEntries(
    Object.entries(results).map(([name, vector]) => {
      const rows = Array.from({ length: vector.rows }, (_, r) => Array.from(vector.toArray(r)));
      vector.dispose();
      return [name, rows];
    }),
  );
}

const memberOf = <T>(rows: T[], member: number): T => rows[Math.min(member, rows.length - 1)]!;

export function expectClose(actual: number[], expected: number[], tolerance: number, what: string): void {
  expect(actual.length, what).toBe(expected.length);
  const scale = Math.max(1, ...expected.map(Math.abs).filter(Number.isFinite));
  actual.forEach((value, i) => {
    const difference = Object.is(value, expected[i]) ? 0 : Math.abs(value - expected[i]!);
    if (!(difference <= tolerance * scale)) expect.fail(`${what}[${i}]: ${value}, expected ${expected[i]}`);
  });
}

// Five members are the five points that two central differences need: x, x +- h v, x +- h w.
async function checkDerivatives(row: Row, c: Case, { graph, program: compile }: Built): Promise<void> {
  using program = compile('float64');
  const step = 1e-5;
  const { inputs } = data(row, c, graph, program, 1, 1);
  const moved: Record<string, number[]> = { ...inputs };
  for (const slot of program.inputs.filter((s) => s.varies && s.name !== 'key')) {
    const x = inputs[slot.name]!;
    const direction = (kind: string) => {
      if (!row.params) return inputs[`${kind}.${slot.name}`] ?? x.map(() => 0);
      const flat = new Array<number>(slot.size).fill(0);
      for (const { name, offset } of graph.params.entries)
        (inputs[`${kind}.${name}`] ?? []).forEach((n, i) => (flat[offset + i] = n));
      return flat;
    };
    const along = (d: number[], h: number) => x.map((value, i) => value + h * d[i]!);
    const [v, w] = [direction('v'), direction('w')];
    moved[slot.name] = [x, along(v, step), along(v, -step), along(w, step), along(w, -step)].flat();
  }
  const result = await run(program, moved, 5);
  const value = (name: string, member: number) => memberOf(result[name]!, member)[0]!;
  const difference = (name: string, m: number) => (value(name, m) - value(name, m + 1)) / (2 * step);
  expectClose([value('first', 0)], [difference('loss', 1)], 1e-7, `${row.name}: first derivative`);
  expectClose([value('second', 0)], [difference('first', 3)], 1e-6, `${row.name}: second derivative`);
}

async function checkPopulation(row: Row, c: Case, built: Built, dtype: 'float32' | 'float64'): Promise<void> {
  using program = built.program(dtype);
  const { inputs, tensors } = data(row, c, built.graph, program, 3, 2);
  const all = await run(program, inputs, 3);
  for (let member = 0; member < 3; ++member) {
    const own = { ...inputs };
    for (const slot of program.inputs.filter((s) => s.varies))
      own[slot.name] = inputs[slot.name]!.slice(member * slot.size, (member + 1) * slot.size);
    const alone = await run(program, own, 1);
    for (const [name, rows] of Object.entries(alone))
      expect(memberOf(all[name]!, member), `${row.name} ${dtype} ${name} of member ${member}`).toEqual(rows[0]);
    if (dtype === 'float64')
      expectClose(memberOf(all.y!, member), c.reference(tensors(member)).data, 1e-11, `${row.name}: value`);
  }
}

/** Everything that is expected of one case. */
export async function checkCase(row: Row, c: Case): Promise<void> {
  const built = build(row, c);
  using graph = built.graph;
  const inside = row.op ?? row.fused;
  if (inside) expect(graph.dump(built.y)).toMatch(new RegExp(`= ${inside}\\(`));
  const shape = c.reference(zeros(c)).shape;
  expect([...built.y.shape], `${row.name}: shape`).toEqual([...shape]);
  if (row.differentiable !== false) await checkDerivatives(row, c, built);
  await checkPopulation(row, c, built, 'float64');
  await checkPopulation(row, c, built, 'float32');
}

function zeros(c: Case): Record<string, Tensor> {
  const all = [...Object.entries(c.inputs), ...Object.entries(c.indices ?? {}).map(([n, i]) => [n, i.shape] as const)];
  return Object.fromEntries(
    all.map(([name, shape]) => [name, { shape: [...shape], data: Array(count(shape)).fill(0) }]),
  );
}
