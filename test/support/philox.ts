/** Philox4x32-10, the shuffle of training and the draws of augmentation, written anew with bigints: the reference for the native ones. */
const mask = 0xffffffffn;
const order = 2n;
const augment = 3n;

export function philox(key: [bigint, bigint], counter: [bigint, bigint, bigint, bigint]): bigint[] {
  let [k0, k1] = key;
  let [c0, c1, c2, c3] = counter;
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [((p1 >> 32n) ^ c1 ^ k0) & mask, p1 & mask, ((p0 >> 32n) ^ c3 ^ k1) & mask, p0 & mask];
    [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
  }
  return [c0, c1, c2, c3];
}

/** The order of `count` samples in an epoch (from 0) for a member. */
export function shuffled(seed: number, epoch: number, count: number): number[] {
  const positions = Array.from({ length: count }, (_, i) => i);
  const key: [bigint, bigint] = [BigInt(seed) & mask, ((BigInt(seed) >> 32n) ^ (order * 0x85ebca77n)) & mask];
  for (let i = count - 1; i > 0; i--) {
    const words = philox(key, [BigInt(i), 0n, BigInt(epoch), 0n]);
    const j = Number((((words[0]! << 32n) | words[1]!) * BigInt(i + 1)) >> 64n);
    [positions[i], positions[j]] = [positions[j]!, positions[i]!];
  }
  return positions;
}

/** The four words that decide how a sample is augmented in an epoch (from 0). */
export function augmentWords(seed: number, epoch: number, sample: number): number[] {
  const key: [bigint, bigint] = [BigInt(seed) & mask, ((BigInt(seed) >> 32n) ^ (augment * 0x85ebca77n)) & mask];
  return philox(key, [0n, 0n, BigInt(epoch), BigInt(sample)]).map(Number);
}
