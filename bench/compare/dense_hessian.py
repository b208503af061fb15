"""The dense Hessian of a small ResNet's loss in float64, and PyHessian's estimates with given random vectors.

PyHessian itself is used where it can be imported; its algorithm, written anew from its description, always is.
"""
import importlib.util
from contextlib import contextmanager
from time import perf_counter
from unittest import mock

import torch
import torch.nn.functional as F

from resnet import load_resnet
from tensors import read_tensors, with_prefix


class Workload:
    def __init__(self, file, depth, width, probes):
        tensors = read_tensors(file)
        self.exact = Loss(tensors, depth, width, torch.float64)
        self.rough = Loss(tensors, depth, width, torch.float32)
        self.probes = [self.exact.flat(with_prefix(tensors, f"v{m}.")) for m in range(probes)]
        self.start = self.exact.flat(with_prefix(tensors, "start."))
        self.hessian = None

    def dense(self):
        """Column by column; what is exact about it, in float64."""
        began = perf_counter()
        columns = [self.exact.product(column) for column in torch.eye(self.exact.size, dtype=torch.float64)]
        hessian = torch.stack(columns, 1)
        asymmetry = ((hessian - hessian.T).abs().max() / hessian.abs().max()).item()
        self.hessian = (hessian + hessian.T) / 2
        eigenvalues = torch.linalg.eigvalsh(self.hessian)
        return {
            "parameters": self.exact.size,
            "trace": self.hessian.trace().item(),
            "largest": eigenvalues[-1].item(),
            "smallest": eigenvalues[0].item(),
            "asymmetry": asymmetry,
            "seconds": perf_counter() - began,
        }

    def quadratic_forms(self):
        """v^T H v of every probe by the dense matrix."""
        return [(v @ self.hessian @ v).item() for v in self.probes]

    def algorithm(self, dtype, rtol, steps):
        """PyHessian's trace and power iteration, written anew."""
        loss = self.exact if dtype == "float64" else self.rough
        return {
            "trace": running_mean(loss, self.probes, rtol),
            "eigenvalue": power_iteration(loss, self.start, rtol, steps),
        }

    def original(self, dtype, rtol, steps):
        """The same by PyHessian itself; None where it is not installed."""
        if importlib.util.find_spec("pyhessian") is None:
            return None
        from pyhessian import hessian

        loss = self.exact if dtype == "float64" else self.rough
        made = hessian(loss.net, F.cross_entropy, data=(loss.x, loss.y), cuda=False)
        with given_vectors("randint_like", [loss.tensors((v + 1) / 2) for v in self.probes]):
            samples = made.trace(maxIter=len(self.probes), tol=rtol)
        with given_vectors("randn", [loss.tensors(self.start)]):
            eigenvalues, _ = made.eigenvalues(maxIter=steps, tol=rtol)
        return {"trace": {"mean": sum(samples) / len(samples), "probes": len(samples)}, "eigenvalue": eigenvalues[0]}


class Loss:
    """A network's mean loss over its images, batch norm in evaluation mode, with one graph for all products."""

    def __init__(self, tensors, depth, width, dtype):
        state = with_prefix(tensors, "net.")
        state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
        self.net = load_resnet(depth, width, state).eval()
        self.x, self.y = tensors["x"].to(dtype), tensors["y"].long()
        self.names = [name for name, _ in self.net.named_parameters()]
        self.parameters = list(self.net.parameters())
        self.size = sum(p.numel() for p in self.parameters)
        loss = F.cross_entropy(self.net(self.x), self.y)
        self.gradient = torch.autograd.grad(loss, self.parameters, create_graph=True)

    def flat(self, named):
        """A direction given by parameter names as one vector."""
        return torch.cat([named[name].reshape(-1) for name in self.names]).double()

    def tensors(self, flat):
        """A vector as one tensor per parameter."""
        parts = flat.to(self.parameters[0]).split([p.numel() for p in self.parameters])
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters)]

    def product(self, flat):
        """H v, v and the result of size self.size."""
        parts = torch.autograd.grad(self.gradient, self.parameters, grad_outputs=self.tensors(flat), retain_graph=True)
        return torch.cat([part.reshape(-1) for part in parts])


def running_mean(loss, probes, rtol):
    """Hutchinson's estimate that ends when one more probe moves the mean by less than rtol of its size."""
    samples, mean = [], 0.0
    for v in probes:
        v = v.to(loss.parameters[0])
        samples.append((v @ loss.product(v)).item())
        before, mean = mean, sum(samples) / len(samples)
        if abs(mean - before) / (abs(before) + 1e-6) < rtol:
            break
    return {"mean": mean, "probes": len(samples)}


def power_iteration(loss, start, rtol, steps):
    """Ends when v^T H v moves by less than rtol of its size, and returns the value before that last move."""
    v, value = start.to(loss.parameters[0]), None
    for _ in range(steps):
        # Made to length 1 once as the start or the last product and once after the orthogonalisation, as there.
        for _ in range(2):
            v = v / (v.norm().item() + 1e-6)
        product = loss.product(v)
        before, value = value, (v @ product).item()
        if before is not None and abs(value - before) / (abs(before) + 1e-6) < rtol:
            return before
        v = product
    return value


@contextmanager
def given_vectors(function, vectors):
    """Replaces a random function of torch, which PyHessian calls for one parameter after the other."""
    parts = iter([part for vector in vectors for part in vector])
    with mock.patch.object(torch, function, lambda *_, **__: next(parts).clone()):
        yield
