"""One network of a cell trained by L-BFGS until a tolerance is met: its loss, evaluations and seconds."""
from time import perf_counter

from pinn import Problem
from tensors import read_tensors


class Workload:
    def __init__(self, file, beta, history, lr, tolerance):
        self.make = lambda: Problem(read_tensors(file), beta, history, lr, tolerance)

    def train(self, iterations):
        problem = self.make()
        start = perf_counter()
        loss = problem.run(iterations)
        return {"loss": loss, "evaluations": problem.evaluations, "seconds": perf_counter() - start}
