"""Random crop, flip, rotation and normalisation of images into batches: torchvision's transforms, or the same in PIL."""
import glob
import importlib.util
import os
import random

import torch

from tensors import read_tensors
from timing import best_of, repeated


class Unavailable(Exception):
    """What this needs is not installed."""


class Workload:
    def __init__(self, library, file, batch, padding, flip, rotate, mean, std):
        # torchvision's transforms work on PIL's images.
        for name in ("PIL", library):
            if importlib.util.find_spec(name) is None:
                raise Unavailable(f"{name} is not installed beside PyTorch")
        from PIL import Image

        pixels = read_tensors(file)["images"].permute(0, 2, 3, 1).numpy()
        self.images = [Image.fromarray(image) for image in pixels]
        self.batch = batch
        self.begin = 0
        size = pixels.shape[1]
        self.transform = TRANSFORMS[library](size, padding, flip, rotate, mean, std)

    def step(self):
        end = self.begin + self.batch
        images = [self.transform(image) for image in self.images[self.begin : end]]
        self.begin = end % len(self.images)
        return torch.stack(images)

    def measure(self, milliseconds):
        """Of a batch."""
        return best_of(milliseconds, repeated(self.step))


def torchvision_transform(size, padding, flip, rotate, mean, std):
    load_operators()
    from torchvision import transforms

    steps = [
        transforms.RandomCrop(size, padding=padding),
        transforms.RandomHorizontalFlip(flip),
        transforms.RandomRotation(rotate),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    return transforms.Compose(steps)


def load_operators():
    """Its library for CUDA does not load beside a PyTorch without; the transforms need no more than the declarations."""
    folder = os.path.dirname(importlib.util.find_spec("torchvision").origin)
    try:
        for library in glob.glob(os.path.join(folder, "_C*.so")):
            torch.ops.load_library(library)
    except OSError:
        global declared
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def pil_transform(size, padding, flip, rotate, mean, std):
    import numpy
    from PIL import Image, ImageOps

    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (mean, std))

    def transform(image):
        left, top = (random.randint(0, 2 * padding) for _ in range(2))
        image = ImageOps.expand(image, padding).crop((left, top, left + size, top + size))
        if random.random() < flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = image.rotate(random.uniform(-rotate, rotate))
        tensor = torch.from_numpy(numpy.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return tensor.sub_(mean).div_(std)

    return transform


TRANSFORMS = {"torchvision": torchvision_transform, "PIL": pil_transform}
