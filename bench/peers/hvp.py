"""v^T H v by double backward, a fresh graph for every probe, as PyHessian does for every probe and mini-batch."""
import itertools

import torch
import torch.nn.functional as F

from resnet import load_resnet
from tensors import read_tensors, with_prefix
from timing import best_of, repeated


class Workload:
    def __init__(self, file, width, probes, layout):
        self.make = lambda double: Curvature(read_tensors(file), width, probes, layout, double)
        self.curvature = self.make(False)

    def measure(self, milliseconds):
        endless = itertools.cycle(self.curvature.probes)
        return best_of(milliseconds, repeated(lambda: self.curvature.product(next(endless))))

    def check(self, double):
        curvature = self.make(double)
        return [curvature.product(probe) for probe in curvature.probes]


class Curvature:
    """Network, images and probes."""

    def __init__(self, tensors, width, probes, layout, double=False):
        if double:
            tensors = {name: t.double() if t.dtype == torch.float32 else t for name, t in tensors.items()}
        self.net = load_resnet(18, width, with_prefix(tensors, "net.")).eval()
        self.x, self.y = tensors["x"], tensors["y"].long()
        if layout == "channels_last":
            self.net = self.net.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        names = [name for name, _ in self.net.named_parameters()]
        self.parameters = list(self.net.parameters())
        self.probes = [
            [tensors[f"v{m}.{name}"].reshape(p.shape).to(p) for name, p in zip(names, self.parameters)]
            for m in range(probes)
        ]

    def product(self, probe):
        loss = F.cross_entropy(self.net(self.x), self.y)
        gradient = torch.autograd.grad(loss, self.parameters, create_graph=True)
        hv = torch.autograd.grad(gradient, self.parameters, grad_outputs=probe)
        return sum((h * v).sum() for h, v in zip(hv, probe)).item()
