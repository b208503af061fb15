"""PyTorch's side of the races: reads one JSON request a line, answers with one JSON line.

    serve.py THREADS

Requests are {id, name, settings}: `open` makes the Workload of a module in this folder or in ../compare and answers with
a handle, `ask` calls a method of it, `close` drops it.
"""
import gc
import importlib
import json
import os
import platform
import re
import sys
import traceback

import torch


def describe():
    build = torch.__config__.show()
    blas = re.search(r"BLAS_INFO=(\w+)", build)
    onednn = re.search(r"MKL-DNN v([\d.]+)", build)
    capability = re.search(r"CPU capability usage: (\S+)", build)
    text = [match.group(1) if match else "none" for match in (blas, onednn, capability)]
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        **dict(zip(("blas", "onednn", "capability"), text)),
    }


class Server:
    def __init__(self):
        self.workloads = {}
        self.opened = 0

    def info(self):
        return describe()

    def open(self, workload, **settings):
        self.opened += 1
        self.workloads[self.opened] = importlib.import_module(workload).Workload(**settings)
        return self.opened

    def ask(self, handle, method, **settings):
        return getattr(self.workloads[handle], method)(**settings)

    def close(self, handle):
        del self.workloads[handle]
        gc.collect()


def main():
    torch.set_num_threads(int(sys.argv[1]))
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "compare"))
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": getattr(server, request["name"])(**request["settings"])}
        except Exception as error:  # the other side decides what to do
            answer = {"error": {"message": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}}
        print(json.dumps({"id": request["id"], **answer}), file=answers, flush=True)


if __name__ == "__main__":
    main()
