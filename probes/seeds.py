"""(seed, purpose) -> torch.Generator: the only source of randomness in this package."""

import hashlib

import torch


def derive(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed for one purpose, independent of every other purpose and of any call order."""
    text = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """A CPU generator for ``purpose`` (and, say, a layer's number).

    Numbers are always drawn on the CPU and moved, so that every device sees the same network.
    """
    return torch.Generator().manual_seed(derive(seed, purpose, *indices))
