"""Training steps on one batch that is at hand, the least time of one and the losses of the first."""
import torch
import torch.nn.functional as F

from timing import best_of, repeated


def steps(net, x, y, optimizer, compiled=False):
    """A function that makes one step - forward, backward, update - and returns the loss before it."""

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


class StepWorkload:
    """`make` gives a step function that begins with the first weights."""

    def __init__(self, make):
        self.make = make
        self.step = make()

    def measure(self, milliseconds):
        return best_of(milliseconds, repeated(self.step))

    def check(self, steps):
        """Losses of so many first steps, one list per step with one member each."""
        step = self.make()
        return [[step().item()] for _ in range(steps)]
