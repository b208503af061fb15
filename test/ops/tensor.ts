/** Plain tensors for references: every operator is written as "the element at this position is ...". */

export interface Tensor {
  shape: readonly number[];
  data: number[];
}

export const count = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

/** The position of flat element `i`. */
export function position(shape: readonly number[], i: number): number[] {
  const at: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; --axis) {
    at[axis] = i % shape[axis]!;
    i = Math.floor(i / shape[axis]!);
  }
  return at;
}

export const tensor = (shape: readonly number[], element: (at: number[]) => number): Tensor => ({
  shape,
  data: Array.from({ length: count(shape) }, (_, i) => element(position(shape, i))),
});

/** The element at a position; axes of size 1 and missing leading axes broadcast. */
export function at({ shape, data }: Tensor, where: number[]): number {
  const skipped = where.length - shape.length;
  const flat = shape.reduce((n, size, axis) => n * size + (size === 1 ? 0 : where[axis + skipped]!), 0);
  return data[flat]!;
}

export function broadcastShape(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => Math.max(...shapes.map((s) => s[i - rank + s.length] ?? 1)));
}

/** f of elements at the same place, with broadcasting. */
export const map = (f: (...x: number[]) => number, ...inputs: Tensor[]): Tensor =>
  tensor(broadcastShape(...inputs.map((t) => t.shape)), (p) => f(...inputs.map((t) => at(t, p))));

/** f of all elements along `axes`, which stay with size 1. */
export function reduce(x: Tensor, axes: number[], f: (elements: number[]) => number): Tensor {
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const groups = new Map<number, number[]>();
  x.data.forEach((value, i) => {
    const p = position(x.shape, i).map((n, axis) => (axes.includes(axis) ? 0 : n));
    const key = p.reduce((n, value_, axis) => n * kept[axis]! + value_, 0);
    groups.set(key, [...(groups.get(key) ?? []), value]);
  });
  return { shape: kept, data: Array.from({ length: count(kept) }, (_, i) => f(groups.get(i)!)) };
}

export const total = (elements: number[]): number => elements.reduce((a, b) => a + b, 0);
export const average = (elements: number[]): number => total(elements) / elements.length;
export const reshaped = (x: Tensor, shape: readonly number[]): Tensor => ({ shape, data: x.data });

/** Batched a b; `ta`, `tb` exchange the last two axes first. */
export function product(a: Tensor, b: Tensor, ta = false, tb = false): Tensor {
  const [x, y] = [ta ? transposed(a) : a, tb ? transposed(b) : b];
  const inner = x.shape.at(-1)!;
  const batch = broadcastShape(x.shape.slice(0, -2), y.shape.slice(0, -2));
  return tensor([...batch, x.shape.at(-2)!, y.shape.at(-1)!], (p) => {
    const [lead, i, j] = [p.slice(0, -2), p.at(-2)!, p.at(-1)!];
    return total(Array.from({ length: inner }, (_, k) => at(x, [...lead, i, k]) * at(y, [...lead, k, j])));
  });
}

export function permuted(x: Tensor, order: number[]): Tensor {
  return tensor(
    order.map((axis) => x.shape[axis]!),
    (p) => {
      const source: number[] = [];
      order.forEach((axis, i) => (source[axis] = p[i]!));
      return at(x, source);
    },
  );
}

export const transposed = (x: Tensor): Tensor => {
  const order = x.shape.map((_, i) => i);
  return permuted(x, [...order.slice(0, -2), order.length - 1, order.length - 2]);
};

export interface Conv {
  stride: [number, number];
  padding: [number, number];
  dilation: [number, number];
  groups: number;
}

/** Calls visit(x position, w position, y position) for every product in a convolution. */
export function convolve(
  x: readonly number[],
  w: readonly number[],
  { stride, padding, dilation, groups }: Conv,
  visit: (x: number[], w: number[], y: number[]) => void,
): number[] {
  const out = [0, 1].map((i) =>
    Math.floor((x[2 + i]! + 2 * padding[i]! - dilation[i]! * (w[2 + i]! - 1) - 1) / stride[i]! + 1),
  );
  const y = [x[0]!, w[0]!, ...out];
  for (let i = 0; i < count(y); ++i) {
    const [n, o, oh, ow] = position(y, i) as [number, number, number, number];
    const group = Math.floor((o * groups) / w[0]!);
    for (let j = 0; j < count(w.slice(1)); ++j) {
      const [c, kh, kw] = position(w.slice(1), j) as [number, number, number];
      const h = oh * stride[0] - padding[0] + kh * dilation[0];
      const v = ow * stride[1] - padding[1] + kw * dilation[1];
      if (h < 0 || v < 0 || h >= x[2]! || v >= x[3]!) continue;
      visit([n, group * w[1]! + c, h, v], [o, c, kh, kw], [n, o, oh, ow]);
    }
  }
  return y;
}

export const flat = (shape: readonly number[], p: number[]): number =>
  p.reduce((n, v, axis) => n * shape[axis]! + v, 0);

/** The error function by its power series; exact to 1e-14 for |x| <= 2.5. */
export function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; n < 80; ++n) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** A small generator for test data (mulberry32): uniform on [low, high). */
export function uniform(seed: number, length: number, low = -1, high = 1): number[] {
  let state = seed >>> 0;
  return Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return low + (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * (high - low);
  });
}

/** Squared distances from the mean. */
export const squares = (x: number[]) => x.map((v) => (v - average(x)) ** 2);

/** exp(x) / sum(exp(x)) along an axis. */
export function softmaxOf(x: Tensor, axis: number): Tensor {
  const powers = map((a) => Math.exp(a!), x);
  return map((a, b) => a! / b!, powers, reduce(powers, [axis], total));
}

/** (x - mean) / sqrt(variance + eps) over some axes. */
export const normalised = (x: Tensor, axes: number[], eps: number): Tensor => {
  const variance = reduce(x, axes, (e) => average(squares(e)));
  return map((a, m, v) => (a! - m!) / Math.sqrt(v! + eps), x, reduce(x, axes, average), variance);
};
