// What the numbers were measured on: processor, versions, and the commit of this package.
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const output = (command, args) => {
  const { status, stdout } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
};

/** Facts of this machine and build; `peer` is what the Python side says of itself, or why there is none. */
export function describeMachine(peer) {
  const text = output(process.execPath, ['dist/cli/main.js', 'doctor', '--json']);
  if (text === undefined) throw new Error('ptmz doctor failed: build the package first, `npm run bootstrap`');
  const { package: version, node, platform, cpu, memory, blas, addon } = JSON.parse(text);
  const changed = output('git', ['status', '--porcelain', '--', 'lib', 'native', 'bindings']);
  return {
    cpu: cpu.model,
    cores: cpu.cores,
    simd: cpu.simdUsed,
    memoryGiB: Number((memory.totalBytes / 2 ** 30).toFixed(1)),
    platform,
    node,
    package: version,
    commit: output('git', ['rev-parse', '--short', 'HEAD']) ?? 'unknown',
    changed: changed === undefined ? null : changed !== '',
    compiler: addon.compiler,
    blas,
    load: Number(os.loadavg()[0].toFixed(2)),
    peer,
  };
}

/** The same in a few lines. */
export function formatMachine(m) {
  const peer = m.peer.torch
    ? `PyTorch ${m.peer.torch} (${m.peer.blas}, oneDNN ${m.peer.onednn}, ${m.peer.capability}), Python ${m.peer.python}`
    : `no peer: ${m.peer.missing}`;
  return [
    `${m.cpu}, ${m.cores} cores, ${m.simd}, ${m.memoryGiB} GiB, load ${m.load} at the start`,
    `ptmz-native ${m.package} at ${m.commit}${m.changed ? ' with changes' : ''}, ${m.compiler}, ${m.blas}, Node ${m.node}`,
    peer,
  ].join('\n');
}
