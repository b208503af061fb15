/** A process that ends in the middle of a run: `exit` with code 3, by an uncaught `error`, or by `return` after cancelling. */
import { endlessRun, sleep } from './long-run.mjs';

const job = endlessRun().run();
job.promise.catch(() => {});
await sleep(60);
process.stdout.write('ending\n');
if (process.argv[2] === 'error')
  setTimeout(() => {
    throw new Error('uncaught on purpose');
  });
else if (process.argv[2] === 'return') job.cancel();
else process.exit(3);
