"""Random generators for a seed and a purpose: the only source of randomness in this package."""

import hashlib
from typing import Any

import torch

# How numbers are drawn, whatever a program has made torch's defaults.
DRAWN: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}


def derive(seed: int, purpose: str, *indices: int) -> int:
    """Return a 63-bit seed for one purpose (and indices) that is unrelated to the seeds of all others.

    It depends on the arguments alone, not on the order of calls.
    """
    text = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """Return a new random generator for one purpose and, for example, the number of a layer.

    Numbers are always drawn on the CPU and moved to the device, so that every device sees the same network.
    """
    return torch.Generator("cpu").manual_seed(derive(seed, purpose, *indices))
