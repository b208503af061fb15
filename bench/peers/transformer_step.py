"""Training steps of a transformer on one batch that is at hand: forward, backward, AdamW."""
import torch
import torch.nn.functional as F

from tensors import read_tensors, with_prefix
from timing import best_of, repeated
from transformers import load


def adamw(net, settings):
    """One fused kernel for all parameters: the fastest of AdamW's implementations."""
    betas, decay = tuple(settings["betas"]), settings["weightDecay"]
    return torch.optim.AdamW(net.parameters(), settings["lr"], betas, weight_decay=decay, fused=True)


class Workload:
    def __init__(self, file, kind, sizes, optimizer, compiled=False):
        self.make = lambda: self._step(read_tensors(file), kind, sizes, optimizer, compiled)
        self.step = self.make()

    @staticmethod
    def _step(tensors, kind, sizes, settings, compiled):
        net = load(kind, sizes, with_prefix(tensors, "net."))
        x = tensors["x"].long() if kind == "gpt2" else tensors["x"]
        y = tensors["y"].long().flatten()
        optimizer = adamw(net, settings)

        def loss_of(x, y):
            return F.cross_entropy(net(x), y)

        forward = torch.compile(loss_of) if compiled else loss_of

        def step():
            optimizer.zero_grad()
            loss = forward(x, y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    def measure(self, milliseconds):
        return best_of(milliseconds, repeated(self.step))

    def check(self, steps):
        """Losses of so many first steps, one list per step with one member each."""
        step = self.make()
        return [[step().item()] for _ in range(steps)]
