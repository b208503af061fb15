/** A worker thread that is always in the middle of a run: two jobs, one running, one waiting for its turn. */
import { parentPort, workerData } from 'node:worker_threads';
import { endlessRun } from './long-run.mjs';

if (workerData?.loadOnly !== true) {
  const jobs = [endlessRun(), endlessRun()].map((chain) => chain.run());
  jobs.forEach((job) => job.promise.catch(() => {}));
}
parentPort?.postMessage('running');
