/**
 * The names that pickled PyTorch tensors use, for the pickle reader. Calls make descriptions of tensors; sizes, strides
 * and offsets are checked against the storage before a byte of it is read.
 */
import { numpyGlobals } from './numpyPickle.js';
import {
  pickledKind,
  pickledText,
  PickleGlobal,
  PickleObject,
  PickleTuple,
  type PickleFail,
  type PickleMake,
  type PickleValue,
} from './pickleValue.js';
import { byteCount, byTorchName, isSize, torchName, widthOf, type TensorDType } from './storedTensor.js';

const maxRank = 64;

/** Some memory of a file, which tensors are views of. */
export class TorchStorage extends PickleObject {
  constructor(
    readonly key: string,
    /** Undefined where each tensor tells its own. */
    readonly dtype: TensorDType | undefined,
    readonly bytes: number,
  ) {
    super();
  }
  build(_: PickleValue, fail: PickleFail): void {
    throw fail('a state of a storage');
  }
}

/** A view of a storage; offset and strides count numbers. */
export class TorchView extends PickleObject {
  constructor(
    readonly storage: TorchStorage,
    readonly dtype: TensorDType,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super();
  }
  build(_: PickleValue, fail: PickleFail): void {
    throw fail('a state of a tensor');
  }
}

/** PyTorch's names of typed storages. */
const storageTypes: Record<string, TensorDType> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};
// Known by name, so that the error is about the type.
const otherStorages = ['ComplexFloatStorage', 'ComplexDoubleStorage', 'QInt8Storage', 'QUInt8Storage', 'QInt32Storage'];
const otherTypes = ['complex32', 'complex64', 'complex128', 'qint8', 'quint8', 'qint32'].concat(
  ['e4m3fn', 'e5m2', 'e4m3fnuz', 'e5m2fnuz', 'e8m0fnu'].map((kind) => `float8_${kind}`),
);
const untypedStorage = 'torch.storage.UntypedStorage';

/** `('storage', type, key, device, count)`: the device is that of the writer, and means nothing here. @internal */
export function readStorage(id: PickleValue, fail: PickleFail): TorchStorage {
  const items = id instanceof PickleTuple ? id.items : [];
  const [kind, type, key, , count, view] = items;
  if (pickledText(kind) !== 'storage') throw fail('a persistent id that is no storage');
  if (items.length < 5 || items.length > 6 || !(type instanceof PickleGlobal))
    throw fail('a storage without type, key, device and size');
  if (view !== undefined && view !== null) throw fail('a storage within another one, as PyTorch 0.3 wrote it');
  const name = pickledText(key);
  if (name === undefined || !isSize(count)) throw fail(`${pickledKind(key)} of ${String(count)} numbers as a storage`);
  const short = type.name.replace(/^torch\.(cuda\.)?/, '');
  const dtype = Object.hasOwn(storageTypes, short) ? storageTypes[short] : undefined;
  if (dtype === undefined && type.name !== untypedStorage) throw unsupported(type.name, fail);
  const bytes = byteCount([count], dtype === undefined ? 1 : widthOf(dtype));
  if (bytes === undefined) throw fail(`a storage of ${count} numbers`);
  return new TorchStorage(name, dtype, bytes);
}

const unsupported = (name: string, fail: PickleFail) => fail(`tensors of type ${name}`, 'UNSUPPORTED_DTYPE');

const sizes = (value: PickleValue | undefined): readonly number[] | undefined =>
  value instanceof PickleTuple && value.items.length <= maxRank && value.items.every(isSize)
    ? (value.items as readonly number[])
    : undefined;

function view(args: readonly PickleValue[], dtype: TensorDType | undefined, fail: PickleFail): TorchView {
  const [storage, offset, shapeItems, strideItems] = args;
  if (!(storage instanceof TorchStorage)) throw fail(`${pickledKind(storage)} as storage of a tensor`);
  const type = dtype ?? storage.dtype;
  if (type === undefined || (storage.dtype !== undefined && storage.dtype !== type))
    throw fail('a tensor of another type than its storage');
  const [shape, strides] = [sizes(shapeItems), sizes(strideItems)];
  if (!isSize(offset) || !shape || !strides || shape.length !== strides.length)
    throw fail('an offset, sizes or strides of a tensor that cannot be');
  // Where there are numbers, the last one must lie within the storage. Rounding beyond 2^53 does not make it small.
  const last = shape.reduce((sum, size, axis) => sum + Math.max(0, size - 1) * strides[axis]!, offset);
  const end = shape.includes(0) ? 0 : (last + 1) * widthOf(type);
  if (end > storage.bytes)
    throw fail(
      `a tensor ${shape.join(' x ')} with strides ${strides.join(', ')} from ${offset} on ends at byte ${end}, ` +
        `its storage at ${storage.bytes}`,
    );
  if (byteCount(shape, widthOf(type)) === undefined) throw fail(`a tensor of sizes ${shape.join(' x ')}`);
  return new TorchView(storage, type, offset, shape, strides);
}

/** `_rebuild_tensor(storage, offset, size, stride)`; version 2 adds requires_grad, hooks and metadata. */
const makeTensor: PickleMake = (args, fail) => {
  if (args.length < 4 || args.length > 7) throw fail(`${args.length} arguments of a tensor`);
  return view(args, undefined, fail);
};

/** Version 3 has its type as seventh argument. */
const makeTyped: PickleMake = (args, fail) => {
  const type = args[6];
  if (args.length < 7 || args.length > 8 || !(type instanceof PickleGlobal)) throw fail('a tensor without its type');
  const dtype = byTorchName.get(type.name.replace(/^torch\./, ''));
  if (dtype === undefined) throw unsupported(type.name, fail);
  return view(args, dtype, fail);
};

/** `_rebuild_parameter(tensor, requires_grad, hooks)`, with state or without. */
const makeParameter: PickleMake = ([tensor, ...rest], fail) => {
  if (!(tensor instanceof TorchView) || rest.length > 3) throw fail(`${pickledKind(tensor)} as a parameter`);
  return tensor;
};

/** `_rebuild_from_type_v2(function, class, arguments, state)`: a tensor with attributes, which are dropped. */
const makeFromType: PickleMake = ([make, , args, ...rest], fail) => {
  const known = make instanceof PickleGlobal && (make.make === makeTensor || make.make === makeTyped);
  if (!known || !(args instanceof PickleTuple) || rest.length !== 1)
    throw fail('a tensor with attributes, but without function and arguments');
  return make.make!(args.items, fail);
};

const makeSize: PickleMake = ([items, ...rest], fail) => {
  const shape = sizes(items);
  if (!shape || rest.length > 0) throw fail(`${pickledKind(items)} as a size`);
  return new PickleTuple(shape);
};

const makeDevice: PickleMake = ([kind, index, ...rest], fail) => {
  const name = pickledText(kind);
  if (name === undefined || rest.length > 0) throw fail(`${pickledKind(kind)} as a device`);
  return index === undefined || index === null ? name : `${name}:${String(index)}`;
};

const mentioned = (names: readonly string[]) => names.map((name) => [name, undefined] as const);
const types = [...[...byTorchName.values()].map(torchName), ...otherTypes].map((name) => `torch.${name}`);
const storages = [...Object.keys(storageTypes), ...otherStorages].flatMap((name) =>
  ['torch', 'torch.cuda'].map((module) => `${module}.${name}`),
);

/** What files of PyTorch may name. @internal */
export const torchGlobals: ReadonlyMap<string, PickleMake | undefined> = new Map<string, PickleMake | undefined>([
  ...numpyGlobals,
  ['torch._utils._rebuild_tensor', makeTensor],
  ['torch._utils._rebuild_tensor_v2', makeTensor],
  ['torch._utils._rebuild_tensor_v3', makeTyped],
  ['torch._utils._rebuild_parameter', makeParameter],
  ['torch._utils._rebuild_parameter_with_state', makeParameter],
  ['torch._tensor._rebuild_from_type_v2', makeFromType],
  ['torch.Size', makeSize],
  ['torch.device', makeDevice],
  ...mentioned([untypedStorage, ...storages, ...types]),
  ...mentioned(['torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer']),
]);
