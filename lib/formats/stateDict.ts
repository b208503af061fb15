/** State dicts: tensors by name, from a file or folder of any format that this package knows, and into one. */
import { readdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { checkObject, checkOneOf, checkString, PtmzError } from '../errors.js';
import { attempt, disk, writeDirectoryAtomic, writeFileAtomic } from './atomicFile.js';
import { castFloats, floatTypes, type FloatType } from './floatBits.js';
import { statOf } from './inputFile.js';
import { formatNpy, readNpy } from './npy.js';
import { formatSafetensors, readSafetensors } from './safetensors.js';
import { isTensor, toStored, type NamedTensor, type StoredTensor } from './storedTensor.js';
import { readTorch } from './torchFile.js';
import type { TorchValue } from './torchValue.js';
import { formatTorch } from './torchWriter.js';

/** What state dicts are read from and written to. */
export type StateFormat = 'torch' | 'safetensors' | 'npy';
/** All of them. @internal */
export const stateFormats = ['torch', 'safetensors', 'npy'] as const satisfies readonly StateFormat[];

const extensions: Record<string, StateFormat> = {
  '.pt': 'torch',
  '.pth': 'torch',
  '.ckpt': 'torch',
  '.safetensors': 'safetensors',
};

/** The format that a path asks for: by its extension, or a folder of .npy files where it has none. */
export function formatOf(path: string): StateFormat | undefined {
  const extension = extname(path).toLowerCase();
  return extension === '' ? 'npy' : extensions[extension];
}

/**
 * Reads a state dict: a PyTorch file (also one that holds it as `state_dict`, `model_state_dict` or `model` among other
 * things), a safetensors file, or a folder of .npy files. Prefixes that wrappers put before all names (`module.`,
 * `_orig_mod.`) are taken away.
 *
 * @throws PtmzError `IO_ERROR`; `DATA_MALFORMED` where there is no state dict; what {@link readTorch},
 * {@link readSafetensors} and {@link readNpy} throw
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { readStateDict, writeStateDict } from 'ptmz-native';
 * writeStateDict('m.pt', { 'module.w': { dtype: 'F32', shape: [1], data: Float32Array.of(1) } });
 * readStateDict('m.pt').get('w')?.shape; // [1]
 * rmSync('m.pt');
 * ```
 */
export function readStateDict(path: string): Map<string, StoredTensor> {
  checkString('path', path);
  const stat = statOf(path);
  if (!stat) throw new PtmzError('IO_ERROR', `${path} could not be read: there is no such file or folder`);
  if (stat.isDirectory()) return withoutPrefixes(readFolder(path));
  if (formatOf(path) === 'safetensors') return withoutPrefixes(readSafetensors(path));
  if (extname(path).toLowerCase() === '.npy')
    throw new PtmzError('INVALID_ARGUMENT', `${path}: Expected a folder of .npy files but received one array`);
  return withoutPrefixes(pickTensors(readTorch(path), path));
}

const wrappers = ['module.', '_orig_mod.'];

function withoutPrefixes(tensors: Map<string, StoredTensor>): Map<string, StoredTensor> {
  const names = [...tensors.keys()];
  const prefix = wrappers.find((text) => names.length > 0 && names.every((name) => name.startsWith(text)));
  if (prefix === undefined) return tensors;
  return withoutPrefixes(new Map(Array.from(tensors, ([name, tensor]) => [name.slice(prefix.length), tensor])));
}

function pickTensors(value: TorchValue, path: string): Map<string, StoredTensor> {
  const fail = (what: string) => new PtmzError('DATA_MALFORMED', `${path}: expected a state dict, ${what}`);
  if (!(value instanceof Map)) throw fail('the file holds something else');
  for (const key of ['state_dict', 'model_state_dict', 'model']) {
    const inner = value.get(key) as TorchValue | undefined;
    if (inner instanceof Map) return pickTensors(inner, path);
  }
  const entries = [...(value as Map<unknown, TorchValue>)];
  const odd = entries.find(([name, tensor]) => typeof name !== 'string' || !isTensor(tensor));
  if (odd) throw fail(`'${String(odd[0]).slice(0, 80)}' is not a named tensor`);
  return new Map(entries as [string, StoredTensor][]);
}

function readFolder(path: string): Map<string, StoredTensor> {
  const files = attempt('list', path, () => readdirSync(path)).filter((name) => name.endsWith('.npy'));
  if (files.length === 0) throw new PtmzError('DATA_MISSING', `${path}: there are no .npy files`);
  return new Map(files.sort().map((name) => [name.slice(0, -'.npy'.length), readNpy(join(path, name))]));
}

/** What {@link writeStateDict} takes. */
export interface WriteStateDictOptions {
  /** Type to which floating-point tensors are brought; as they are where left out. */
  dtype?: FloatType;
  /** By the extension of the path where left out: .pt, .pth, .ckpt; .safetensors; none for a folder of .npy files. */
  format?: StateFormat;
}

/** Tensors by name, as `run.stateDict()`, `readSafetensors` and {@link readStateDict} give them. */
export type StateDictInput =
  ReadonlyMap<string, StoredTensor | NamedTensor> | { readonly [name: string]: StoredTensor | NamedTensor };

/**
 * Writes a state dict, so that a reader sees all of it or nothing.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, `UNSUPPORTED_DTYPE` where the format has no such type, before anything is
 * written; `NOT_WRITABLE` where a folder is to be written over something; `DISK_FULL`, `IO_ERROR`
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { writeStateDict } from 'ptmz-native';
 * const w = { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) } as const;
 * writeStateDict('weights.safetensors', { w }, { dtype: 'BF16' });
 * rmSync('weights.safetensors');
 * ```
 */
export function writeStateDict(path: string, tensors: StateDictInput, options: WriteStateDictOptions = {}): void {
  checkString('path', path);
  checkObject('options', options, ['dtype', 'format']);
  if (options.dtype !== undefined) checkOneOf('dtype', options.dtype, floatTypes);
  const format = checkOneOf('format', options.format ?? formatOf(path) ?? extname(path), stateFormats);
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const stored = new Map(
    (entries as [string, StoredTensor | NamedTensor][]).map(([name, tensor]) => {
      const checked = toStored(`'${name}'`, tensor);
      return [name, options.dtype === undefined ? checked : castFloats(checked, options.dtype)];
    }),
  );
  if (format === 'torch') return writeFileAtomic(path, formatTorch(stored, path));
  if (format === 'safetensors') return writeFileAtomic(path, formatSafetensors(stored, { format: 'pt' }));
  const files = Array.from(stored, ([name, tensor]) => [fileName(name), formatNpy(tensor, {}, `'${name}'`)] as const);
  if (statOf(path))
    throw new PtmzError('NOT_WRITABLE', `${path}: there is something of that name; a folder is not written over it`);
  attempt('makeDirectory', path, () => disk.makeDirectory(join(path, '..')));
  writeDirectoryAtomic(path, new Map(files));
}

/** Names of tensors become names of files: none may leave the folder, or be too long for it. */
function fileName(name: string): string {
  if (/^[^/\\\0]{1,240}$/.test(name)) return `${name}.npy`;
  throw new PtmzError(
    'INVALID_ARGUMENT',
    `Expected names without / and of at most 240 characters but received '${name}'`,
  );
}
