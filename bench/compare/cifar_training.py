"""Trains a ResNet as the package does: the same pixels and weights, SGD, PyTorch's own OneCycle, no augmentation."""
from time import perf_counter

import torch
import torch.nn.functional as F

from resnet import load_resnet
from tensors import read_tensors, with_prefix


class Workload:
    """The data stay in memory as bytes; a batch is picked, normalised and brought into the network's layout."""

    def __init__(self, file, depth, width, batch, epochs, layout, lr, weight_decay, mean, std):
        tensors = read_tensors(file)
        self.format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.net = load_resnet(depth, width, with_prefix(tensors, "net.")).to(memory_format=self.format)
        self.train_set = (tensors["train.x"], tensors["train.y"].long())
        self.test_set = (tensors["test.x"], tensors["test.y"].long())
        self.mean, self.std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (mean, std))
        self.batch = batch
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr, 0.9, weight_decay=weight_decay, fused=True)
        steps = epochs * -(-len(self.train_set[1]) // batch)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, lr, total_steps=steps)
        torch.manual_seed(0)

    def batches(self, images, labels, order):
        for picked in order.split(self.batch):
            x = images[picked].float().div_(255).sub_(self.mean).div_(self.std)
            yield x.to(memory_format=self.format), labels[picked]

    def epoch(self):
        """One pass over the training images and one over the test images."""
        began = perf_counter()
        images, labels = self.train_set
        self.net.train()
        for x, y in self.batches(images, labels, torch.randperm(len(labels))):
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(x), y).backward()
            self.optimizer.step()
            self.schedule.step()
        return {"test_accuracy": self.accuracy(), "seconds": perf_counter() - began}

    @torch.no_grad()
    def accuracy(self):
        images, labels = self.test_set
        self.net.eval()
        right = sum(
            (self.net(x).argmax(1) == y).sum().item() for x, y in self.batches(images, labels, torch.arange(len(labels)))
        )
        return right / len(labels)
