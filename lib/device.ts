/** Devices: the names under which a program's device is asked for. */
import { invalidArgument } from './errors.js';

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
