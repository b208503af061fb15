"""Training steps of several ResNets that differ in their weights: one after the other, or stacked by vmap."""
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from resnet import ResNet, load_resnet
from tensors import read_tensors, with_prefix
from timing import best_of, repeated
from train_step import trainer


def one_after_the_other(tensors, members, **settings):
    steps = [trainer(tensors, prefix=f"net{m}.", **settings) for m in range(members)]
    return lambda: torch.stack([step() for step in steps])


def stacked(tensors, members, depth, width, layout, sgd):
    """All members in every operator: parameters (P,...), images (P,B,C,H,W). Convolutions become grouped ones."""
    nets = [load_resnet(depth, width, with_prefix(tensors, f"net{m}.")).train() for m in range(members)]
    parameters, buffers = stack_module_state(nets)
    parameters = {name: p.detach() for name, p in parameters.items()}
    velocity = [torch.zeros_like(p) for p in parameters.values()]
    skeleton = ResNet(depth, width).to("meta").train()
    x, y = tensors["x"], tensors["y"].long()
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
        parameters = {name: last(p) for name, p in parameters.items()}
    images = x.expand(members, *x.shape)

    def loss(parameters, buffers, x):
        return F.cross_entropy(functional_call(skeleton, (parameters, buffers), (x,)), y)

    gradients = vmap(grad_and_value(loss), in_dims=(0, 0, 0))

    def step():
        grad, losses = gradients(parameters, buffers, images)
        values = list(parameters.values())
        # torch.optim.SGD, all tensors at once: v <- momentum v + (g + decay p), p <- p - lr v
        torch._foreach_mul_(velocity, sgd["momentum"])
        torch._foreach_add_(velocity, [grad[name] for name in parameters])
        torch._foreach_add_(velocity, values, alpha=sgd["weightDecay"])
        torch._foreach_add_(values, velocity, alpha=-sgd["lr"])
        return losses

    return step


def last(parameter):
    """A stack of convolution weights (P,O,I,K,K) with channels innermost."""
    return parameter.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) if parameter.dim() == 5 else parameter


WAYS = {"sequential": one_after_the_other, "vmap": stacked}


class Workload:
    def __init__(self, file, way, **settings):
        self.make = lambda: WAYS[way](read_tensors(file), **settings)
        self.step = self.make()

    def measure(self, milliseconds):
        return best_of(milliseconds, repeated(self.step))

    def check(self, steps):
        """Losses of so many first steps, one list per step."""
        step = self.make()
        return [step().tolist() for _ in range(steps)]
