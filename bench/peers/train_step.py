"""Training steps of a ResNet on one batch that is at hand: forward, backward, SGD with momentum."""
import torch
import torch.nn.functional as F

from resnet import load_resnet
from tensors import read_tensors, with_prefix
from timing import best_of, repeated


def trainer(tensors, depth, width, layout, sgd, compiled=False, prefix="net."):
    """A function that makes one step on the file's batch and returns the loss before it."""
    net = load_resnet(depth, width, with_prefix(tensors, prefix)).train()
    x, y = tensors["x"], tensors["y"].long()
    if layout == "channels_last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    # One fused kernel for all parameters: the fastest of SGD's three implementations.
    optimizer = torch.optim.SGD(net.parameters(), sgd["lr"], sgd["momentum"], weight_decay=sgd["weightDecay"], fused=True)

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


class Workload:
    def __init__(self, file, depth, width, layout, sgd, compiled=False):
        self.make = lambda: trainer(read_tensors(file), depth, width, layout, sgd, compiled)
        self.step = self.make()

    def measure(self, milliseconds):
        return best_of(milliseconds, repeated(self.step))

    def check(self, steps):
        """Losses of so many first steps, one list per step with one member each."""
        step = self.make()
        return [[step().item()] for _ in range(steps)]
