"""ResNets on a device as PyTorch's users run them there: eagerly, compiled, or recorded as a CUDA graph.

On the CPU, where this can be tried, there are no graphs: steps are then run eagerly, and so are the tiny kernels of a chain.
"""
import torch
import torch.nn.functional as F

from hvp import Curvature
from population import stacked
from resnet import ResNet, load_resnet
from tensors import read_tensors, with_prefix
from timing import best_of


def allow(precision):
    """What products in float32 round their factors to; bf16 is autocast."""
    reduced = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = reduced
    torch.backends.cudnn.allow_tf32 = reduced
    torch.backends.cudnn.benchmark = True


def recorded(step, device):
    """The step as a CUDA graph that is replayed."""
    if device.type != "cuda":
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay():
        graph.replay()
        return result

    return replay


def random_tensors(device, depth, width, batch, members):
    """Weights of some networks and a batch of images, as a file of read_tensors holds them."""
    torch.manual_seed(0)
    tensors = {"x": torch.randn(batch, 3, 32, 32), "y": torch.randint(0, 10, (batch,))}
    for m in range(members):
        tensors.update({f"net{m}.{name}": value for name, value in ResNet(depth, width).state_dict().items()})
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def train(device, depth, width, batch, mode, precision, sgd, file=None):
    """One network: `mode` is eager, graph or compile. Of bf16 channels are innermost, as tensor cores want them."""
    allow(precision)
    if file is None:
        tensors = random_tensors(device, depth, width, batch, 1)
        state = with_prefix(tensors, "net0.")
    else:
        tensors = {name: tensor.to(device) for name, tensor in read_tensors(file).items()}
        state = with_prefix(tensors, "net.")
    half = precision == "bf16"
    layout = torch.channels_last if half else torch.contiguous_format
    net = load_resnet(depth, width, state).to(memory_format=layout).train()
    x, y = tensors["x"].to(memory_format=layout), tensors["y"].long()
    optimizer = torch.optim.SGD(net.parameters(), sgd["lr"], sgd["momentum"], weight_decay=sgd["weightDecay"], fused=True)

    def loss_of(x, y):
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return F.cross_entropy(net(x), y)

    # Kernels that are compiled are recorded here, not by the compiler, so that the optimizer is in the graph as well.
    forward = torch.compile(loss_of) if mode == "compile" else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step if mode == "eager" else recorded(step, device)


def population(device, depth, width, batch, members, precision, sgd, mode):
    """All members in every operator, by vmap."""
    allow(precision)
    tensors = random_tensors(device, depth, width, batch, members)
    step = stacked(tensors, members, depth, width, "contiguous", sgd)
    return step if mode == "eager" else recorded(step, device)


def hvp(device, width, batch, precision):
    """A Hessian-vector product as PyHessian makes it, with a graph of its own."""
    allow(precision)
    tensors = random_tensors(device, 18, width, batch, 1)
    tensors.update({name.replace("net0.", "net."): value for name, value in tensors.items() if name.startswith("net0.")})
    for name, p in ResNet(18, width).named_parameters():
        tensors[f"v0.{name}"] = (torch.randint(0, 2, p.shape, device=device) * 2 - 1).to(p.dtype)
    curvature = Curvature(tensors, width, 1, "contiguous")
    return lambda: curvature.product(curvature.probes[0])


def product(device, side, precision):
    """A square matrix product; 2 side^3 operations."""
    allow(precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b, out = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(3))
    return lambda: torch.mm(a, b, out=out)


def copy(device, bytes):
    """A copy; 2 bytes moved for each."""
    source, target = (torch.zeros(bytes, dtype=torch.uint8, device=device) for _ in range(2))
    return lambda: target.copy_(source)


def chain(device, length):
    """Tiny kernels that wait for each other, as one graph."""
    x = torch.zeros(32, device=device)

    def step():
        for _ in range(length):
            x.add_(1)

    return recorded(step, device)


KINDS = {"train": train, "population": population, "hvp": hvp, "product": product, "copy": copy, "chain": chain}


class Workload:
    def __init__(self, kind, device, **settings):
        self.wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
        self.make = lambda: KINDS[kind](torch.device(device), **settings)
        self.step = self.make()

    def measure(self, milliseconds):
        def work(units):
            for _ in range(units):
                self.step()
            self.wait()

        return best_of(milliseconds, work)

    def check(self, steps):
        """Losses of so many first steps from the file's weights, one list per step; of a mode without a warm-up."""
        step = self.make()
        return [[step().item()] for _ in range(steps)]
