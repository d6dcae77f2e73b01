"""What two modules have in common if one of them, with the tensors of the other, computes what the other does."""

import dataclasses
import types
from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from probes.torch_private import UNCOMPARED

_MAX_BYTES = 2**20  # of an array that is compared by its values
_PLAIN = (bool, int, complex, str, bytes, torch.dtype, torch.device, types.NoneType)


def kind_of_module(module: nn.Module) -> Hashable:
    """Return a value that is the same for modules that differ in their parameters and buffers alone.

    Modules are of one kind if their parts have the same names, classes and attributes, and tensors of the same shapes.
    Attributes are compared by value where they are plain data, and are otherwise the same only if they are one object.
    So a module with a function or a class that is made anew for each network is of a kind of its own. Kinds can be
    compared while the modules exist.
    """
    numbers: dict[int, int] = {}

    def number_of(thing: Any) -> int:
        return numbers.setdefault(id(thing), len(numbers))

    return tuple(
        (
            name,
            number_of(part),
            type_before_parametrizations(part) if is_parametrized(part) else type(part),
            tuple(
                (own, number_of(tensor), tensor.shape, tensor.dtype, tensor.requires_grad)
                for named in (part.named_parameters, part.named_buffers)
                for own, tensor in named(recurse=False, remove_duplicate=False)
            ),
            tuple((own, _value(value)) for own, value in sorted(vars(part).items()) if own not in UNCOMPARED),
        )
        for name, part in module.named_modules(remove_duplicate=False)
    )


def _value(value: Any) -> Hashable:
    """Return a value by which an attribute of a module is compared."""
    kind = type(value)
    if isinstance(value, _PLAIN):
        return kind, value
    if isinstance(value, float):
        return kind, repr(value)  # nan is not equal to itself
    if isinstance(value, dict):
        return kind, tuple((_value(k), _value(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return kind, tuple(map(_value, value))
    if isinstance(value, set | frozenset):
        return kind, frozenset(map(_value, value))
    if isinstance(value, types.SimpleNamespace):
        return kind, _value(vars(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return kind, tuple(_value(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and not value.requires_grad and value.nbytes <= _MAX_BYTES:
            array = value.cpu().double() if value.is_floating_point() else value.cpu()  # numpy lacks some types
            return kind, value.dtype, value.shape, array.numpy().tobytes()
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject and value.nbytes <= _MAX_BYTES:
        return kind, value.dtype, value.shape, value.tobytes()
    return id(value)
