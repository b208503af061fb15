/** Reader of PyTorch files: the zip archives of torch.save since 1.6, and the chain of pickles that it wrote before. */
import { PtmzError } from '../errors.js';
import { InputFile } from './inputFile.js';
import { parsePickle, type PickleOptions } from './pickle.js';
import { pickledText, plainGlobals, type PickleFail, type PickleValue } from './pickleValue.js';
import { widthOf } from './storedTensor.js';
import { readStorage, torchGlobals, type TorchStorage } from './torchPickle.js';
import { TorchTensors } from './torchTensors.js';
import type { TorchValue } from './torchValue.js';
import { ZipArchive } from './zipArchive.js';

/**
 * Reads what `torch.save` wrote: a state dict, or any nesting of dicts, lists, numbers, strings and tensors. Nothing in
 * the file is run; names of functions and classes count only where this package knows what they stand for. Contiguous
 * tensors that share memory in the file share it here.
 *
 * @throws PtmzError `IO_ERROR`; `UNSAFE_PICKLE` naming a class or function beyond tensors, as in a whole module;
 * `UNSUPPORTED_DTYPE`; `DATA_MALFORMED`, `TRUNCATED`, `CHECKSUM_MISMATCH`, `LIMIT_EXCEEDED` where the file is damaged or
 * made to harm; all name the file
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { readTorch, writeTorch } from 'ptmz-native';
 * writeTorch('model.pt', { epoch: 3, weights: { w: { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) } } });
 * const value = readTorch('model.pt'); // Map { 'epoch' => 3, 'weights' => Map { 'w' => { dtype: 'F32', ... } } }
 * rmSync('model.pt');
 * ```
 */
export function readTorch(path: string): TorchValue {
  const first = firstBytes(path);
  try {
    if (first[0] === 0x50 && first[1] === 0x4b) {
      using archive = new ZipArchive(path);
      return readArchive(archive, path);
    }
    if (first[0] === 0x80) {
      using file = new InputFile(path);
      return readChain(file);
    }
  } catch (error) {
    throw withHint(error);
  }
  throw new PtmzError('DATA_MALFORMED', `${path}: expected a zip archive or a pickle, as torch.save writes them`);
}

function firstBytes(path: string): Uint8Array {
  using file = new InputFile(path);
  return file.read(0, Math.min(4, file.size));
}

/** What most often stands in the way of a reader without classes. */
function withHint(error: unknown): unknown {
  if (!(error instanceof PtmzError) || error.code !== 'UNSAFE_PICKLE' || error.hint !== undefined) return error;
  const hint =
    'A file of tensors is read, one of Python objects is not: in Python, torch.save(model.state_dict(), ...).';
  return new PtmzError(error.code, error.message, { hint, cause: error });
}

function readArchive(archive: ZipArchive, path: string): TorchValue {
  const fail = (what: string) => new PtmzError('DATA_MALFORMED', `${path}: ${what}`);
  const pickles = archive.names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw fail(`expected one entry */data.pkl, there are ${pickles.length}`);
  const root = pickles[0]!.slice(0, -'data.pkl'.length);
  if (archive.sizeOf(`${root}constants.pkl`) !== undefined)
    throw fail('a TorchScript archive, which holds a program; in Python, torch.save(model.state_dict(), ...)');
  const { value, end } = parsePickle(archive.read(pickles[0]!), `${path}: ${pickles[0]}`, {
    globals: torchGlobals,
    persistent: storages((storage, refuse) => {
      const size = archive.sizeOf(`${root}data/${storage.key}`);
      if (size !== storage.bytes)
        throw refuse(`a storage of ${storage.bytes} bytes, the archive has ${size ?? 'none of that name'}`);
    }),
  });
  if (end !== archive.sizeOf(pickles[0]!)) throw fail(`bytes follow the pickle in ${pickles[0]}, from ${end} on`);
  const bigEndian = byteOrder(archive, `${root}byteorder`, fail) === 'big';
  const read = ({ key }: TorchStorage) => archive.read(`${root}data/${key}`);
  return new TorchTensors({ path, bigEndian, read }).convert(value);
}

function byteOrder(archive: ZipArchive, name: string, fail: (what: string) => PtmzError): string {
  if (archive.sizeOf(name) === undefined) return 'little';
  const order = Buffer.from(archive.read(name)).toString('latin1').trim();
  if (order !== 'little' && order !== 'big') throw fail(`the byte order '${order.slice(0, 20)}'`);
  return order;
}

/** One object per storage, however often the pickle names it; `check` sees each once. */
function storages(check: (storage: TorchStorage, fail: PickleFail) => void): PickleOptions['persistent'] {
  const known = new Map<string, TorchStorage>();
  return (id, fail) => {
    const storage = readStorage(id, fail);
    const same = known.get(storage.key);
    if (same && same.dtype === storage.dtype && same.bytes === storage.bytes) return same;
    if (same) throw fail(`the storage ${storage.key} has two types or sizes`);
    check(storage, fail);
    known.set(storage.key, storage);
    return storage;
  };
}

// The chain: magic number, version, facts about the machine, the value, the keys of storages, the storages.
const magic = 0x1950a86a20f9469cfc6cn;
const version = 1001;

function readChain(file: InputFile): TorchValue {
  const { path } = file;
  const bytes = file.read(0, file.size);
  const fail = (what: string) => new PtmzError('DATA_MALFORMED', `${path}: ${what}`);
  let start = 0;
  const next = (options: Omit<PickleOptions, 'start'>): PickleValue => {
    const { value, end } = parsePickle(bytes, path, { ...options, start });
    start = end;
    return value;
  };
  // A single pickle is read as far as it goes: what it names is worth an error of its own.
  const first = next({ globals: torchGlobals });
  if (first !== magic) throw fail('a pickle, but not one that torch.save wrote');
  if (next({ globals: plainGlobals }) !== version) throw fail(`expected version ${version} of the old format`);
  const facts = next({ globals: plainGlobals });
  const found = new Map<string, TorchStorage>();
  const value = next({
    globals: torchGlobals,
    persistent: storages((storage) => void found.set(storage.key, storage)),
  });
  const keys = next({ globals: plainGlobals });
  if (!Array.isArray(keys)) throw fail('expected a list of storages after the value');
  const contents = readStorages(bytes, start, keys, found, fail);
  const bigEndian = facts instanceof Map && facts.get('little_endian') === false;
  return new TorchTensors({ path, bigEndian, read: ({ key }) => contents.get(key)!.slice() }).convert(value);
}

/** Each storage is its count of numbers and their bytes; by key. */
function readStorages(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  keys: readonly PickleValue[],
  found: ReadonlyMap<string, TorchStorage>,
  fail: (what: string) => PtmzError,
): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  const contents = new Map<string, Uint8Array<ArrayBuffer>>();
  let at = start;
  for (const item of keys) {
    const storage = found.get(pickledText(item) ?? '');
    if (!storage || contents.has(storage.key)) throw fail('the list of storages does not fit the value');
    const end = at + 8 + storage.bytes;
    if (end > bytes.length) throw fail(`the storage ${storage.key} ends at byte ${end}, the file at ${bytes.length}`);
    const count = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true));
    if (count * (storage.dtype ? widthOf(storage.dtype) : 1) !== storage.bytes)
      throw fail(`the storage ${storage.key} has ${count} numbers and ${storage.bytes} bytes`);
    contents.set(storage.key, bytes.subarray(at + 8, end));
    at = end;
  }
  if (contents.size !== found.size) throw fail('a storage is missing in the list of storages');
  if (at !== bytes.length) throw fail(`bytes follow the storages, from ${at} on`);
  return contents;
}
