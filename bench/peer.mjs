// Peer: a Python process that runs PyTorch's side of a race, one JSON line in, one JSON line out.
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const server = fileURLToPath(new URL('peers/serve.py', import.meta.url));

/** The Python to use, or why there is none. */
export function findPython() {
  const command = process.env.PTMZ_PYTHON ?? 'python3';
  const { status, stderr, error } = spawnSync(command, ['-c', 'import torch'], { encoding: 'utf8' });
  if (status === 0) return { command };
  const reason = error?.message ?? stderr.trim().split('\n').at(-1);
  return { missing: `${command} has no PyTorch (${reason}); name another in PTMZ_PYTHON` };
}

/** A running Python process with a fixed number of threads. */
export class Peer {
  #process;
  #waiting = new Map();
  #next = 1;
  #exit;
  #failure;

  /** @param threads of every pool: PyTorch's own, OpenMP's and the BLAS libraries'. */
  constructor(command, threads) {
    const pools = ['OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'];
    const env = { ...process.env, ...Object.fromEntries(pools.map((name) => [name, String(threads)])) };
    // Unbuffered, and without __pycache__ in the source tree.
    this.#process = spawn(command, ['-uB', server, String(threads)], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#exit = new Promise((resolve) => this.#process.once('close', resolve));
    this.#process.once('error', (error) => this.#fail(error));
    this.#process.stdin.on('error', (error) => this.#fail(error));
    void this.#exit.then((code) => this.#fail(new Error(`the Python process ended with status ${code}`)));
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#receive(line));
  }

  #fail(error) {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #receive(line) {
    const { id, result, error } = JSON.parse(line);
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new PeerError(error.message, error.trace));
  }

  /** Calls a function of the other side; an exception there rejects with a {@link PeerError}. */
  async call(name, settings = {}) {
    if (this.#failure) throw this.#failure;
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.stdin.write(`${JSON.stringify({ id, name, settings })}\n`);
    });
  }

  /** Makes the Workload of a Python module; `ask` calls a method of it. */
  async open(workload, settings) {
    const handle = await this.call('open', { workload, ...settings });
    const ask = async (method, more = {}) => this.call('ask', { handle, method, ...more });
    return {
      ask,
      measure: (milliseconds) => ask('measure', { milliseconds }),
      check: (more) => ask('check', more),
      close: () => this.call('close', { handle }),
    };
  }

  /** Ends the process. */
  async close() {
    this.#process.stdin.end();
    await this.#exit;
  }
}

/** An exception on the Python side. */
export class PeerError extends Error {
  constructor(message, trace) {
    super(message);
    this.trace = trace;
  }
}

/** One peer process per number of threads, started when first asked for. */
export class Peers {
  #running = new Map();

  constructor(python) {
    this.python = python;
  }

  /** The peer with so many threads, or undefined where there is no PyTorch. */
  with(threads) {
    if (this.python.missing) return undefined;
    if (!this.#running.has(threads)) this.#running.set(threads, new Peer(this.python.command, threads));
    return this.#running.get(threads);
  }

  async close() {
    await Promise.all([...this.#running.values()].map((peer) => peer.close()));
    this.#running.clear();
  }
}
