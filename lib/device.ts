/** Devices: the names under which a program's device is asked for, and whether it is there. */
import { callNative, invalidArgument } from './errors.js';
import { loadNative } from './load.js';

/**
 * A device by its full name: `cpu`, or `cuda:N` (`cuda` is `cuda:0`). Whether it can be used shows when it is used.
 *
 * @throws PtmzError `INVALID_ARGUMENT` where it is no such name
 * @internal
 */
export function checkDevice(name: string, device: unknown): string {
  if (device === 'cpu') return device;
  if (device === 'cuda') return 'cuda:0';
  if (typeof device === 'string' && /^cuda:(0|[1-9]\d{0,2})$/.test(device)) return device;
  throw invalidArgument(name, "'cpu', 'cuda' or 'cuda:N'", device);
}

/**
 * A device by its full name, as {@link checkDevice}; for work that has much to do before it uses it.
 *
 * @throws PtmzError `INVALID_ARGUMENT`; `CUDA_UNAVAILABLE` with the reason where it cannot be used
 * @internal
 */
export function requireDevice(name: string, device: unknown): string {
  const known = checkDevice(name, device);
  const { Vector } = loadNative();
  callNative(() => new Vector('float32', 1, 1, known)).dispose();
  return known;
}
