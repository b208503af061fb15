"""A square product in float32."""
import torch

from timing import best_of, repeated


class Workload:
    def __init__(self, side):
        a, b, out = (torch.randn(side, side) for _ in range(3))
        self.step = lambda: torch.mm(a, b, out=out)

    def measure(self, milliseconds):
        return best_of(milliseconds, repeated(self.step))
