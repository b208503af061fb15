"""The least time per unit within a measuring time, as bestOf in race.mjs: pieces of at least 50 ms, at least two."""
import math
from time import perf_counter

SHORTEST = 0.05


def best_of(milliseconds, work):
    """Milliseconds per unit; work(units) does so many."""
    units, best, pieces = 1, math.inf, 0
    began = perf_counter()
    while pieces < 2 or perf_counter() - began < milliseconds / 1000:
        start = perf_counter()
        work(units)
        took = perf_counter() - start
        if took < SHORTEST:
            units = math.ceil(units * min(10, 1.2 * SHORTEST / took))
            continue
        best = min(best, took / units)
        pieces += 1
    return 1000 * best


def repeated(step):
    """A work function that calls step once per unit."""

    def work(units):
        for _ in range(units):
            step()

    return work
