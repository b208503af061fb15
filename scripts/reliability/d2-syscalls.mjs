/** D2: the order of the system calls that make a checkpoint durable, as strace sees them. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { call, inFolder } from '../../test/support/mounts.mjs';

const training = fileURLToPath(new URL('../../test/support/checkpointed-training.mjs', import.meta.url));
const calls = 'openat,fsync,rename,renameat,renameat2,write';

/** Lines of the log; a call that another thread interrupted is put together again. @param {string} log of strace -f */
function* wholeLines(log) {
  /** @type {Map<string, string>} */
  const unfinished = new Map();
  for (const line of log.split('\n')) {
    const [, thread = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (text.endsWith('<unfinished ...>')) unfinished.set(thread, text.slice(0, -'<unfinished ...>'.length));
    else yield text.replace(/^<\.\.\. \w+ resumed>/, () => unfinished.get(thread) ?? '');
  }
}

/** Calls that succeeded, in order. @param {string} log of strace -f -y */
function* succeeded(log) {
  for (const line of wholeLines(log)) {
    const match = /(?<name>\w+)\((?<args>.*)\)\s+= (?<result>\d+)/.exec(line);
    if (!match?.groups) continue;
    const { name = '', args = '' } = match.groups;
    const quoted = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text);
    yield { name, args, quoted, descriptor: /^\d+<([^>]*)>/.exec(args)?.[1] ?? '' };
  }
}

/**
 * What was not flushed in time, one sentence each, and the number of checkpoints that appeared.
 * @param {string} log
 */
export function wrongOrder(log) {
  const wrong = [];
  /** @type {Set<string>} */
  const unflushed = new Set();
  let saves = 0;
  for (const { name, args, quoted, descriptor } of succeeded(log)) {
    const path = quoted[0] ?? '';
    if (name === 'openat' && args.includes('O_CREAT') && path.includes('.tmp/')) {
      unflushed.add(path).add(dirname(path));
    } else if (name === 'fsync') {
      unflushed.delete(descriptor);
    } else if (name.startsWith('rename') && basename(quoted[1] ?? '').startsWith('epoch-')) {
      saves += 1;
      for (const late of unflushed) if (late.startsWith(path)) wrong.push(`${late} was renamed before its fsync`);
      unflushed.add(dirname(quoted[1] ?? ''));
    } else if (name === 'write' && path.startsWith('ACK') && unflushed.size > 0) {
      wrong.push(`${[...unflushed].join()} was acknowledged before its fsync`);
    }
  }
  return { saves, wrong };
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D2',
  fault:
    'order of system calls (strace): fsync of files and their folder, rename, fsync of the directory, then the report',
  trials: { full: 3, quick: 1 },
  unavailable() {
    if (process.platform !== 'linux') return 'strace needs Linux';
    const { error } = spawnSync('strace', ['-V']);
    return error ? `strace: ${error.message}` : undefined;
  },
  async run({ trials, report }) {
    let saves = 0;
    const wrong = [];
    for (let i = 0; i < trials; i++) {
      await inFolder(async (folder) => {
        const log = join(folder, 'calls');
        const options = ['-f', '-y', '-s', '300', '-e', `trace=${calls}`, '-o', log];
        call('strace', ...options, process.execPath, training, join(folder, 'run'), '1', '1');
        const found = wrongOrder(readFileSync(log, 'utf8'));
        saves += found.saves;
        wrong.push(...found.wrong);
      });
      report((i + 1) / trials, `${saves} saves`);
    }
    const figures = `${saves} saves, ${wrong.length} in the wrong order${wrong.length > 0 ? `: ${wrong[0]}` : ''}`;
    return { passed: saves > 0 && wrong.length === 0, figures };
  },
};
