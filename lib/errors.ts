/** PtmzError, the one error type of this package, and the argument checks that throw it. */
import { fileURLToPath } from 'node:url';

/**
 * What went wrong, in a word that code can test.
 *
 * | code | meaning |
 * |---|---|
 * | `INVALID_ARGUMENT` | an argument has the wrong type or range; the message names it, what was expected and what came |
 * | `SHAPE_MISMATCH` | the shapes of an operator's inputs do not fit each other; the message holds both |
 * | `OUT_OF_MEMORY` | not even one member fits the memory limit, or an allocation failed |
 * | `BUSY` | the object is in use by a running job, or the directory by another process; the message names it |
 * | `DISPOSED` | the object was used after `dispose()` |
 * | `ABORTED` | a job was stopped without an `AbortSignal` of its own |
 * | `INDEX_OUT_OF_RANGE` | an index met while running lies outside its axis |
 * | `NON_FINITE` | a result is NaN or infinite where that makes no sense |
 * | `NO_NATIVE` | the native addon could not be loaded |
 * | `CUDA_UNAVAILABLE` | a CUDA device was asked for and cannot be used |
 * | `GPU_ERROR` | a GPU or its driver reported an error; the message names the launch where it is known |
 * | `UNSUPPORTED` | this device cannot do what was asked for; the message names what can |
 * | `IO_ERROR` | a file could not be read or written; the message names path and call |
 * | `DISK_FULL` | there is no space left for a file; the message holds the bytes needed and free |
 * | `NOT_WRITABLE` | a file or directory may not be written, or a file is where a directory is due |
 * | `DATA_MALFORMED` | a file was read and is not what it should be; the message names the file |
 * | `SAFETENSORS_MALFORMED` | a safetensors file breaks the format; the message names file and byte |
 * | `DUPLICATE_KEY` | a name stands twice in the header of a safetensors file |
 * | `UNSUPPORTED_DTYPE` | a file holds numbers of a type that this package does not read |
 * | `TRUNCATED` | a file ends before its data |
 * | `CHECKSUM_MISMATCH` | a file is not as it was written or published; the message names it, and the tensor of a checkpoint |
 * | `CHECKPOINT_MISMATCH` | a checkpoint belongs to another model, data set or run |
 * | `DATA_MISSING` | a data set or file that was asked for is not there |
 * | `UNSAFE_PICKLE` | a pickle names a function or class that data files have no use for; nothing of it was run |
 * | `LIMIT_EXCEEDED` | a file would take more depth, size or time than its kind ever needs |
 * | `MISSING_PEER` | an optional package that this function needs is not installed; the hint says how |
 * | `BUILD_FAILED` | the native addon could not be built |
 * | `INTERNAL` | a fault of this package; please report it |
 */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'SHAPE_MISMATCH'
  | 'OUT_OF_MEMORY'
  | 'BUSY'
  | 'DISPOSED'
  | 'ABORTED'
  | 'INDEX_OUT_OF_RANGE'
  | 'NON_FINITE'
  | 'NO_NATIVE'
  | 'CUDA_UNAVAILABLE'
  | 'GPU_ERROR'
  | 'UNSUPPORTED'
  | 'IO_ERROR'
  | 'DISK_FULL'
  | 'NOT_WRITABLE'
  | 'DATA_MALFORMED'
  | 'SAFETENSORS_MALFORMED'
  | 'DUPLICATE_KEY'
  | 'UNSUPPORTED_DTYPE'
  | 'TRUNCATED'
  | 'CHECKSUM_MISMATCH'
  | 'CHECKPOINT_MISMATCH'
  | 'DATA_MISSING'
  | 'UNSAFE_PICKLE'
  | 'LIMIT_EXCEEDED'
  | 'MISSING_PEER'
  | 'BUILD_FAILED'
  | 'INTERNAL';

/**
 * The error that every function of this package throws. Its stack begins at the caller's own line.
 *
 * @example
 * ```ts
 * import { Graph, PtmzError } from 'ptmz-native';
 * using graph = new Graph();
 * try {
 *   graph.input('a', [3, 4]).add(graph.input('b', [3, 5]));
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code, error.message); // SHAPE_MISMATCH add: ...
 * }
 * ```
 */
export class PtmzError extends Error {
  override readonly name = 'PtmzError';
  /** What went wrong; see {@link ErrorCode}. */
  readonly code: ErrorCode;
  /** What to do about it, where that can be said. */
  declare readonly hint?: string;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.hint !== undefined) (this as { hint?: string }).hint = options.hint;
    captureStack(this);
  }
}

const packageRoot = fileURLToPath(new URL('.', import.meta.url));

// Composites call composites: the usual 10 frames might all be ours.
const deepest = 40;

/** Captures the stack as far as the user's frames, and as many of these as usual. @internal */
export function captureStack(target: { stack?: string }): void {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = deepest;
  Error.captureStackTrace(target, captureStack);
  Error.stackTraceLimit = limit;
  const lines = (target.stack ?? '').split('\n');
  const first = lines.findIndex((line) => line.startsWith('    at '));
  if (first < 0) return;
  const own = (line: string) => line.includes(packageRoot) || line.endsWith('(<anonymous>)');
  const user = lines.findIndex((line, i) => i >= first && !own(line));
  const from = user < 0 ? first : user;
  target.stack = [...lines.slice(0, first), ...lines.slice(from, from + limit)].join('\n');
}

/**
 * A native error as a PtmzError. Errors thrown by a job arrive without the caller's frames: `site`, taken when the job
 * was started, supplies them.
 * @internal
 */
export function wrapNative(error: unknown, site?: { stack?: string }): unknown {
  if (error instanceof PtmzError || !(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return error;
  const wrapped = new PtmzError(code as ErrorCode, error.message, { cause: error });
  if (site?.stack !== undefined)
    wrapped.stack = `${wrapped.name}: ${wrapped.message}${site.stack.slice(site.stack.indexOf('\n'))}`;
  return wrapped;
}

/** Calls native code and rethrows what it throws as a PtmzError. @internal */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw wrapNative(error);
  }
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return `'${value}' of type string`;
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return `[${value.slice(0, 8).join(',')}${value.length > 8 ? ',...' : ''}] of type array`;
  if (typeof value === 'object' && 'kind' in value && 'shape' in value)
    return `a Value of kind '${String(value.kind)}' and shape [${String(value.shape)}]`;
  if (typeof value === 'object') return `an object of type ${value.constructor?.name ?? 'Object'}`;
  return `${String(value)} of type ${typeof value}`;
}

/** The error for a bad argument: its name, what was expected, what came. @internal */
export function invalidArgument(name: string, expected: string, actual: unknown): PtmzError {
  return unexpected(name, expected, describe(actual));
}

/** The same, where what came is said in words. @internal */
export function unexpected(name: string, expected: string, received: string): PtmzError {
  return new PtmzError('INVALID_ARGUMENT', `Expected ${expected} for ${name} but received ${received}`);
}

/** @internal */
export function checkInteger(
  name: string,
  value: unknown,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const low = min === Number.MIN_SAFE_INTEGER ? '-2^53' : String(min);
  const high = max === Number.MAX_SAFE_INTEGER ? '2^53' : String(max);
  throw invalidArgument(name, `an integer between ${low} and ${high}`, value);
}

/** @internal */
export function checkNumber(name: string, value: unknown, min = -Infinity, max = Infinity): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  const range = min === -Infinity && max === Infinity ? 'a number' : `a number between ${min} and ${max}`;
  throw invalidArgument(name, range, value);
}

/** @internal */
export function checkString(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length > 0) return value;
  throw invalidArgument(name, 'a non-empty string', value);
}

/** @internal */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw invalidArgument(name, 'true or false', value);
}

/** @internal */
export function checkOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T;
  throw invalidArgument(name, `one of ${allowed.map((a) => `'${a}'`).join(', ')}`, value);
}

/** @internal */
export function checkObject(name: string, value: unknown, keys?: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidArgument(name, 'an object', value);
  if (!keys) return;
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw invalidArgument(name, `only the keys ${keys.join(', ')}`, unknown);
}

/** @internal */
export function checkArray(name: string, value: unknown, length?: number): void {
  if (Array.isArray(value) && (length === undefined || value.length === length)) return;
  throw invalidArgument(name, length === undefined ? 'an array' : `an array of length ${length}`, value);
}
