"""L-BFGS with strong Wolfe line search on the convection equation's physics-informed network."""
from time import perf_counter

import torch
from torch import nn

from tensors import read_tensors, with_prefix


def network(state):
    """Linear layers with tanh between them, from `layer_<i>.weight` and `layer_<i>.bias`."""
    layers = []
    for i in range(len(state) // 2):
        weight, bias = state[f"layer_{i}.weight"], state[f"layer_{i}.bias"]
        layer = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Problem:
    """u_t + beta u_x = 0 with u(x,0) = sin x and equal values at both ends: the points of the file."""

    def __init__(self, tensors, beta, history, lr=1.0, tolerance=0):
        self.net = network(with_prefix(tensors, "net.dnn.layers."))
        point = lambda name: torch.cat([tensors[f"{name}.x"], tensors[f"{name}.t"]], 1)
        self.initial, self.left, self.right = point("initial"), point("left"), point("right")
        self.sine = tensors["initial.x"].sin()
        self.x, self.t = (tensors[f"inside.{axis}"].requires_grad_() for axis in "xt")
        self.beta = beta
        self.evaluations = 0
        self.optimizer = lambda iterations: torch.optim.LBFGS(
            self.net.parameters(), lr, iterations, 100 * iterations, tolerance, tolerance, history, "strong_wolfe"
        )

    def loss(self):
        # One pass over all points without derivatives; one derivative along (beta, 1) instead of two.
        ends = self.net(torch.cat([self.initial, self.left, self.right]))
        start, left, right = ends.split([len(self.initial), len(self.left), len(self.right)])
        u = self.net(torch.cat([self.x, self.t], 1))
        u_x, u_t = torch.autograd.grad(u.sum(), (self.x, self.t), create_graph=True)
        residual = u_t + self.beta * u_x
        return ((start - self.sine) ** 2).mean() + ((left - right) ** 2).mean() + (residual**2).mean()

    def closure(self, optimizer):
        def evaluate():
            self.evaluations += 1
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return evaluate

    def run(self, iterations):
        optimizer = self.optimizer(iterations)
        optimizer.step(self.closure(optimizer))
        return self.loss().item()


class Workload:
    def __init__(self, file, beta, history, iterations):
        self.make = lambda: Problem(read_tensors(file), beta, history)
        self.iterations = iterations
        self.make().run(2)

    def measure(self, milliseconds):
        """Least milliseconds per evaluation of whole runs from the first weights."""
        best, began = float("inf"), perf_counter()
        while best == float("inf") or perf_counter() - began < milliseconds / 1000:
            problem = self.make()
            start = perf_counter()
            problem.run(self.iterations)
            best = min(best, 1000 * (perf_counter() - start) / problem.evaluations)
        return best

    def check(self, iterations):
        """The loss after so many iterations."""
        return self.make().run(iterations)
