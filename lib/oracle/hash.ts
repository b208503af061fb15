/** Numbers of an oracle that are not stored: a counter-based hash of (seed, name, index); see its hashgen.mjs. */

const mask = (1n << 64n) - 1n;

/** FNV-1a of a string's bytes, 64 bits. */
function fnv1a(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & mask;
  return hash;
}

/** 64 bits for each of n positions (splitmix64). */
function words(seed: number, name: string, n: number): bigint[] {
  const start = fnv1a(`${seed}:${name}`);
  return Array.from({ length: n }, (_, i) => {
    let z = (start + BigInt(i + 1) * 0x9e3779b97f4a7c15n) & mask;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    return z ^ (z >> 31n);
  });
}

/** float32 numbers in shift +- scale. */
export const uniform = (seed: number, name: string, n: number, scale = 1, shift = 0): Float32Array =>
  Float32Array.from(words(seed, name, n), (z) => shift + (2 * (Number(z >> 40n) * 2 ** -24) - 1) * scale);

/** Random signs. */
export const rademacher = (seed: number, name: string, n: number): Float32Array =>
  Float32Array.from(words(seed, name, n), (z) => (z >> 63n ? 1 : -1));

/** Integers in [0, high). */
export const integers = (seed: number, name: string, n: number, high: number): number[] =>
  words(seed, name, n).map((z) => Number((z >> 11n) % BigInt(high)));

/** The first values of a convolutional network's tensor, by its state-dict name. */
export function firstValues(
  seed: number,
  prefix: string,
  key: string,
  shape: readonly number[],
  keys: readonly string[],
): Float32Array {
  const n = shape.reduce((a, b) => a * b, 1);
  const draw = (scale: number, shift = 0) => uniform(seed, `${prefix}/${key}`, n, scale, shift);
  if (key.endsWith('running_mean')) return draw(0.1);
  if (key.endsWith('running_var')) return draw(0.4, 1);
  if (shape.length >= 2) return draw(Math.sqrt((shape.length === 4 ? 6 : 3) / (n / shape[0]!)));
  if (!key.endsWith('weight')) return draw(0.1);
  const last = (name: string) =>
    name.endsWith('.bn3.weight') ||
    (name.endsWith('.bn2.weight') && !keys.includes(name.replace(/bn2.weight$/, 'bn3.weight')));
  return last(key) ? draw(0.05, 0.25) : draw(0.2, 1);
}
