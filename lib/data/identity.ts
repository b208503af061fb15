/** Identity of a data set: a hash by which a resumed training knows that it sees the same samples. */
import type { DataSet } from './dataset.js';
import type { Split } from './split.js';

/** What a checkpoint keeps of its data set. @internal */
export interface DataIdentity {
  name: string;
  classes: number;
  train: { count: number; shape: readonly number[]; sha256: string };
  test: { count: number; shape: readonly number[]; sha256: string } | null;
}

/** @internal */
export function dataIdentity({ name, classes, train, test }: DataSet<Split>): DataIdentity {
  const split = (s: Split) => ({ count: s.count, shape: s.shape, sha256: s.digest() });
  return { name, classes, train: split(train), test: test ? split(test) : null };
}
