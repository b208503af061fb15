/** Identity of a data set: a hash by which a resumed training knows that it sees the same samples. */
import { createHash } from 'node:crypto';
import type { NativeArray } from '../native.js';
import { callNative } from '../errors.js';
import type { DataSet, DataSplit } from './dataset.js';

const digests = new WeakMap<DataSplit, string>();
const block = 2 ** 22;

/** SHA-256 of samples, labels, shape and normalisation of a split; computed once. @internal */
export function splitDigest(split: DataSplit): string {
  const known = digests.get(split);
  if (known !== undefined) return known;
  const { samples } = split.native;
  const { shape, normalisation, classes } = split;
  const hash = createHash('sha256').update(JSON.stringify({ shape, normalisation, classes, dtype: samples.dtype }));
  const Type = samples.dtype === 'uint8' ? Uint8Array : Float32Array;
  for (let done = 0; done < samples.size; done += block) {
    const part: NativeArray = new Type(Math.min(block, samples.size - done));
    callNative(() => samples.read(0, done, part));
    hash.update(part);
  }
  const digest = hash.update(split.labels).digest('hex');
  digests.set(split, digest);
  return digest;
}

/** What a checkpoint keeps of its data set. @internal */
export interface DataIdentity {
  name: string;
  classes: number;
  train: { count: number; shape: readonly number[]; sha256: string };
  test: { count: number; shape: readonly number[]; sha256: string } | null;
}

/** @internal */
export function dataIdentity({ name, classes, train, test }: DataSet): DataIdentity {
  const split = (s: DataSplit) => ({ count: s.count, shape: s.shape, sha256: splitDigest(s) });
  return { name, classes, train: split(train), test: test ? split(test) : null };
}
