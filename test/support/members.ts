/** The numbers of one member of a run, to be compared with those of another. */
import type { Run } from 'ptmz-native';

/** All numbers of a member, to be compared bit by bit. */
export const bits = (run: Run, member: number) =>
  Object.fromEntries(Object.entries(run.stateDict(member)).map(([name, { data }]) => [name, [...data]]));
export const column = (run: Run, member: number) =>
  run.history.map((r) => [r.trainLoss, r.trainAccuracy, r.testLoss, r.testAccuracy].map((values) => values[member]));
