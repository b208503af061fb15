/** PyTorch files: those that PyTorch 2.13 wrote, damaged ones, and what is written here read by PyTorch. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync, zipSync, type Zippable } from 'fflate';
import { afterAll, describe, expect, test } from 'vitest';
import { PtmzError, readStateDict, readTorch, writeTorch, type StoredTensor, type TorchValue } from '../lib/index.js';
import { torchName } from '../lib/formats/storedTensor.js';

const fixtures = fileURLToPath(new URL('./fixtures/torch/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'ptmz-torch-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const scratch = (name: string) => join(directory, name);

interface Expected {
  dtype: string;
  shape: number[];
  data: (number | string)[];
}
const expected = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as Record<string, Expected>;

const asNumbers = (data: readonly (number | string)[]) => data.map((x) => Number(String(x).replace('inf', 'Infinity')));

/** Every tensor of a fixture, by its path in the nested value. */
function checkAll(name: string, value: TorchValue): void {
  for (const [path, { dtype, shape, data }] of Object.entries(expected)) {
    const [file, ...keys] = path.split('/');
    if (file !== name) continue;
    const tensor = keys.reduce<TorchValue>(
      (at, key) => (at as Map<unknown, TorchValue>).get(/^\d+$/.test(key) ? Number(key) : key)!,
      value,
    ) as StoredTensor;
    expect(torchName(tensor.dtype), path).toBe(dtype);
    expect(tensor.shape, path).toEqual(shape);
    // The script wrote the bits of 16-bit floats as signed integers.
    const bits = tensor.dtype === 'F16' || tensor.dtype === 'BF16';
    const numbers = Array.from<number | bigint, number>(tensor.data, (x) =>
      bits ? (Number(x) << 16) >> 16 : Number(x),
    );
    expect(numbers, path).toEqual(asNumbers(data));
  }
}

const read = (name: string) => readTorch(join(fixtures, name));
const code = (value: string) => expect.objectContaining({ name: 'PtmzError', code: value }) as Error;

describe('files of PyTorch 2.13', () => {
  test.each(['dtypes', 'views', 'attributes'])('%s', (name) => checkAll(name, read(`${name}.pt`)));
  test('the format before 1.6', () => checkAll('views', read('views-legacy.pt')));

  test('an optimizer: integer keys, and a model whose names have two prefixes', () => {
    const value = read('adam.pt') as Map<string, Map<string, TorchValue>>;
    checkAll('adam', value);
    const groups = value.get('optimizer')!.get('param_groups') as Map<string, TorchValue>[];
    expect(groups[0]!.get('betas')).toEqual([0.9, 0.999]);
    expect([...readStateDict(join(fixtures, 'adam.pt')).keys()]).toEqual(['weight', 'bias']);
  });

  test('contiguous tensors of one storage share it', () => {
    const views = read('views.pt') as Map<string, StoredTensor>;
    expect(views.get('row')!.data.buffer).toBe(views.get('whole')!.data.buffer);
    expect(views.get('column')!.data.buffer).not.toBe(views.get('whole')!.data.buffer);
  });

  test('sizes, dtypes, devices, large integers, bytes, text, NumPy scalars and arrays', () => {
    const value = read('nested.pt') as Map<unknown, TorchValue>;
    expect(Object.fromEntries(value)).toEqual({
      size: [2, 3],
      dtype: 'torch.float16',
      device: 'cuda:1',
      none: null,
      big: 2n ** 70n,
      negative: -(2 ** 40),
      bytes: Uint8Array.of(0, 255),
      text: 'ü😀',
      list: [1, [2.5, true]],
      scalar: 1.25,
      array: { dtype: 'I16', shape: [2, 2], data: Int16Array.of(0, 1, 2, 3) },
      7: 'integer key',
    });
  });

  test.each([
    ['complex.pt', 'UNSUPPORTED_DTYPE', /ComplexFloatStorage/],
    ['float8.pt', 'UNSUPPORTED_DTYPE', /torch\.float8_e4m3fn/],
    ['module.pt', 'UNSAFE_PICKLE', /torch\.nn\.modules\.linear\.Linear.*nothing was run/],
    ['sparse.pt', 'UNSAFE_PICKLE', /_rebuild_sparse_tensor/],
    ['script.pt', 'DATA_MALFORMED', /TorchScript/],
  ])('%s is refused by name', (name, expectedCode, message) => {
    let error = {} as PtmzError;
    try {
      read(name);
    } catch (thrown) {
      error = thrown as PtmzError;
    }
    expect(error).toMatchObject({ code: expectedCode, message: expect.stringMatching(message) as string });
    expect(error.message).toContain(name);
    if (expectedCode === 'UNSAFE_PICKLE') expect(error.hint).toContain('state_dict()');
  });
});

describe('damaged and hostile files', () => {
  const good = readFileSync(join(fixtures, 'views.pt'));
  const damaged = (name: string, bytes: Uint8Array) => {
    writeFileSync(scratch(name), bytes);
    return readTorch(scratch(name));
  };

  test('a flipped bit in any weight is noticed', () => {
    const at = good.indexOf(Buffer.from(Float32Array.of(1, 2, 3).buffer));
    expect(at).toBeGreaterThan(0);
    for (let bit = 0; bit < 96; bit++) {
      const bytes = Buffer.from(good);
      bytes[at + (bit >> 3)]! ^= 1 << (bit & 7);
      expect(() => damaged('rot.pt', bytes)).toThrow(code('CHECKSUM_MISMATCH'));
    }
  });

  test('cut anywhere: a typed error', () => {
    for (const name of ['views.pt', 'views-legacy.pt']) {
      const whole = readFileSync(join(fixtures, name));
      for (let length = 0; length < whole.length; length += 7)
        expect(() => damaged('cut.pt', whole.subarray(0, length))).toThrow(PtmzError);
    }
  });

  test('changed at random: a typed error or a value, nothing else', () => {
    let state = 1;
    const random = (below: number) => (state = (state * 48271) % 2147483647) % below;
    let loaded = 0;
    for (const name of ['views.pt', 'nested.pt', 'views-legacy.pt', 'adam.pt']) {
      const whole = readFileSync(join(fixtures, name));
      for (let round = 0; round < 300; round++) {
        const bytes = Buffer.from(whole);
        for (let n = 1 + random(3); n > 0; n--) bytes[random(bytes.length)] = random(256);
        try {
          damaged('fuzz.pt', bytes);
          loaded++;
        } catch (error) {
          expect(error).toBeInstanceOf(PtmzError);
          expect((error as PtmzError).code).not.toBe('INTERNAL');
        }
      }
    }
    expect(loaded).toBeGreaterThan(0);
  });

  const pickle = Buffer.from('\x80\x02}.', 'latin1');
  const zip = (entries: Zippable) => zipSync({ 'a/data.pkl': [pickle, { level: 0 }], ...entries });
  test('an empty dict of our own making loads', () => {
    expect(damaged('own.pt', zip({}))).toEqual(new Map());
  });

  test.each<[string, string, () => Uint8Array]>([
    ['two pickles', 'DATA_MALFORMED', () => zip({ 'b/data.pkl': pickle })],
    ['no pickle', 'DATA_MALFORMED', () => zipSync({ 'a/version': Buffer.from('3') })],
    ['an unknown byte order', 'DATA_MALFORMED', () => zip({ 'a/byteorder': Buffer.from('middle') })],
    ['bytes after the pickle', 'DATA_MALFORMED', () => zipSync({ 'a/data.pkl': Buffer.concat([pickle, pickle]) })],
    ['a bomb', 'LIMIT_EXCEEDED', () => zip({ 'a/data/0': new Uint8Array(4 * 2 ** 20) })],
    ['bytes before the archive', 'DATA_MALFORMED', () => Buffer.concat([Buffer.from('MZ'), zip({})])],
    ['a bare pickle', 'DATA_MALFORMED', () => pickle],
    ['a text', 'DATA_MALFORMED', () => Buffer.from('version https://git-lfs.github.com/spec/v1')],
  ])('%s: %s', (name, expectedCode, make) => {
    const file = `${name.replaceAll(' ', '-')}.pt`;
    expect(() => damaged(file, make())).toThrow(
      expect.objectContaining({
        code: expectedCode,
        message: expect.stringContaining(file) as string,
      }) as Error,
    );
  });

  test('a view of stride 0 that is far larger than its storage', () => {
    const w = (size: number): TorchValue =>
      new Map([['w', { dtype: 'F32', shape: [size], data: new Float32Array(size) }]]);
    writeTorch(scratch('w.pt'), w(4));
    const archive = readFileSync(scratch('w.pt'));
    // (4,) with strides (1,) becomes (2^28,) with strides (0,).
    const sizes = Buffer.from('(J\x04\0\0\0t(J\x01\0\0\0t', 'latin1');
    const at = archive.indexOf(sizes);
    Buffer.from('(J\0\0\0\x10t(J\0\0\0\0t', 'latin1').copy(archive, at);
    const crc = archive.indexOf(Buffer.from('archive/data.pkl')) - 30 + 14;
    archive.writeUInt32LE(0, crc);
    archive.writeUInt32LE(0, archive.lastIndexOf(Buffer.from('archive/data.pkl')) - 46 + 16);
    expect(() => damaged('expand.pt', archive)).toThrow(code('LIMIT_EXCEEDED'));
  });

  test('no file, a folder', () => {
    expect(() => readTorch(scratch('none.pt'))).toThrow(code('IO_ERROR'));
    expect(() => readTorch(directory)).toThrow(code('IO_ERROR'));
  });
});

const everything = (): Parameters<typeof writeTorch>[1] => ({
  tensors: {
    f64: { dtype: 'F64', shape: [2], data: Float64Array.of(0.1, -1e300) },
    f32: { dtype: 'float32', shape: [2, 1], data: Float32Array.of(1, 2) },
    f16: { dtype: 'F16', shape: [1], data: Uint16Array.of(0x3c00) },
    bf16: { dtype: 'BF16', shape: [1], data: Uint16Array.of(0x3f80) },
    i64: { dtype: 'I64', shape: [], data: BigInt64Array.of(-(2n ** 60n)) },
    i32: { dtype: 'I32', shape: [1], data: Int32Array.of(-5) },
    i16: { dtype: 'I16', shape: [1], data: Int16Array.of(-5) },
    i8: { dtype: 'I8', shape: [1], data: Int8Array.of(-5) },
    u64: { dtype: 'U64', shape: [1], data: BigUint64Array.of(2n ** 63n) },
    u32: { dtype: 'U32', shape: [1], data: Uint32Array.of(2 ** 31) },
    u16: { dtype: 'U16', shape: [1], data: Uint16Array.of(65535) },
    u8: { dtype: 'U8', shape: [0, 3], data: new Uint8Array(0) },
    bool: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) },
  },
  numbers: [0, -0, 1.5, -1, 255, 65536, -(2 ** 31), 2 ** 31, 2 ** 53 - 1, 2n ** 70n, -(2n ** 70n), -128, NaN, Infinity],
  text: 'ü😀',
  bytes: Uint8Array.of(0, 128, 255),
  map: new Map<number | string | boolean | null, null>([
    [1, null],
    ['__proto__', null],
    [true, null],
  ]),
  none: null,
});

describe('writeTorch', () => {
  test('what is written is read again, number for number', () => {
    writeTorch(scratch('all.pt'), everything());
    const value = readTorch(scratch('all.pt')) as Map<string, TorchValue>;
    const given = everything() as Record<string, unknown>;
    for (const [name, tensor] of Object.entries(given.tensors as Record<string, StoredTensor>)) {
      const back = (value.get('tensors') as Map<string, StoredTensor>).get(name)!;
      expect(back.data, name).toEqual(tensor.data);
      expect(back.shape, name).toEqual(tensor.shape);
    }
    for (const key of ['numbers', 'text', 'bytes', 'map', 'none']) expect(value.get(key), key).toEqual(given[key]);
  });

  test('shared memory is written once; equal values give equal files', () => {
    const data = new Float32Array(1000).fill(2);
    const tied = { a: { dtype: 'F32', shape: [1000], data }, b: { dtype: 'F32', shape: [10, 100], data } };
    writeTorch(scratch('tied.pt'), tied);
    writeTorch(scratch('again.pt'), tied);
    const bytes = readFileSync(scratch('tied.pt'));
    expect(bytes.length).toBeLessThan(6000);
    expect(bytes.equals(readFileSync(scratch('again.pt')))).toBe(true);
    const back = readTorch(scratch('tied.pt')) as Map<string, StoredTensor>;
    expect(back.get('b')).toEqual(tied.b);
    expect(back.get('b')!.data.buffer).toBe(back.get('a')!.data.buffer);
  });

  test('other readers of zip archives find the entries, whose bytes begin at multiples of 64', () => {
    const data = Float32Array.from({ length: 50 }, (_, i) => 1000 + i);
    writeTorch(scratch('zip.pt'), [
      { dtype: 'F32', shape: [7], data: data.slice(0, 7) },
      { dtype: 'F32', shape: [50], data },
    ]);
    const bytes = readFileSync(scratch('zip.pt'));
    const entries = unzipSync(bytes);
    const names = ['data.pkl', '.format_version', '.storage_alignment', 'byteorder', 'data/0', 'data/1', 'version'];
    expect(Object.keys(entries)).toEqual(names.map((name) => `archive/${name}`));
    expect(Buffer.from(entries['archive/data/1']!)).toEqual(Buffer.from(data.buffer));
    expect(bytes.lastIndexOf(Buffer.from(data.buffer, 0, 28)) % 64).toBe(0);
    expect(bytes.indexOf(Buffer.from(data.buffer, 0, 28)) % 64).toBe(0);
    const { status } = spawnSync('python3', ['-m', 'zipfile', '-t', scratch('zip.pt')]);
    expect([0, null]).toContain(status); // null: there is no Python here
  });

  test('floats are brought to a type, integers are not', () => {
    writeTorch(scratch('half.pt'), everything(), { dtype: 'BF16' });
    const { tensors } = Object.fromEntries(readTorch(scratch('half.pt')) as Map<string, Map<string, StoredTensor>>);
    expect(tensors!.get('f32')).toEqual({ dtype: 'BF16', shape: [2, 1], data: Uint16Array.of(0x3f80, 0x4000) });
    expect(tensors!.get('i64')!.dtype).toBe('I64');
  });

  test.each<[string, unknown, RegExp]>([
    ['a function', { a: { b: [() => 1] } }, /value\['a'\]\['b'\]\[0\] but received a function/],
    ['a date', { a: new Date(0) }, /value\['a'\]/],
    ['half a character', '\ud800', /Unicode/],
    [
      'a tensor of another size',
      { w: { dtype: 'F32', shape: [3], data: new Float32Array(2) } },
      /product 2.*value\['w'\]/,
    ],
    [
      'a tensor of another type',
      { w: { dtype: 'F32', shape: [2], data: new Float64Array(2) } },
      /Float32Array.*value\['w'\]/,
    ],
    ['a tensor of no type', { w: { dtype: 'F33', shape: [2], data: new Float64Array(2) } }, /F64.*'F33'/],
    ['an object as a key', new Map([[{}, 1]]), /a key of value/],
  ])('%s is refused before anything is written', (_, value, message) => {
    const path = scratch('refused.pt');
    expect(() => writeTorch(path, value as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) as string }),
    );
    expect(() => readFileSync(path)).toThrow('ENOENT');
  });

  test('a value that holds itself, an unknown option', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(() => writeTorch(scratch('x.pt'), cycle as never)).toThrow(code('INVALID_ARGUMENT'));
    expect(() => writeTorch(scratch('x.pt'), {}, { dtype: 'I8' as never })).toThrow(code('INVALID_ARGUMENT'));
  });

  const python = process.env.PTMZ_PYTHON;
  test.skipIf(!python)('PyTorch reads it with weights_only=True (needs PTMZ_PYTHON)', () => {
    writeTorch(scratch('all.pt'), everything());
    const script = `
import torch, math, sys
v = torch.load(sys.argv[1], weights_only=True)
t = v['tensors']
assert t['f64'].tolist() == [0.1, -1e300] and t['f64'].dtype == torch.float64
assert t['f32'].tolist() == [[1.0], [2.0]] and t['f16'].item() == 1 and t['bf16'].item() == 1
assert t['i64'].item() == -2**60 and t['i64'].shape == () and t['u64'].item() == 2**63 and t['u16'].item() == 65535
assert t['u32'].item() == 2**31 and [t[k].item() for k in ('i32', 'i16', 'i8')] == [-5] * 3
assert t['u8'].shape == (0, 3) and t['bool'].tolist() == [False, True] and t['bool'].dtype == torch.bool
n = v['numbers']
assert n[:12] == [0, 0, 1.5, -1, 255, 65536, -2**31, 2**31, 2**53 - 1, 2**70, -2**70, -128], n
assert math.copysign(1, n[1]) == -1 and math.isnan(n[12]) and n[13] == math.inf
assert v['text'] == '\\u00fc\\U0001f600' and v['bytes'] == b'\\x00\\x80\\xff' and list(v['map']) == [1, '__proto__']
m = torch.load(sys.argv[1], weights_only=True, mmap=True)
assert m['tensors']['f64'].tolist() == [0.1, -1e300]
`;
    const { status, stderr } = spawnSync(python!, ['-c', script, scratch('all.pt')], { encoding: 'utf8' });
    expect(stderr).not.toMatch(/Error/);
    expect(status).toBe(0);
  });
});
