/** LockOwner: who holds a lock, as its file says it, and whether that thread may still be at work. */
import { randomUUID } from 'node:crypto';
import { threadId } from 'node:worker_threads';
import { isAlive, startTime, surroundings, type Surroundings } from './processes.js';

/** @internal */
export interface LockOwner extends Surroundings {
  process: number;
  /** Tells a process from a later one of the same number. */
  started: string | null;
  thread: number;
  /** Of this one lock. */
  id: string;
}

/** Milliseconds between the signs of life of an owner that others cannot look up, and how long they wait for one. */
export const heartbeat = 20_000;
const patience = 6 * heartbeat;

// Of the thread, not of this module: it may be loaded twice.
const key = Symbol.for('ptmz-native.locks');
const shared = globalThis as { [key]?: Set<string> };
/** The `id`s of the locks that this thread holds. @internal */
export const heldHere = (shared[key] ??= new Set());

/** This thread, with a new lock. @internal */
export function newOwner(): LockOwner {
  const { pid } = process;
  return { ...surroundings(), process: pid, started: startTime(pid), thread: threadId, id: randomUUID() };
}

/** What a lock file says; undefined where it is damaged, or not written yet. @internal */
export function parseOwner(text: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(text) as LockOwner | null;
    const whole = typeof owner?.host === 'string' && Number.isInteger(owner.process) && typeof owner.id === 'string';
    return whole ? owner : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether an owner may still be at work; in doubt it is.
 *
 * @param silence milliseconds since its last sign of life: where its process cannot be looked up, that is what counts
 * @internal
 */
export function mayLive(owner: LockOwner | undefined, silence: number): boolean {
  const showsLife = silence < patience;
  if (owner === undefined) return showsLife;
  const here = surroundings();
  if (owner.host !== here.host || differ(owner.machine, here.machine)) return showsLife;
  if (differ(owner.boot, here.boot)) return false;
  if (differ(owner.space, here.space)) return showsLife;
  if (!isAlive(owner.process)) return false;
  const started = startTime(owner.process);
  if (differ(owner.started, started)) return false;
  // A thread can end without its process.
  if (owner.process === process.pid) return owner.thread === threadId ? heldHere.has(owner.id) : showsLife;
  return !unknown(owner.started, started) || showsLife;
}

const unknown = (a: unknown, b: unknown) => (a ?? null) === null || (b ?? null) === null;
const differ = (a: string | null, b: string | null) => !unknown(a, b) && a !== b;

/** `process 12 on elsewhere`. @internal */
export function describeOwner(owner: LockOwner | undefined): string {
  if (owner === undefined) return 'an unknown process';
  if (owner.host !== surroundings().host) return `process ${owner.process} on ${owner.host}`;
  return owner.process === process.pid ? `this process, ${owner.process}` : `process ${owner.process}`;
}
