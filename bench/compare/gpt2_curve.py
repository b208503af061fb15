"""A GPT-2 trained on given windows in their order: the loss of every step."""
import torch
import torch.nn.functional as F

from tensors import read_tensors, with_prefix
from transformer_step import adamw
from transformers import load


class Workload:
    def __init__(self, file, sizes, optimizer, batch):
        tensors = read_tensors(file)
        self.net, self.batch = load("gpt2", sizes, with_prefix(tensors, "net.")), batch
        self.x, self.y = tensors["x"].long(), tensors["y"].long()
        self.optimizer, self.clip = adamw(self.net, optimizer), optimizer["clip"]

    def train(self):
        """The losses of all steps, each before its update."""
        losses = []
        for x, y in zip(self.x.split(self.batch), self.y.split(self.batch)):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.net(x), y.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
            self.optimizer.step()
            losses.append(loss.item())
        return losses
