/** .npy files, conversions between types of floats, and state dicts in every format. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import {
  castFloats,
  PtmzError,
  readNpy,
  readStateDict,
  writeNpy,
  writeStateDict,
  type StoredTensor,
  type StateFormat,
} from '../lib/index.js';
import { torchName } from '../lib/formats/storedTensor.js';

const fixtures = fileURLToPath(new URL('./fixtures/torch/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'ptmz-npy-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const scratch = (name: string) => join(directory, name);
const code = (value: string) => expect.objectContaining({ name: 'PtmzError', code: value }) as Error;

const expected = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as Record<
  string,
  { dtype: string; shape: number[]; data: number[] }
>;
const arrays = Object.keys(expected).filter((name) => name.endsWith('.npy'));

describe('readNpy', () => {
  test('the fixtures are there', () => expect(arrays).toHaveLength(18));

  test.each(arrays)('%s of NumPy 2.4', (name) => {
    const { dtype, shape, data } = expected[name]!;
    const array = readNpy(join(fixtures, name));
    expect(torchName(array.dtype)).toBe(dtype);
    expect(array.shape).toEqual(shape);
    expect(Array.from<number | bigint, number>(array.data, Number)).toEqual(data.map(Number));
  });

  test.each([
    ['complex', /'<c16'/],
    ['text', /'<U1'/],
    ['records', /records/],
    ['objects', /'\|O'/],
  ])('%s are refused by name', (name, message) => {
    expect(() => readNpy(join(fixtures, `${name}.npy`))).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_DTYPE', message: expect.stringMatching(message) as string }),
    );
  });

  const header = (text: string, content = 4) => {
    const bytes = Buffer.alloc(10 + text.length + content);
    bytes.write('\x93NUMPY\x01\x00', 'latin1');
    bytes.writeUInt16LE(text.length, 8);
    bytes.write(text, 10, 'latin1');
    return bytes;
  };
  const dict = (shape: string, more = '') => `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, ${more}}\n`;
  test.each<[string, string, Buffer]>([
    ['another file', 'DATA_MALFORMED', Buffer.from('PK..............')],
    ['nothing', 'DATA_MALFORMED', Buffer.alloc(0)],
    ['version 4', 'DATA_MALFORMED', Buffer.from('\x93NUMPY\x04\x00\x00\x00\x00\x00', 'latin1')],
    ['a cut header', 'TRUNCATED', header(dict('(1,)')).subarray(0, 30)],
    ['a long header', 'LIMIT_EXCEEDED', header(' '.repeat(20_000))],
    ['too few numbers', 'TRUNCATED', header(dict('(2,)'))],
    ['too many numbers', 'DATA_MALFORMED', header(dict('()'), 8)],
    ['a huge shape', 'TRUNCATED', header(dict('(99999999, 99999999, 99999999)'))],
    ['a negative size', 'DATA_MALFORMED', header(dict('(-1,)'))],
    ['another key', 'DATA_MALFORMED', header(dict('(1,)', "'x': True, "))],
    ['a call', 'DATA_MALFORMED', header(dict('__import__("os")'))],
    ['no dict', 'DATA_MALFORMED', header('[]')],
    ['a type of two lines', 'UNSUPPORTED_DTYPE', header(dict('(1,)').replace('<f4', '<f\n4'))],
    ['a missing key', 'DATA_MALFORMED', header("{'descr': '<f4', 'shape': (1,)}")],
  ])('%s: %s', (name, expectedCode, bytes) => {
    const path = scratch(`${name}.npy`);
    writeFileSync(path, bytes);
    expect(() => readNpy(path)).toThrow(code(expectedCode));
  });
});

describe('writeNpy', () => {
  const cube: StoredTensor = { dtype: 'F64', shape: [2, 3, 4], data: Float64Array.from({ length: 24 }, (_, i) => i) };
  test.each([1, 2, 3] as const)('version %i, in both orders', (version) => {
    for (const fortranOrder of [false, true]) {
      writeNpy(scratch('cube.npy'), cube, { version, fortranOrder });
      expect(readNpy(scratch('cube.npy'))).toEqual(cube);
    }
  });
  test('the bytes are those of NumPy', () => {
    for (const name of arrays.filter((file) => !/big-endian|version/.test(file))) {
      const path = scratch('same.npy');
      writeNpy(path, readNpy(join(fixtures, name)), { fortranOrder: name === 'fortran.npy' });
      expect(readFileSync(path).equals(readFileSync(join(fixtures, name))), name).toBe(true);
    }
  });
  test('what NumPy does not have, and options that do not exist', () => {
    const half = { dtype: 'BF16', shape: [1], data: new Uint16Array(1) } as const;
    expect(() => writeNpy(scratch('x.npy'), half)).toThrow(code('UNSUPPORTED_DTYPE'));
    expect(() => writeNpy(scratch('x.npy'), cube, { version: 4 as never })).toThrow(code('INVALID_ARGUMENT'));
    expect(() => writeNpy(scratch('x.npy'), cube, { order: 'F' } as never)).toThrow(code('INVALID_ARGUMENT'));
    expect(() => writeNpy(scratch('x.npy'), { ...cube, shape: [5] })).toThrow(code('INVALID_ARGUMENT'));
    expect(existsSync(scratch('x.npy'))).toBe(false);
  });
});

describe('castFloats', () => {
  const f32 = (...values: number[]): StoredTensor => ({
    dtype: 'F32',
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const bits = (tensor: StoredTensor) => Array.from<number | bigint, number>(tensor.data, Number);
  test('to bfloat16 and float16: nearest, ties to even, subnormal, infinite', () => {
    const one = 2 ** -8;
    expect(bits(castFloats(f32(1 + one, 1 + 3 * one, -0, NaN, -Infinity, 3.4e38), 'BF16'))).toEqual([
      0x3f80, 0x3f82, 0x8000, 0x7fc0, 0xff80, 0x7f80,
    ]);
    expect(bits(castFloats(f32(65519.99, 65520, 2 ** -24, 2 ** -25, 1.5 * 2 ** -25, 1 / 3), 'F16'))).toEqual([
      0x7bff, 0x7c00, 1, 0, 1, 0x3555,
    ]);
  });
  test('every pattern of 16 bits comes back', () => {
    for (const dtype of ['F16', 'BF16'] as const) {
      const all: StoredTensor = { dtype, shape: [65536], data: Uint16Array.from({ length: 65536 }, (_, i) => i) };
      const wide = castFloats(all, 'F64');
      const back = castFloats(wide, dtype);
      for (let i = 0; i < 65536; i++)
        if (!Number.isNaN(wide.data[i])) expect(back.data[i] === i || `${dtype} ${i}`).toBe(true);
    }
  });
  test('integers stay, unknown types are refused', () => {
    const integers: StoredTensor = { dtype: 'I32', shape: [1], data: Int32Array.of(3) };
    expect(castFloats(integers, 'F16')).toBe(integers);
    expect(() => castFloats(integers, 'I8' as never)).toThrow(code('INVALID_ARGUMENT'));
  });
  const python = process.env.PTMZ_PYTHON;
  test.skipIf(!python)('as PyTorch rounds (needs PTMZ_PYTHON)', () => {
    const script =
      'import torch,json; torch.manual_seed(0); x = torch.randn(4000) * 10.0 ** torch.randint(-10, 9, (4000,));' +
      'print(json.dumps([x.tolist(), *(x.to(t).view(torch.int16).tolist() for t in (torch.float16, torch.bfloat16))]))';
    const [x, half, brain] = JSON.parse(spawnSync(python!, ['-c', script], { encoding: 'utf8' }).stdout) as number[][];
    const signed = (tensor: StoredTensor) => bits(tensor).map((b) => (b << 16) >> 16);
    expect(signed(castFloats(f32(...x!), 'F16'))).toEqual(half);
    expect(signed(castFloats(f32(...x!), 'BF16'))).toEqual(brain);
  });
});

describe('state dicts', () => {
  const state = {
    'conv.weight': { dtype: 'float32', shape: [2, 1, 1, 1], data: Float32Array.of(1, 2) },
    'bn.num_batches_tracked': { dtype: 'int64', shape: [], data: BigInt64Array.of(7n) },
  };
  test.each(['m.pt', 'm.pth', 'm.safetensors', 'folder'])('written and read as %s', (name) => {
    writeStateDict(scratch(name), state);
    const back = readStateDict(scratch(name));
    expect([...back.keys()].sort()).toEqual(Object.keys(state).sort());
    expect(back.get('conv.weight')).toEqual({ ...state['conv.weight'], dtype: 'F32' });
    expect(back.get('bn.num_batches_tracked')!.data).toEqual(BigInt64Array.of(7n));
  });
  test('a format can be named; floats can be brought to a type', () => {
    writeStateDict(scratch('checkpoints'), state, { format: 'torch', dtype: 'F16' });
    expect(readStateDict(scratch('checkpoints')).get('conv.weight')!.dtype).toBe('F16');
  });
  test('a folder is not written over anything, and names stay within it', () => {
    expect(() => writeStateDict(scratch('folder'), state)).toThrow(code('NOT_WRITABLE'));
    const w = state['conv.weight'];
    expect(() => writeStateDict(scratch('other'), { '../w': w })).toThrow(code('INVALID_ARGUMENT'));
    expect(existsSync(scratch('other'))).toBe(false);
  });
  test('what is no state dict', () => {
    expect(() => readStateDict(join(fixtures, 'nested.pt'))).toThrow(code('DATA_MALFORMED'));
    expect(() => readStateDict(scratch('none'))).toThrow(code('IO_ERROR'));
    expect(() => readStateDict(join(fixtures, 'f4.npy'))).toThrow(code('INVALID_ARGUMENT'));
    expect(() => writeStateDict(scratch('m.txt'), state)).toThrow(code('INVALID_ARGUMENT'));
    expect(() => writeStateDict(scratch('m'), state, { format: 'onnx' as StateFormat })).toThrow(PtmzError);
  });
});
