/** `ptmz doctor`: what this machine offers and what the package uses of it; works without the addon, and says why. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { dataSources, openData } from '../../data/registry.js';
import { PtmzError } from '../../errors.js';
import { loadNative } from '../../load.js';
import type { NativeAddon } from '../../native.js';
import { withExamples, type AddCommand } from '../command.js';
import { alignPairs } from '../table.js';

/** What `ptmz doctor --json` prints. */
interface Report {
  package: string;
  node: string;
  nodeApi: string;
  platform: string;
  os: string;
  libc: string;
  cpu: { model: string; cores: number; simdUsed: string | null; simdAvailable: string[] };
  memory: { totalBytes: number; freeBytes: number };
  addon: { loaded: true; file: string; version: string; compiler: string } | { loaded: false; error: string };
  blas: string | null;
  threads: number | null;
  devices: { name: string; available: boolean; detail?: string; reason?: string }[];
  data: { name: string; found: boolean; detail: string }[];
}

export const addDoctor: AddCommand = (program) => {
  const command = program
    .command('doctor')
    .description('show what was found on this machine: versions, CPU, BLAS, devices, data sets')
    .option('--json', 'print the report as JSON')
    .action(async (options: { json?: boolean }) => {
      const report = await examine();
      console.log(options.json ? JSON.stringify(report, null, 2) : describe(report));
      if (!report.addon.loaded) process.exitCode = 1;
    });
  withExamples(command, [
    ['ptmz doctor', 'show what was found on this machine'],
    ['ptmz doctor --json', 'the same, to attach to a bug report'],
  ]);
};

async function examine(): Promise<Report> {
  const require = createRequire(import.meta.url);
  const { addon, status } = examineAddon(require);
  const info = addon?.info();
  return {
    package: (require('../../../package.json') as { version: string }).version,
    node: process.versions.node,
    nodeApi: process.versions.napi ?? 'none',
    platform: `${process.platform}-${process.arch}`,
    os: systemName(),
    libc: libc(),
    cpu: {
      model: os.cpus()[0]?.model.trim() ?? 'unknown',
      cores: os.availableParallelism(),
      simdUsed: info?.simd.used ?? null,
      simdAvailable: info?.simd.available ?? [],
    },
    memory: { totalBytes: os.totalmem(), freeBytes: os.freemem() },
    addon: status,
    blas: info?.blas ?? null,
    threads: info?.threads ?? null,
    devices: info?.devices ?? [],
    data: await examineAllData(),
  };
}

function examineAddon(require: NodeJS.Require): { addon?: NativeAddon; status: Report['addon'] } {
  try {
    const addon = loadNative();
    const { version, compiler } = addon.info();
    const finder = require('node-gyp-build') as { resolve(root: string): string };
    const file = finder.resolve(fileURLToPath(new URL('../../..', import.meta.url)));
    return { addon, status: { loaded: true, file, version, compiler } };
  } catch (error) {
    return { status: { loaded: false, error: (error as Error).message } };
  }
}

/** The data sets that are found without being told where. */
async function examineAllData(): Promise<Report['data']> {
  const found: Report['data'] = [];
  for (const [name, { path, title }] of Object.entries(dataSources))
    if (path === 'none' || path === 'optional') found.push(await examineData(name, title ?? name));
  return found;
}

/** Reads a few samples: a data set that is there but damaged is of no use. */
async function examineData(source: string, name: string): Promise<Report['data'][number]> {
  try {
    await openData({ name: source }, { train: 10, test: 10 });
    return { name, found: true, detail: 'found' };
  } catch (error) {
    if (!(error instanceof PtmzError)) throw error;
    if (error.code === 'NO_NATIVE')
      return { name, found: false, detail: 'not looked for: the native addon is missing' };
    const detail = error.code === 'DATA_MISSING' ? 'not found' : error.message;
    return { name, found: false, detail: [detail, error.hint].filter(Boolean).join('. ') };
  }
}

/** The distribution's own name for itself, where there is one. */
function systemName(): string {
  const kernel = `${os.type()} ${os.release()}`;
  if (!existsSync('/etc/os-release')) return kernel;
  const name = /^PRETTY_NAME="?(.+?)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'));
  return name ? `${name[1]} (${kernel})` : kernel;
}

function libc(): string {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'not glibc';
}

function describe(report: Report): string {
  const { addon, cpu, memory } = report;
  const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const pairs: [string, string][] = [
    ['ptmz-native', report.package],
    ['Node', `${report.node}, Node-API ${report.nodeApi}`],
    ['system', `${report.platform}, ${report.os}, ${report.libc}`],
    ['CPU', `${cpu.model}, ${cpu.cores} ${cpu.cores === 1 ? 'core' : 'cores'} to use`],
    ['memory', `${gibibytes(memory.totalBytes)}, ${gibibytes(memory.freeBytes)} free`],
  ];
  if (addon.loaded) {
    pairs.push(
      ['addon', `${addon.file} (version ${addon.version}, ${addon.compiler})`],
      ['SIMD', `${cpu.simdUsed} in use; available: ${cpu.simdAvailable.join(', ')}`],
      ['BLAS', report.blas ?? 'none'],
      ['threads', String(report.threads)],
    );
  } else {
    pairs.push(['addon', `NOT LOADED\n${addon.error}`]);
  }
  for (const { name, available, detail, reason } of report.devices) {
    const found = detail === undefined ? 'available' : `available: ${detail}`;
    pairs.push([`device ${name}`, available ? found : `not available: ${reason ?? 'no reason known'}`]);
  }
  for (const { name, detail } of report.data) pairs.push([`data ${name}`, detail]);
  return alignPairs(pairs);
}
