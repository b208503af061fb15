/** TorchValue: what a PyTorch file can hold, as plain values. */
import type { NamedTensor, StoredTensor } from './storedTensor.js';

/** Keys of a dict. */
export type TorchKey = string | number | bigint | boolean | null;

/**
 * Dicts are Maps, so that a key such as `__proto__` is a key and nothing else; lists, tuples and sizes are arrays;
 * integers beyond 2^53 are bigints; dtypes and devices are their names.
 */
export type TorchValue =
  TorchKey | Uint8Array | StoredTensor | readonly TorchValue[] | ReadonlyMap<TorchKey, TorchValue>;

/** What `writeTorch` takes: Maps and plain objects become dicts. */
export type TorchInput =
  | TorchKey
  | Uint8Array
  | StoredTensor
  | NamedTensor
  | readonly TorchInput[]
  | ReadonlyMap<TorchKey, TorchInput>
  | { readonly [key: string]: TorchInput };
