/** The pickle reader: what Python wrote in every protocol, and what must be refused without running anything. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { PtmzError, type ErrorCode } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { numpyGlobals, type NumpyArray } from '../lib/formats/numpyPickle.js';
import { parsePickle, type PickleOptions } from '../lib/formats/pickle.js';
import {
  OrderedDict,
  PickleTuple,
  plainGlobals,
  type PickleKey,
  type PickleValue,
} from '../lib/formats/pickleValue.js';

const fixture = (name: string) =>
  gunzipSync(readFileSync(new URL(`./fixtures/pickle/${name}.pkl.gz`, import.meta.url)));
const read = (bytes: Uint8Array, options: Partial<PickleOptions> = {}) =>
  parsePickle(bytes, 'file.pkl', { globals: numpyGlobals, ...options }).value;
const dict = (value: PickleValue | undefined) => value as Map<PickleKey, PickleValue>;
const bytes = (...parts: (string | number[] | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))));

const tuple = (...items: PickleValue[]) => new PickleTuple(items);
const mapping = (...entries: [PickleKey, PickleValue][]) => new Map(entries);

describe('what Python 3 wrote', () => {
  test.each([0, 1, 2, 3, 4, 5])('plain data in protocol %i', (protocol) => {
    const value = dict(read(fixture(`plain${protocol}`)));
    expect([value.get('none'), value.get('true'), value.get('false')]).toEqual([null, true, false]);
    expect(value.get('integers')).toEqual([
      ...[0, 255, 256, 65535, 65536, -1, -(2 ** 31), 2 ** 31],
      ...[2n ** 53n, -(2n ** 53n) - 2n, 2n ** 100n, -(2n ** 100n)],
    ]);
    expect(value.get('floats')).toEqual([0.5, -1e300, Infinity, -Infinity, NaN]);
    expect(value.get('text')).toEqual(['', 'hé', '世界', '😀', 'a\\u0041\n\'"', 'x'.repeat(300)]);
    expect(value.get('bytes')).toEqual([
      new Uint8Array(0),
      Uint8Array.of(0, 255),
      new Uint8Array(300).fill('y'.charCodeAt(0)),
    ]);
    expect(value.get('tuples')).toEqual([tuple(), tuple(1), tuple(1, 2), tuple(1, 2, 3), tuple(1, 2, 3, 4)]);
    const nested = dict(value.get('nested'));
    expect(nested.get('list')).toEqual([[], [[]]]);
    expect(nested.get(7)).toEqual(mapping(['deep', tuple(['x'])]));
    const [first, second] = value.get('shared') as PickleValue[];
    expect(first).toEqual(['twice']);
    expect(first).toBe(second);
    expect(value.get('ordered')).toBeInstanceOf(OrderedDict);
    expect([...dict(value.get('ordered'))]).toEqual([
      ['b', 1],
      ['a', 2],
    ]);
    expect(value.get('long')).toEqual(Array.from({ length: 1200 }, (_, i) => i));
  });

  test('a key __proto__ is a key like any other', () => {
    const nested = dict(dict(read(fixture('plain4'))).get('nested'));
    expect(nested.get('__proto__')).toEqual(mapping(['polluted', true]));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test.each(['cifar10_0', 'cifar10_1', 'cifar10_2', 'cifar10_3', 'cifar10_4', 'cifar10_5'])(
    'the array in %s',
    (name) => {
      const data = dict(read(fixture(name))).get('data') as NumpyArray;
      expect([data.type, data.shape]).toEqual(['u1', [2, 3072]]);
      expect([...data.bytes.subarray(3072, 3076)]).toEqual([7, 12, 17, 22]);
    },
  );

  test('integer arrays of either byte order, and scalars', () => {
    const labels = (name: string) => dict(read(fixture(name))).get('labels');
    for (const [name, type] of [
      ['labels_int64', 'i8'],
      ['labels_big_endian', 'i4'],
    ] as const) {
      const array = labels(name) as NumpyArray;
      expect([array.type, array.shape, array.numbers()]).toEqual([type, [2], [6, 9]]);
    }
    expect(labels('labels_scalars')).toEqual([6, 9]);
  });
});

test.each([0, 1, 2])('what Python 2 wrote in protocol %i', (protocol) => {
  const value = dict(read(fixture(`python2_${protocol}`)));
  expect([...value.keys()].sort()).toEqual(['batch_label', 'data', 'filenames', 'labels']);
  expect(value.get('labels')).toEqual([6, 9]);
  expect(value.get('filenames')).toEqual([new Uint8Array(Buffer.from('a.png')), new Uint8Array(Buffer.from('b.png'))]);
  const data = value.get('data') as NumpyArray;
  expect(data.shape).toEqual([2, 3072]);
  expect(data.bytes.every((pixel, i) => pixel === ((i >= 3072 ? 7 : 0) + colour(i % 3072)) % 256)).toBe(true);
});
const colour = (i: number) => Math.floor(i / 1024) * 50 + Math.floor((i % 1024) / 32) * 3 + (i % 32) * 5;

test('a table and persistent ids of the caller read a checkpoint of PyTorch', () => {
  const storages = ['FloatStorage', 'LongStorage'].map((name) => [`torch.${name}`, undefined] as const);
  const value = read(fixture('torch'), {
    globals: new Map([
      ...plainGlobals,
      ...storages,
      ['torch._utils._rebuild_tensor_v2', (args) => [args[0]!, args[2]!]],
    ]),
    persistent: (id) => (id as PickleTuple).items[2]!,
  });
  expect([...dict(value)]).toEqual([
    ['0.weight', ['0', tuple(2, 3)]],
    ['0.bias', ['1', tuple(2)]],
    ['1.weight', ['2', tuple(2)]],
    ['1.bias', ['3', tuple(2)]],
    ['1.running_mean', ['4', tuple(2)]],
    ['1.running_var', ['5', tuple(2)]],
    ['1.num_batches_tracked', ['6', tuple()]],
  ]);
});

test('a pickle within a file', () => {
  const content = bytes('junk', [0x80, 2], 'K\x07.', 'K\x08.');
  expect(parsePickle(content, 'x', { globals: plainGlobals, start: 4 })).toEqual({ value: 7, end: 9 });
  expect(parsePickle(content, 'x', { globals: plainGlobals, start: 9 })).toEqual({ value: 8, end: 12 });
});

test.each<[string, Buffer, PickleValue]>([
  [
    'booleans and integers as text',
    bytes('(I01\nI00\nI-5\nL7L\nL-9223372036854775809L\nl.'),
    [true, false, -5, 7, -(2n ** 63n) - 1n],
  ],
  ['numbers as text', bytes('(F1e3\nF-.5\nFnan\nl.'), [1000, -0.5, NaN]],
  ['quoted bytes', bytes("S'a\\x41\\n\\'\\\\\"'\n."), new Uint8Array(Buffer.from('aA\n\'\\"'))],
  ['DICT', bytes("(S'k'\nI1\nd."), mapping(['k', 1])],
  ['DUP and POP', bytes(']K\x012(000.'), []],
  ['POP_MARK', bytes('](K\x01K\x021.'), []],
  ['EMPTY LONG1', bytes([0x8a, 0], '.'), 0],
  ['LONG4', bytes([0x8b, 2, 0, 0, 0, 0xff, 0xff], '.'), -1],
  ['MEMOIZE and GET', bytes(']', [0x94], '(g0\n00.'), []],
  [
    'an OBJ and an INST of an allowed name',
    bytes('((ccollections\nOrderedDict\no(icollections\nOrderedDict\nl.'),
    [new OrderedDict(), new OrderedDict()],
  ],
  ['a byte order mark', bytes('X', [3, 0, 0, 0, 0xef, 0xbb, 0xbf], '.'), '\ufeff'],
])('%s', (_, content, value) => {
  expect(read(content)).toEqual(value);
});

/** Of a pickle that must be refused: its code, and what the message says after the file's name. */
function refusal(content: Uint8Array, options: Partial<PickleOptions> = {}): [ErrorCode, string] {
  try {
    read(content, options);
  } catch (error) {
    if (!(error instanceof PtmzError)) throw error;
    expect(error.message).toMatch(/^file\.pkl: byte \d+/);
    return [error.code, error.message.slice('file.pkl: '.length)];
  }
  return ['INTERNAL', 'it was read'];
}

describe('UNSAFE_PICKLE names what it does not allow', () => {
  const call = (name: string) =>
    bytes([0x80, 2], `c${name.replace(' ', '\n')}\n`, 'X', [1, 0, 0, 0], 'x', [0x85], 'R.');
  test.each<[string, Uint8Array, RegExp]>([
    ['os.system', call('os system'), /^byte 2 \(GLOBAL\): .*os\.system/],
    ['posix.system in a dict', bytes([0x80, 2], '}U\x01w', call('posix system').subarray(2)), /posix\.system/],
    ['builtins.eval', call('builtins eval'), /builtins\.eval/],
    ['Python 2 names', call('__builtin__ exec'), /__builtin__\.exec/],
    ['getattr', call('builtins getattr'), /builtins\.getattr/],
    ['a name that is never called', bytes('cos\nsystem\n.'), /byte 0 \(GLOBAL\): .*os\.system/],
    [
      'STACK_GLOBAL',
      bytes([0x80, 4, 0x8c, 2], 'os', [0x94, 0x8c, 6], 'system', [0x94, 0x93], '.'),
      /byte 16 .*os\.system/,
    ],
    ['INST', bytes('(ios\nsystem\n.'), /\(INST\): .*os\.system/],
    ['OBJ', bytes('(csubprocess\nPopen\no.'), /subprocess\.Popen/],
    [
      'a name in the state of BUILD',
      bytes('ccollections\nOrderedDict\n)R}U\x01acos\nsystem\nsb.'),
      /byte 31 .*os\.system/,
    ],
    ['copyreg extensions', bytes([0x82, 1], '.'), /\(EXT1\): .*extension 1/],
    ['wide extensions', bytes([0x83, 1, 1, 0x84, 1, 0, 0, 0], '.'), /extension 257/],
    ['a pickle in a pickle', call('torch.storage _load_from_bytes'), /torch\.storage\._load_from_bytes/],
    ['names of the prototype', call('constructor constructor'), /constructor\.constructor/],
    [
      'an attribute of an allowed name',
      bytes([0x8c, 11], 'collections', [0x8c, 20], 'OrderedDict.__init__', [0x93], '.'),
      /OrderedDict\.__init__/,
    ],
    ['a call of what may only be named', bytes('cnumpy\nndarray\n)R.'), /a call of numpy\.ndarray/],
    ['control characters', bytes('cos\x1b[31m\nsystem\n.'), /os\?\[31m\.system/],
  ])('%s', (_, content, message) => {
    expect(refusal(content)).toEqual(['UNSAFE_PICKLE', expect.stringMatching(message)]);
  });
});

describe('DATA_MALFORMED', () => {
  const array = (shape: number[], dtype: string, content: string) =>
    bytes(
      'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(',
      shape.flatMap((size) => [0x8a, 8, ...new Uint8Array(BigInt64Array.of(BigInt(size)).buffer)]),
      `tcnumpy\ndtype\nU\x02${dtype}`,
      [0x89, 0x88, 0x87],
      'R',
      [0x89, 0x55, content.length],
      `${content}tb.`,
    );
  test.each<[string, Uint8Array, RegExp]>([
    ['nothing at all', bytes(), /^byte 0: the file ends before/],
    ['no STOP', bytes('}'), /^byte 1: the file ends before/],
    ['an unknown opcode', bytes([0x80, 2, 0xff]), /^byte 2: 0xff is no opcode/],
    ['sets', bytes([0x8f], '.'), /0x8f/],
    ['protocol 6', bytes([0x80, 6], 'N.'), /protocol 6/],
    [
      'a frame longer than the file',
      bytes([0x95, 0, 0, 0, 0, 0, 1, 0, 0], 'N.'),
      /\(FRAME\): a frame of 1099511627776 bytes/,
    ],
    [
      'a string of 2^62 bytes',
      bytes([0x8d, 0, 0, 0, 0, 0, 0, 0, 0x40], 'x.'),
      /46116860184273\d+ bytes are announced, the file has 2/,
    ],
    ['bytes of 2^64 - 1', bytes([0x8e], Array<number>(8).fill(0xff), '.'), /announced/],
    ['a bytearray too long', bytes([0x96, 9, 0, 0, 0, 0, 0, 0, 0], '.'), /9 bytes are announced, the file has 1/],
    ['a negative length', bytes('T', [0xff, 0xff, 0xff, 0xff], '.'), /length of -1/],
    ['a cut number', bytes('J\x01\x02'), /4 bytes are announced, the file has 2/],
    ['a cut line', bytes('I12'), /ends within a line/],
    ['text that is not UTF-8', bytes('U\x00X', [1, 0, 0, 0, 0xff], '.'), /not UTF-8/],
    ['POP of nothing', bytes('0.'), /\(POP\): the stack is empty/],
    ['STOP with nothing', bytes('.'), /stack is empty/],
    ['a value below the mark', bytes('K\x01(\x85.'), /\(TUPLE1\): the stack is empty/],
    ['no mark', bytes('t.'), /there is no mark/],
    ['values left', bytes('NN.'), /left on the stack/],
    ['a mark left', bytes('N(N.'), /left on the stack/],
    ['a memo entry that is not there', bytes('h\x09.'), /\(BINGET\): there is no value 9/],
    ['a memo index that is none', bytes('Nptwo\n.'), /'two' is no memo index/],
    ['APPEND to a dict', bytes('}Na.'), /appends to a dict/],
    ['SETITEM on an array', bytes(array([1], 'u1', 'x').subarray(0, -1), 'NNs.'), /sets items of a NumpyArray/],
    ['a key without a value', bytes('}(Nu.'), /key without a value/],
    ['a list as a key', bytes('}]Ns.'), /a list as a key/],
    ['a key twice', bytes('}(U\x01aNX', [1, 0, 0, 0], 'aNu.'), /key a occurs twice/],
    ['arguments that are no tuple', bytes('ccollections\nOrderedDict\n]R.'), /a list instead of a tuple/],
    ['a call of a string', bytes('U\x01a)R.'), /a call of 1 bytes/],
    ['an OBJ without a name', bytes('(o.'), /a call of None/],
    ['arguments of OrderedDict', bytes('ccollections\nOrderedDict\nN\x85R.'), /no arguments of OrderedDict/],
    ['a state of a list', bytes(']}b.'), /a dict as state of a list/],
    ['a name that is no string', bytes('NN', [0x93], '.'), /not a string/],
    ['a persistent id', bytes('U\x01aQ.'), /persistent id/],
    ['a persistent id as text', bytes('Pa\n.'), /persistent id/],
    ['a list in itself', bytes(']q\x00h\x00a.'), /contains itself/],
    ['a list in itself, by a dict', bytes(']q\x00}Nh\x00sa.'), /contains itself/],
    ['no integer', bytes('I1.5\n.'), /'1\.5' is no integer/],
    ['no number', bytes('F0x10\n.'), /'0x10' is no number/],
    ['no quotes', bytes('Sabc\n.'), /without quotes/],
    ['an unknown escape', bytes("S'\\q'\n."), /unknown escape \\q/],
    ['an escape cut off', bytes("S'\\'\n."), /unknown escape/],
    ['a character beyond Unicode', bytes('V\\U00110000\n.'), /U\+110000/],
    ['bytes beyond latin1', bytes('c_codecs\nencode\nV\\u0100\nV', 'latin1\n\x86R.'), /beyond latin1/],
    ['another encoding', bytes('c_codecs\nencode\nVa\nVutf-8\n\x86R.'), /latin1/],
    ['bytes of a number', bytes('c__builtin__\nbytes\nK\x05\x85R.'), /no arguments of bytes/],
  ])('%s', (_, content, message) => {
    expect(refusal(content)).toEqual(['DATA_MALFORMED', expect.stringMatching(message)]);
  });

  test('an array as NumPy 1 writes it', () => {
    const value = read(array([2, 2], 'i1', 'abcd')) as NumpyArray;
    expect([value.shape, value.numbers()]).toEqual([
      [2, 2],
      [97, 98, 99, 100],
    ]);
  });
  test.each<[string, Uint8Array, RegExp]>([
    ['fewer bytes than its shape', array([5], 'u1', 'abcd'), /an array of 5 u1 takes 5 bytes, there are 4/],
    ['more bytes than its shape', array([1], 'u2', 'abcd'), /1 u2 takes 2 bytes, there are 4/],
    ['a shape whose product overflows', array([2 ** 40, 2 ** 40], 'u1', 'abcd'), /there are 4/],
    ['a product that wraps to its size', array([2 ** 32, 2 ** 32, 4], 'u1', 'abcd'), /there are 4/],
    ['a negative size', array([-2, -2], 'u1', 'abcd'), /sizes that are none/],
    ['objects', array([1], 'O8', 'abcdefgh'), /unsupported type 'O8'/],
    ['a type of the prototype', array([1], '__', 'ab'), /unsupported type '__'/],
    ['Fortran order', fixture('fortran'), /Fortran order/],
    ['no type', bytes('cnumpy.core.multiarray\nscalar\nNU\x01a\x86R.'), /None as dtype/],
    [
      'a scalar too long',
      bytes('cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02u1\x85RU\x02ab\x86R.'),
      /takes 1 bytes, there are 2/,
    ],
    ['no state', bytes('cnumpy.core.multiarray\n_reconstruct\n(NNNtRNb.'), /None as state of an array/],
    ['a short state', bytes('cnumpy.core.multiarray\n_reconstruct\n(NNNtRN\x85b.'), /1 values as state of an array/],
    ['records', bytes('cnumpy\ndtype\nU\x02u1\x85R(K\x03U\x01|N(Nt(NtNNNtb.'), /array of records/],
    ['another version of a type', bytes('cnumpy\ndtype\nU\x02u1\x85R(K\x09U\x01|NNNtb.'), /unknown state of a dtype/],
  ])('an array with %s', (_, content, message) => {
    expect(refusal(content)).toEqual(['DATA_MALFORMED', expect.stringMatching(message)]);
  });

  test('every cut of a real file', () => {
    for (const name of ['plain2', 'plain5', 'labels_int64', 'python2_0']) {
      const content = fixture(name);
      for (let length = 0; length < content.length; length += length < 700 ? 1 : 97)
        expect(refusal(content.subarray(0, length))[0]).toBe('DATA_MALFORMED');
    }
  });

  test('bytes changed at random never do more than fail by name', () => {
    let state = 1;
    const random = (n: number) => (state = (state * 48271) % 2147483647) % n;
    for (const name of ['plain0', 'plain4', 'labels_int64', 'python2_2', 'torch']) {
      const good = fixture(name);
      for (let i = 0; i < 300; i++) {
        const content = Buffer.from(good);
        for (let k = 0; k < 3; k++) content[random(Math.min(good.length, 600))] = random(256);
        try {
          read(content);
        } catch (error) {
          expect(error).toBeInstanceOf(PtmzError);
        }
      }
    }
  });
});

describe('LIMIT_EXCEEDED', () => {
  const nested = (depth: number) => bytes(']'.repeat(depth), 'a'.repeat(depth - 1), '.');
  const laughs = (levels: number) => {
    let text = ']q\x00';
    for (let i = 1; i <= levels; i++)
      text += `](${`h${String.fromCharCode(i - 1)}`.repeat(10)}eq${String.fromCharCode(i)}`;
    return bytes(`(${text}t.`);
  };
  test.each<[string, () => Uint8Array, RegExp]>([
    ['lists nested 60,000 deep', () => nested(60_000), /nested more than 200 deep/],
    [
      'lists made deep from outside',
      () => bytes(']q\x01', ']q\x02h\x01h\x02a0q\x010'.repeat(300), '.'),
      /nested more than 200 deep/,
    ],
    ['10^30 leaves by sharing', () => laughs(30), /by sharing/],
    [
      'bytes made again and again of one text',
      () =>
        bytes('V', 'x'.repeat(10_000), '\n', [0x94], '0(', 'c_codecs\nencode\ng0\nVlatin1\n\x86R'.repeat(100), 't.'),
      /more bytes than the file has/,
    ],
    ['an integer of 2^31 - 1 bytes', () => bytes([0x8b, 0xff, 0xff, 0xff, 0x7f], '.'), /integer of 2147483647 bytes/],
    ['an integer of 10,000 digits', () => bytes(`I${'9'.repeat(10_000)}\n.`), /a line of more than 1024 bytes/],
    ['a name of 10,000 letters', () => bytes(`c${'a'.repeat(10_000)}\nb\n.`), /a line of more than 256 bytes/],
    ['five million values', () => Buffer.alloc(5_000_000, 'N'), /more than 2097152 opcodes/],
    ['two million memo entries', () => bytes('N', Array<number>(2_000_000).fill(0x94)), /more than 1048576 values/],
  ])('%s', (_, make, message) => {
    expect(refusal(make())).toEqual(['LIMIT_EXCEEDED', expect.stringMatching(message)]);
  });

  test('200 levels are not too many, nor is sharing', () => {
    expect(read(nested(200))).toBeInstanceOf(Array);
    expect(read(laughs(5))).toBeInstanceOf(PickleTuple);
  });
});
