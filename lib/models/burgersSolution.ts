/** The periodic solution of Burgers' equation that begins as sin x, by the integral of Cole and Hopf. */
import type { Value } from '../graph/value.js';
import { softmax } from '../nn/activation.js';

const nodes = 161;

/**
 * u = -2 nu phi_x / phi turns u_t + u u_x = nu u_xx into the heat equation for phi, which begins as exp(cos x / (2 nu)).
 * Its kernel, with y = x - 2 sqrt(nu t) z, leaves the mean of sin y under the weights exp(cos y / (2 nu) - z^2). They
 * are a softmax over equal steps of z, which converges exponentially (the trapezoidal rule): they are largest within
 * |x - y| <= t, that is |z| <= sqrt(t / nu) / 2, and 6 further on there is nothing left.
 *
 * @param x places (N,1)
 * @param t times (N,1), 0 or later
 * @param nu shape [], positive
 * @returns (N,1)
 * @internal
 */
export function burgersSolution(x: Value, t: Value, nu: Value): Value {
  const node = x.graph
    .iota([1, nodes])
    .sub((nodes - 1) / 2)
    .div((nodes - 1) / 2);
  const z = t.div(nu).sqrt().div(2).add(6).mul(node);
  const y = x.sub(t.mul(nu).sqrt().mul(2).mul(z));
  const weights = softmax(y.cos().div(nu.mul(2)).sub(z.square()), 1);
  return weights.mul(y.sin()).sum(1, true);
}
