/**
 * A reader of Python pickles that cannot run anything: opcodes build values of a closed type, and names of functions or
 * classes count only where the caller's table has a constructor of our own for them.
 */
import { isUtf8 } from 'node:buffer';
import { PtmzError, type ErrorCode } from '../errors.js';
import {
  byteLength,
  littleEndian,
  longLength,
  maxDigits,
  parseFloat,
  parseInt,
  parseLong,
  printable,
  rawUnicode,
  unquote,
} from './pickleLiteral.js';
import {
  checkWalk,
  maxText,
  OrderedDict,
  PickleGlobal,
  pickledKind,
  pickledText,
  PickleObject,
  PickleTuple,
  type PickleFail,
  type PickleKey,
  type PickleMake,
  type PickleValue,
} from './pickleValue.js';

export interface PickleOptions {
  /** All names that may occur, as `module.name`; undefined for those that may be mentioned but not called. */
  globals: ReadonlyMap<string, PickleMake | undefined>;
  /** Resolves persistent ids; where left out, there may be none. */
  persistent?: (id: PickleValue, fail: PickleFail) => PickleValue;
  /** Where the pickle begins; at 0 where left out. */
  start?: number;
}

// CIFAR-100, the largest file of its kind, takes 300,000 to 500,000 opcodes; they bound values, stack and marks too.
const maxOpcodes = 2 ** 21;
const maxMemo = 2 ** 20;
const maxName = 256;

/**
 * Reads one pickle of protocol 0 to 5. Lengths are checked against the file before anything is allocated. The result
 * holds no cycle and has limited depth and size, so it can be walked without care.
 *
 * @param source what to call the file in errors
 * @returns the value, and where the pickle ends
 * @throws PtmzError `UNSAFE_PICKLE` naming `module.name` for names outside the table, `DATA_MALFORMED`,
 * `LIMIT_EXCEEDED`; all with the source and the offset of the opcode
 * @internal
 */
export function parsePickle(
  bytes: Uint8Array,
  source: string,
  options: PickleOptions,
): { value: PickleValue; end: number } {
  return new Machine(bytes, source, options).run();
}

/** The stack machine that a pickle is a program for. */
class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: PickleValue[] = [];
  /** Stack heights at the open marks. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #position: number;
  /** Bytes that constructors made. */
  #made = 0;
  /** Where the opcode under way began, and its name. */
  #at = 0;
  #opcode = '';

  constructor(
    bytes: Uint8Array,
    readonly source: string,
    readonly options: PickleOptions,
  ) {
    // A plain view: subarrays of a Buffer would be Buffers.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#position = options.start ?? 0;
  }

  run(): { value: PickleValue; end: number } {
    for (let count = 0; count < maxOpcodes; count++) {
      this.#at = this.#position;
      this.#opcode = '';
      if (this.#at >= this.#bytes.length) throw this.fail('the file ends before the pickle does');
      const code = this.#bytes[this.#position++]!;
      const opcode = opcodes[code];
      if (!opcode) throw this.fail(`0x${code.toString(16).padStart(2, '0')} is no opcode that data files use`);
      this.#opcode = opcode.name;
      if (opcode.name === 'STOP') return this.stop();
      opcode.run(this);
    }
    throw this.fail(`more than ${maxOpcodes} opcodes`, 'LIMIT_EXCEEDED');
  }

  fail = (what: string, code: ErrorCode = 'DATA_MALFORMED'): PtmzError => {
    const opcode = this.#opcode && ` (${this.#opcode})`;
    return new PtmzError(code, `${this.source}: byte ${this.#at}${opcode}: ${what}`);
  };

  private stop(): { value: PickleValue; end: number } {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) throw this.fail('values are left on the stack');
    checkWalk(value, this.fail);
    return { value, end: this.#position };
  }

  // Reading

  take(length: number): Uint8Array {
    const left = this.#bytes.length - this.#position;
    if (length > left) throw this.fail(`${length} bytes are announced, the file has ${left} more`);
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }
  number(length: number, read: (view: DataView, at: number) => number): number {
    this.take(length);
    return read(this.#view, this.#position - length);
  }
  uint8 = (): number => this.number(1, (view, at) => view.getUint8(at));
  uint16 = (): number => this.number(2, (view, at) => view.getUint16(at, true));
  int32 = (): number => this.number(4, (view, at) => view.getInt32(at, true));
  uint32 = (): number => this.number(4, (view, at) => view.getUint32(at, true));
  // May lose digits beyond 2^53; no file is that long, so take() refuses it just the same.
  uint64 = (): number => this.number(8, (view, at) => Number(view.getBigUint64(at, true)));
  float64 = (): number => this.number(8, (view, at) => view.getFloat64(at));

  /** The rest of the line as latin1 text, without its end. */
  line(limit: number): string {
    const end = this.#bytes.indexOf(10, this.#position);
    if (end < 0) throw this.fail('the file ends within a line');
    if (end - this.#position > limit) throw this.fail(`a line of more than ${limit} bytes`, 'LIMIT_EXCEEDED');
    const text = pickledText(this.take(end - this.#position))!;
    this.#position++;
    return text;
  }

  text(length: number): string {
    const bytes = this.take(length);
    if (length > maxText) throw this.fail(`a string of more than ${maxText} bytes`, 'LIMIT_EXCEEDED');
    if (!isUtf8(bytes)) throw this.fail('a string that is not UTF-8');
    return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString();
  }

  // The stack

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  /** Takes the topmost value above the last mark. */
  pop(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.fail('the stack is empty');
    return this.#stack.pop()!;
  }
  top(): PickleValue {
    const value = this.pop();
    this.push(value);
    return value;
  }
  mark(): void {
    this.#marks.push(this.#stack.length);
  }
  /** Takes all values above the last mark, and the mark. */
  popMarked(): PickleValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw this.fail('there is no mark');
    return this.#stack.splice(height);
  }
  /** POP takes a mark where nothing lies above it. */
  discard(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
  }
  tuple(size: number): void {
    const items = Array.from({ length: size }, () => this.pop());
    this.push(new PickleTuple(items.reverse()));
  }

  // Containers

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.fail(`appends to ${pickledKind(list)}`);
    for (const item of items) list.push(item);
  }
  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.fail(`sets items of ${pickledKind(dict)}`);
    if (items.length % 2 !== 0) throw this.fail('a key without a value');
    for (let i = 0; i < items.length; i += 2) {
      const key = this.key(items[i]!);
      if (dict.has(key)) throw this.fail(`the key ${printable(String(key))} occurs twice`);
      dict.set(key, items[i + 1]!);
    }
  }
  private key(value: PickleValue): PickleKey {
    if (value instanceof Uint8Array && value.length <= maxName) return pickledText(value)!;
    if (value === null || typeof value !== 'object') return value;
    throw this.fail(`${pickledKind(value)} as a key`);
  }

  // The memo

  store(index: number): void {
    if (this.#memo.size >= maxMemo) throw this.fail(`more than ${maxMemo} values in the memo`, 'LIMIT_EXCEEDED');
    this.#memo.set(index, this.top());
  }
  memoize(): void {
    this.store(this.#memo.size);
  }
  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.fail(`there is no value ${index} in the memo`);
    this.push(value);
  }
  index(): number {
    const text = this.line(maxDigits);
    if (!/^\d{1,15}$/.test(text)) throw this.fail(`'${printable(text)}' is no memo index`);
    return Number(text);
  }

  // Names and what they stand for

  global(module: string, name: string): void {
    const full = `${module}.${name}`;
    if (!this.options.globals.has(full))
      throw this.fail(`the pickle names ${printable(full)}, which is not allowed; nothing was run`, 'UNSAFE_PICKLE');
    this.push(new PickleGlobal(full, this.options.globals.get(full)));
  }
  stackGlobal(): void {
    const [name, module] = [this.pop(), this.pop()];
    if (typeof name !== 'string' || typeof module !== 'string') throw this.fail('a name that is not a string');
    this.global(module, name);
  }
  extension(code: number): void {
    throw this.fail(`the pickle names copyreg extension ${code}, which is not allowed`, 'UNSAFE_PICKLE');
  }
  make(args: PickleValue, global: PickleValue): void {
    if (!(args instanceof PickleTuple)) throw this.fail(`${pickledKind(args)} instead of a tuple of arguments`);
    if (!(global instanceof PickleGlobal)) throw this.fail(`a call of ${pickledKind(global)}`);
    if (!global.make) throw this.fail(`a call of ${global.name}, which is not allowed`, 'UNSAFE_PICKLE');
    const made = global.make(args.items, this.fail);
    // Python makes bytes of text that stands in the file; only an attack makes more, of one text again and again.
    if (made instanceof Uint8Array) this.#made += made.length;
    if (this.#made > this.#bytes.length) throw this.fail('more bytes than the file has, by sharing', 'LIMIT_EXCEEDED');
    this.push(made);
  }
  /** INST: the name comes first, in two lines. */
  instance(): void {
    this.global(this.line(maxName), this.line(maxName));
    const global = this.pop();
    this.make(new PickleTuple(this.popMarked()), global);
  }
  object(): void {
    const [global, ...args] = this.popMarked();
    this.make(new PickleTuple(args), global ?? null);
  }
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof PickleObject) target.build(state, this.fail);
    else if (!(target instanceof OrderedDict && state instanceof Map))
      throw this.fail(`${pickledKind(state)} as state of ${pickledKind(target)}`);
  }
  persistent(id: PickleValue): void {
    if (!this.options.persistent) throw this.fail('a persistent id, which has no meaning here');
    this.push(this.options.persistent(id, this.fail));
  }

  // Protocol and frames only say what to expect.

  protocol(version: number): void {
    if (version > 5) throw this.fail(`protocol ${version}; known are 0 to 5`);
  }
  frame(length: number): void {
    const left = this.#bytes.length - this.#position;
    if (length > left) throw this.fail(`a frame of ${length} bytes, the file has ${left} more`);
  }
}

interface Opcode {
  name: string;
  run: (machine: Machine) => void;
}

/** By code. Left out: sets and out-of-band buffers, which data files do not use. */
const opcodes: (Opcode | undefined)[] = new Array(256);
const table: readonly [code: number | string, name: string, run: (m: Machine) => void][] = [
  [0x80, 'PROTO', (m) => m.protocol(m.uint8())],
  [0x95, 'FRAME', (m) => m.frame(m.uint64())],
  ['.', 'STOP', () => undefined],

  ['N', 'NONE', (m) => m.push(null)],
  [0x88, 'NEWTRUE', (m) => m.push(true)],
  [0x89, 'NEWFALSE', (m) => m.push(false)],
  ['I', 'INT', (m) => m.push(parseInt(m.line(maxDigits), m.fail))],
  ['J', 'BININT', (m) => m.push(m.int32())],
  ['K', 'BININT1', (m) => m.push(m.uint8())],
  ['M', 'BININT2', (m) => m.push(m.uint16())],
  ['L', 'LONG', (m) => m.push(parseLong(m.line(maxDigits), m.fail))],
  [0x8a, 'LONG1', (m) => m.push(littleEndian(m.take(m.uint8())))],
  [0x8b, 'LONG4', (m) => m.push(littleEndian(m.take(longLength(m.int32(), m.fail))))],
  ['F', 'FLOAT', (m) => m.push(parseFloat(m.line(maxDigits), m.fail))],
  ['G', 'BINFLOAT', (m) => m.push(m.float64())],

  ['S', 'STRING', (m) => m.push(unquote(m.line(maxText), m.fail))],
  ['T', 'BINSTRING', (m) => m.push(m.take(byteLength(m.int32(), m.fail)))],
  ['U', 'SHORT_BINSTRING', (m) => m.push(m.take(m.uint8()))],
  ['B', 'BINBYTES', (m) => m.push(m.take(m.uint32()))],
  ['C', 'SHORT_BINBYTES', (m) => m.push(m.take(m.uint8()))],
  [0x8e, 'BINBYTES8', (m) => m.push(m.take(m.uint64()))],
  [0x96, 'BYTEARRAY8', (m) => m.push(m.take(m.uint64()))],
  ['V', 'UNICODE', (m) => m.push(rawUnicode(m.line(maxText), m.fail))],
  ['X', 'BINUNICODE', (m) => m.push(m.text(m.uint32()))],
  [0x8c, 'SHORT_BINUNICODE', (m) => m.push(m.text(m.uint8()))],
  [0x8d, 'BINUNICODE8', (m) => m.push(m.text(m.uint64()))],

  ['(', 'MARK', (m) => m.mark()],
  ['0', 'POP', (m) => m.discard()],
  ['1', 'POP_MARK', (m) => void m.popMarked()],
  ['2', 'DUP', (m) => m.push(m.top())],
  [')', 'EMPTY_TUPLE', (m) => m.tuple(0)],
  [0x85, 'TUPLE1', (m) => m.tuple(1)],
  [0x86, 'TUPLE2', (m) => m.tuple(2)],
  [0x87, 'TUPLE3', (m) => m.tuple(3)],
  ['t', 'TUPLE', (m) => m.push(new PickleTuple(m.popMarked()))],
  [']', 'EMPTY_LIST', (m) => m.push([])],
  ['l', 'LIST', (m) => m.push(m.popMarked())],
  ['a', 'APPEND', (m) => m.append([m.pop()])],
  ['e', 'APPENDS', (m) => m.append(m.popMarked())],
  ['}', 'EMPTY_DICT', (m) => m.push(new Map())],
  ['d', 'DICT', dict],
  ['s', 'SETITEM', (m) => m.setItems([m.pop(), m.pop()].reverse())],
  ['u', 'SETITEMS', (m) => m.setItems(m.popMarked())],

  ['p', 'PUT', (m) => m.store(m.index())],
  ['q', 'BINPUT', (m) => m.store(m.uint8())],
  ['r', 'LONG_BINPUT', (m) => m.store(m.uint32())],
  [0x94, 'MEMOIZE', (m) => m.memoize()],
  ['g', 'GET', (m) => m.recall(m.index())],
  ['h', 'BINGET', (m) => m.recall(m.uint8())],
  ['j', 'LONG_BINGET', (m) => m.recall(m.uint32())],

  ['c', 'GLOBAL', (m) => m.global(m.line(maxName), m.line(maxName))],
  [0x93, 'STACK_GLOBAL', (m) => m.stackGlobal()],
  [0x82, 'EXT1', (m) => m.extension(m.uint8())],
  [0x83, 'EXT2', (m) => m.extension(m.uint16())],
  [0x84, 'EXT4', (m) => m.extension(m.int32())],
  ['R', 'REDUCE', (m) => m.make(m.pop(), m.pop())],
  [0x81, 'NEWOBJ', (m) => m.make(m.pop(), m.pop())],
  ['i', 'INST', (m) => m.instance()],
  ['o', 'OBJ', (m) => m.object()],
  ['b', 'BUILD', (m) => m.build()],
  ['P', 'PERSID', (m) => m.persistent(m.line(maxName))],
  ['Q', 'BINPERSID', (m) => m.persistent(m.pop())],
];
for (const [code, name, run] of table) opcodes[typeof code === 'string' ? code.charCodeAt(0) : code] = { name, run };

function dict(m: Machine): void {
  const items = m.popMarked();
  m.push(new Map());
  m.setItems(items);
}
