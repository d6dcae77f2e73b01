"""Functions of the user that make networks."""

import inspect
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from probes.custom.redrawing import redraw
from probes.initialisations import INITIALISATIONS
from probes.point import Extra, Point
from probes.seeds import DRAWN, derive, generator

ARGUMENTS = ("sigma_w", "sigma_b", "depth", "seed", "shape", "classes")
FORWARD = "custom forward"  # purpose of the random numbers that a module draws when it is called by a probe
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TRIED_IMAGES = 4  # that a new network is tried with; more than one, for batch normalisation
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class NetworkError(ValueError):
    """A function of the user makes no network that can be measured. The message is one line and says why."""


@dataclass(frozen=True)
class Made:
    """What a function of the user has made: a module, and those of its modules that are its layers.

    ``gives_layers`` says whether the function returned the layers, too, beside the module.
    """

    module: nn.Module
    layers: list[nn.Module]
    gives_layers: bool


@dataclass(frozen=True, eq=False)  # functions may be objects that cannot be compared
class Custom:
    """A function of the user that makes networks, and how their layers are found.

    Parameters
    ----------
    function:
        It is called by keyword with those of `ARGUMENTS` that its signature has, and returns a module, or a module and
        a list of its layers. Random numbers of torch, numpy and random that it draws depend on the point alone.
    layers:
        Regular expression for the whole names of the modules that are layers. By default they are the children of the
        outermost `Sequential` or `ModuleList` with more than one child.
    initialise:
        One of `probes.initialisations.INITIALISATIONS`, by which parameters are drawn anew, see
        `probes.custom.redrawing`. None: they are left as the function has drawn them.
    extra:
        Names of further arguments that points have values for, each with the value that networks are tried with.

    Raises
    ------
    NetworkError
        The function cannot be called with these arguments, or does not take one of the further ones; the expression is
        none; or there is no such initialisation.
    """

    function: Callable[..., Any]
    layers: str | None = None
    initialise: str | None = None
    extra: Extra = ()

    def __post_init__(self) -> None:
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            raise NetworkError(f"`network` must be a function with a signature, got {self.function!r}") from None
        needed = [
            p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        further = [name for name, _ in self.extra]
        if unknown := [n for n in needed if n not in (*ARGUMENTS, *further)]:
            allowed = ", ".join([*ARGUMENTS, *further])
            raise NetworkError(
                f"`network` {self.name} may have the arguments {allowed}, got {', '.join(unknown)}: give others a "
                "default, or make them axes"
            )
        if missing := [n for n in further if n not in self.arguments]:
            raise NetworkError(
                f"`network` {self.name} must take {', '.join(missing)} as an argument to have it as an axis"
            )
        try:
            re.compile(self.layers or "")
        except re.error as error:
            raise NetworkError(f"`layers` must be a regular expression, got {self.layers!r} ({error})") from None
        if self.initialise not in (None, *INITIALISATIONS):
            raise NetworkError(f"`initialise` must be one of {', '.join(INITIALISATIONS)}, got {self.initialise!r}")

    @property
    def name(self) -> str:
        """The name of the function, for messages."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """Those of `ARGUMENTS` and of the further ones that the function is called with."""
        parameters = inspect.signature(self.function).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = (*ARGUMENTS, *(name for name, _ in self.extra))
        return tuple(n for n in known if takes_any or n in parameters)

    def with_extra(self, values: Mapping[str, float]) -> "Custom":
        """Return the function with other values of further arguments to try networks with."""
        changed = tuple((name, values.get(name, value)) for name, value in self.extra)
        return self if changed == self.extra else replace(self, extra=changed)

    def tried_point(self, depth: int) -> Point:
        """Return the point of a depth that networks are tried at."""
        return Point(1.0, 0.1, depth, 0, self.extra)

    def make(self, point: Point, depth: int, shape: tuple[int, ...], classes: int, *, dropout: bool = False) -> Made:
        """Call the function for a point's network, of another depth than the point's if so wished.

        The module is in train mode, with ``dropout`` or without.

        Raises
        ------
        NetworkError
            The function raises an exception, or returns something else than it should.
        """
        every = {**vars(point), **dict(self.extra), **dict(point.extra)}
        every |= {"depth": depth, "shape": shape, "classes": classes}
        try:
            with own_randomness(derive(point.seed, "custom network")), torch.enable_grad():
                returned = self.function(**{n: every[n] for n in self.arguments})
        except torch.OutOfMemoryError:
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise NetworkError(f"`network` {self.name} raised {told(error)}") from error
        module, layers = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
        if not isinstance(module, nn.Module):
            raise NetworkError(
                f"`network` {self.name} must return a module, or a module and its layers, got {kind_of(module)}"
            )
        if self.initialise is not None:
            try:
                redraw(module, point, self.initialise)
            except ValueError as error:
                raise NetworkError(f"`network` {self.name} cannot be drawn anew: {error}") from None
        gives_layers = layers is not None
        if not gives_layers:
            layers = self._found(module)
        if not isinstance(layers, Sequence | nn.ModuleList) or not all(isinstance(m, nn.Module) for m in layers):
            raise NetworkError(
                f"`network` {self.name} must return a list of modules as its layers, got {kind_of(layers)}"
            )
        if not len(layers):
            raise NetworkError(f"`network` {self.name} must have layers: it returned an empty list of them")
        module.train()
        if not dropout:
            _turn_off_dropout(module)
        return Made(module, list(layers), gives_layers)

    @contextmanager
    def running(self, seed: int) -> Iterator[None]:
        """Run a module that the function has made: with random generators of its own, and errors told as its own.

        Raises
        ------
        NetworkError
            The module raises an exception.
        """
        try:
            with own_randomness(seed):
                yield
        except (NetworkError, torch.OutOfMemoryError):
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise NetworkError(f"`network` {self.name} raised {told(error)}") from error

    def check_logits(self, logits: Any, images: int, classes: int) -> None:
        """Refuse what a module gives, by a `NetworkError`, if it is not a tensor of logits ``[images, classes]``."""
        if not isinstance(logits, torch.Tensor):
            raise NetworkError(f"`network` {self.name} must give logits [images, {classes}], got {kind_of(logits)}")
        if logits.shape != (images, classes):
            shape = list(logits.shape)
            raise NetworkError(f"`network` {self.name} must give logits [images, {classes}], got the shape {shape}")

    def _found(self, module: nn.Module) -> list[nn.Module]:
        named = dict(module.named_modules())
        if self.layers is not None:
            found = [m for name, m in named.items() if re.fullmatch(self.layers, name)]
            if not found:
                names = ", ".join([name for name in named if name][:8])
                raise NetworkError(f"`layers` must match names of modules, got {self.layers!r}: the first are {names}")
            return found
        lists = [n for n, m in named.items() if isinstance(m, nn.Sequential | nn.ModuleList) and len(m) > 1]
        if not lists:
            raise NetworkError(
                f"`network` {self.name} has no Sequential or ModuleList with more than one module: give `layers`, or "
                "return the module and a list of its layers"
            )
        outermost = named[min(lists, key=lambda n: n.count(".") + bool(n))]
        return list(outermost.children())


def tried_images(shape: tuple[int, ...]) -> torch.Tensor:
    """Return the images ``[n, pixels]`` that a new network is tried with."""
    return torch.rand(_TRIED_IMAGES, math.prod(shape), generator=generator(0, "tried images"), **DRAWN)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed the global random generators of torch, numpy and random, and give them back as they were."""
    states = np.random.get_state(), random.getstate()
    dtype = torch.get_default_dtype()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_default_dtype(dtype)


def _turn_off_dropout(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, _DROPOUTS):
            part.eval()
        elif isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0


def told(error: BaseException) -> str:
    """Return the type and the message of an exception on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
