/** What a pickle can hold: a closed set of types, the constructors for names of plain data, and limits of the whole. */
import type { ErrorCode, PtmzError } from '../errors.js';

/** Keys of dicts; those of type bytes, and of Python 2's str, are read as latin1 text. */
export type PickleKey = string | number | bigint | boolean | null;

/** Whatever a pickle can hold. Python 2's str is bytes; integers beyond 2^53 are bigints; lists are arrays. */
export type PickleValue =
  PickleKey | Uint8Array | PickleValue[] | PickleTuple | Map<PickleKey, PickleValue> | PickleGlobal | PickleObject;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** Makes the error for what is wrong at the opcode under way. */
export type PickleFail = (what: string, code?: ErrorCode) => PtmzError;

/** Our stand-in for a call in Python: checks every argument and returns plain data. */
export type PickleMake = (args: readonly PickleValue[], fail: PickleFail) => PickleValue;

/** An allowed name, as a value. */
export class PickleGlobal {
  constructor(
    readonly name: string,
    readonly make?: PickleMake,
  ) {}
}

/** What constructors may return beside plain data; for the nesting limits it is a leaf, so it must not hold containers. */
export abstract class PickleObject {
  /** Takes the state that Python would give to `__setstate__`. */
  abstract build(state: PickleValue, fail: PickleFail): void;
}

/** Python's OrderedDict. Its attributes (PyTorch keeps `_metadata` there) are dropped. */
export class OrderedDict extends Map<PickleKey, PickleValue> {}

const maxDepth = 200;
/** Values of the result with shared ones counted wherever they occur: what a full walk would meet. */
const maxWalk = 2 ** 24;
/** Bytes of one string. */
export const maxText = 2 ** 28;

/** Text of a str, or of Python 2's str and bytes as latin1; undefined for anything else. @internal */
export function pickledText(value: PickleValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  if (!(value instanceof Uint8Array) || value.length > maxText) return undefined;
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
}

/** What a value is, for errors. @internal */
export function pickledKind(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return 'a list';
  if (value instanceof PickleTuple) return 'a tuple';
  if (value instanceof Map) return 'a dict';
  if (value instanceof PickleGlobal) return `the name ${value.name}`;
  return typeof value === 'object' ? `a ${value.constructor.name}` : `a ${typeof value}`;
}

/** Names that pickles of plain data use. @internal */
export const plainGlobals: ReadonlyMap<string, PickleMake | undefined> = new Map([
  ['collections.OrderedDict', makeOrderedDict],
  // How Python 3 writes bytes in protocols 0 to 2.
  ['_codecs.encode', encodeLatin1],
  ['__builtin__.bytes', emptyBytes],
  ['builtins.bytes', emptyBytes],
]);

function makeOrderedDict(args: readonly PickleValue[], fail: PickleFail): PickleValue {
  if (args.length > 0) throw fail(`expected no arguments of OrderedDict, got ${args.length}`);
  return new OrderedDict();
}

function encodeLatin1([text, encoding, ...rest]: readonly PickleValue[], fail: PickleFail): PickleValue {
  if (typeof text !== 'string' || pickledText(encoding) !== 'latin1' || rest.length > 0)
    throw fail("expected a string and 'latin1' as arguments of encode");
  // eslint-disable-next-line no-control-regex
  if (/[^\0-\xff]/.test(text)) throw fail('a character beyond latin1 in bytes');
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

function emptyBytes(args: readonly PickleValue[], fail: PickleFail): PickleValue {
  if (args.length > 0) throw fail(`expected no arguments of bytes, got ${args.length}`);
  return new Uint8Array(0);
}

const containers = (value: PickleValue): readonly PickleValue[] | undefined => {
  if (Array.isArray(value)) return value;
  if (value instanceof PickleTuple) return value.items;
  return value instanceof Map ? [...value.values()] : undefined;
};

/** Refuses cycles, deep nesting, and small files whose shared values unfold to many; takes each container once. @internal */
export function checkWalk(root: PickleValue, fail: PickleFail): void {
  const tooDeep = () => fail(`nested more than ${maxDepth} deep`, 'LIMIT_EXCEEDED');
  type Visit = { value: object; children: readonly PickleValue[]; next: number; depth: number; size: number };
  const done = new Map<object, { depth: number; size: number }>();
  const open = new Set<object>();
  const path: Visit[] = [];
  const enter = (value: PickleValue): boolean => {
    const children = containers(value);
    if (!children) return false;
    if (open.has(value as object)) throw fail('a value that contains itself');
    if (path.length >= maxDepth) throw tooDeep();
    open.add(value as object);
    path.push({ value: value as object, children, next: 0, depth: 1, size: 1 });
    return true;
  };
  enter(root);
  for (let visit = path.at(-1); visit; visit = path.at(-1)) {
    if (visit.next < visit.children.length) {
      const child = visit.children[visit.next]!;
      const known = done.get(child as object);
      if (!known && enter(child)) continue;
      visit.next++;
      visit.depth = Math.max(visit.depth, 1 + (known?.depth ?? 0));
      visit.size += known?.size ?? 1;
      if (visit.depth > maxDepth) throw tooDeep();
      if (visit.size > maxWalk) throw fail(`more than ${maxWalk} values, by sharing`, 'LIMIT_EXCEEDED');
    } else {
      done.set(visit.value, visit);
      open.delete(visit.value);
      path.pop();
    }
  }
}
