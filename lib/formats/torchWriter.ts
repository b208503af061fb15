/** Writer of PyTorch files, as torch.save makes them. */
import { checkObject, checkOneOf, checkString } from '../errors.js';
import { writeFileAtomic } from './atomicFile.js';
import { castFloats, floatTypes, type FloatType } from './floatBits.js';
import { PickleWriter } from './pickleWriter.js';
import { bytesOf, isTensor, toStored, torchName, type StoredTensor, type TensorDType } from './storedTensor.js';
import { rowMajor } from './stridedCopy.js';
import type { TorchInput } from './torchValue.js';
import { formatZip, zipAlignment } from './zipWriter.js';

/** What {@link writeTorch} takes. */
export interface WriteTorchOptions {
  /** Type to which floating-point tensors are brought; as they are where left out. */
  dtype?: FloatType;
}

const storageTypes: Partial<Record<TensorDType, string>> = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  I32: 'IntStorage',
  I16: 'ShortStorage',
  I8: 'CharStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
};

/**
 * Writes a value so that `torch.load(path, weights_only=True)` reads it, and so that a reader sees all of it or nothing.
 * Maps and plain objects become dicts, arrays lists, whole numbers integers, `Uint8Array`s bytes; tensors that share
 * their memory share it in the file.
 *
 * @param value a state dict, such as `run.stateDict(0)`, or any nesting of dicts, lists, numbers, strings and tensors
 * @throws PtmzError `INVALID_ARGUMENT` naming what cannot be written, before anything is; `DISK_FULL`, `NOT_WRITABLE`,
 * `IO_ERROR`; `LIMIT_EXCEEDED` beyond 4 GiB
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { writeTorch } from 'ptmz-native';
 * const w = { dtype: 'float32', shape: [2, 1], data: Float32Array.of(1, 2) };
 * writeTorch('model.pt', { 'fc.weight': w }, { dtype: 'F16' });
 * rmSync('model.pt');
 * ```
 */
export function writeTorch(path: string, value: TorchInput, options: WriteTorchOptions = {}): void {
  checkString('path', path);
  checkObject('options', options, ['dtype']);
  if (options.dtype !== undefined) checkOneOf('dtype', options.dtype, floatTypes);
  writeFileAtomic(path, formatTorch(value, path, options));
}

/** The bytes of a file, in pieces. @internal */
export function formatTorch(value: TorchInput, name: string, { dtype }: WriteTorchOptions = {}): Uint8Array[] {
  const storages = new Storages(dtype);
  const writer = new PickleWriter((object, where) => {
    if (!isTensor(object)) return false;
    writeTensor(writer, storages.store(toStored(where, object)));
    return true;
  });
  const pickle = writer.value(value).finish();
  const text = (content: string) => Buffer.from(content);
  return formatZip(
    new Map<string, Uint8Array>([
      ['archive/data.pkl', pickle],
      ['archive/.format_version', text('1')],
      ['archive/.storage_alignment', text(String(zipAlignment))],
      ['archive/byteorder', text('little')],
      ...storages.entries('archive/data/'),
      ['archive/version', text('3\n')],
    ]),
    name,
  );
}

interface Stored {
  tensor: StoredTensor;
  key: number;
}

/** The memory of all tensors, each piece once. */
class Storages {
  readonly #bytes: Uint8Array[] = [];
  readonly #known = new Map<ArrayBufferLike, { place: string; stored: Stored }[]>();

  constructor(readonly dtype: FloatType | undefined) {}

  store(tensor: StoredTensor): Stored {
    const { buffer, byteOffset, byteLength } = tensor.data;
    const place = `${tensor.dtype} ${byteOffset} ${byteLength}`;
    const pieces = this.#known.get(buffer) ?? [];
    this.#known.set(buffer, pieces);
    const same = pieces.find((piece) => piece.place === place)?.stored;
    if (same) return { key: same.key, tensor: { ...same.tensor, shape: tensor.shape } };
    const cast = this.dtype === undefined ? tensor : castFloats(tensor, this.dtype);
    const stored = { tensor: cast, key: this.#bytes.push(bytesOf(cast)) - 1 };
    pieces.push({ place, stored });
    return stored;
  }

  entries(prefix: string): [string, Uint8Array][] {
    return this.#bytes.map((bytes, key) => [`${prefix}${key}`, bytes]);
  }
}

/** `_rebuild_tensor_v2(storage, offset, size, strides, requires_grad, hooks)`, or version 3 for types without storage. */
function writeTensor(writer: PickleWriter, { tensor, key }: Stored): void {
  const { dtype, shape, data } = tensor;
  const type = storageTypes[dtype];
  writer.call('torch._utils', type ? '_rebuild_tensor_v2' : '_rebuild_tensor_v3', () => {
    writer.op('(').value('storage');
    if (type) writer.global('torch', type);
    else writer.global('torch.storage', 'UntypedStorage');
    writer.value(String(key)).value('cpu');
    writer.value(type ? data.length : data.byteLength);
    writer.op('t').op('Q').value(0);
    writer.tuple(shape).tuple(rowMajor(shape)).value(false);
    writer.call('collections', 'OrderedDict', () => undefined);
    if (!type) writer.global('torch', torchName(dtype));
  });
}
