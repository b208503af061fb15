"""Training steps of a transformer on one batch that is at hand: forward, backward, AdamW."""
import torch

from steps import StepWorkload, steps
from tensors import read_tensors, with_prefix
from transformers import load


def adamw(net, settings):
    """One fused kernel for all parameters: the fastest of AdamW's implementations."""
    betas, decay = tuple(settings["betas"]), settings["weightDecay"]
    return torch.optim.AdamW(net.parameters(), settings["lr"], betas, weight_decay=decay, fused=True)


def trainer(tensors, kind, sizes, settings, compiled):
    net = load(kind, sizes, with_prefix(tensors, "net."))
    x = tensors["x"].long() if kind == "gpt2" else tensors["x"]
    return steps(net, x, tensors["y"].long().flatten(), adamw(net, settings), compiled)


class Workload(StepWorkload):
    def __init__(self, file, kind, sizes, optimizer, compiled=False):
        super().__init__(lambda: trainer(read_tensors(file), kind, sizes, optimizer, compiled))
