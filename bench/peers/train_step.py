"""Training steps of a ResNet on one batch that is at hand: forward, backward, SGD with momentum."""
import torch

from resnet import load_resnet
from steps import StepWorkload, steps
from tensors import read_tensors, with_prefix


def trainer(tensors, depth, width, layout, sgd, compiled=False, prefix="net."):
    """A function that makes one step on the file's batch and returns the loss before it."""
    net = load_resnet(depth, width, with_prefix(tensors, prefix)).train()
    x, y = tensors["x"], tensors["y"].long()
    if layout == "channels_last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    # One fused kernel for all parameters: the fastest of SGD's three implementations.
    optimizer = torch.optim.SGD(net.parameters(), sgd["lr"], sgd["momentum"], weight_decay=sgd["weightDecay"], fused=True)
    return steps(net, x, y, optimizer, compiled)


class Workload(StepWorkload):
    def __init__(self, file, depth, width, layout, sgd, compiled=False):
        super().__init__(lambda: trainer(read_tensors(file), depth, width, layout, sgd, compiled))
