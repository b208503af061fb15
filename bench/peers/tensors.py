"""Reads safetensors files as torch tensors."""
import json

import torch

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}


def read_tensors(path):
    """All tensors of a file, by name."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    return {name: _tensor(entry, data) for name, entry in header.items()}


def _tensor(entry, data):
    begin, end = entry["data_offsets"]
    flat = torch.frombuffer(data[begin:end], dtype=DTYPES[entry["dtype"]])
    return flat.reshape(entry["shape"])


def with_prefix(tensors, prefix):
    """Those whose name begins so, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
