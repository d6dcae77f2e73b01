"""Networks of the user in a sweep: where their function comes from, and what is known of it before the first point."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from probes.custom.function import Custom, NetworkError
from probes.custom.network import CustomNetwork, is_nested, layer_count
from probes.datasets import FROM_PYTHON_PREFIX, Images
from probes.point import Point
from probes.programs import ProgramError, function_of
from probes.threads import safe_in_forks
from sweep.errors import SpecError
from sweep.measuring.own_code import code_of
from sweep.spec.experiment import Experiment
from sweep.spec.options import is_resolved
from sweep.spec.parts import FUNCTION, Network
from sweep.text import printable

Spec = TypeVar("Spec", bound=Experiment)


@contextmanager
def own_network(spec: Network, given: Callable[..., Any] | None = None) -> Iterator[Custom | None]:
    """Give the function of the user that makes the networks of a spec; None if it has none.

    The program that ``spec.network`` names is run, and can be used until the ``with`` block ends: call this only if the
    user has named it. A function that is ``given`` takes its place.

    Raises
    ------
    SpecError
        There is no such function, or it cannot be called.
    """
    if given is None and spec.network is None:
        yield None
        return
    initialise = None if spec.initialise == FUNCTION else spec.initialise
    try:
        if given is not None:
            yield Custom(given, spec.layers, initialise)
            return
        if str(spec.network).startswith(FROM_PYTHON_PREFIX):
            raise SpecError(
                f"`network` {printable(str(spec.network))!r} was given from Python: give the function again"
            )
        with function_of(str(spec.network)) as function:
            yield Custom(function, spec.layers, initialise)
    except ProgramError as error:
        raise SpecError(f"`network` {error}") from None
    except NetworkError as error:
        raise SpecError(str(error)) from None


def named(spec: Spec, given: Callable[..., Any] | None) -> Spec:
    """Return a spec that names the function that a program gives, if it gives one."""
    if given is None:
        return spec
    if spec.network is not None:
        raise SpecError(f"`network` must be left out of the spec where a function is given, got {spec.network!r}")
    name = getattr(given, "__name__", type(given).__name__)
    return replace(spec, network=FROM_PYTHON_PREFIX + name)


@safe_in_forks
def prepared(spec: Spec, network: Custom | None, images: Images) -> Spec:
    """Try the function of the user, and return the spec with what is found out about it.

    That is the hash of its code; the depth, if the function does not take one; and whether a deeper network contains
    the shallower ones. One network of each end of the depths is made for it, in the middle of the other axes.

    Raises
    ------
    SpecError
        No network can be made, or none of these depths.
    """
    if network is None:
        return spec
    shape, classes = images.shape, images.classes
    sigmas = sum(spec.sigma_w) / 2, sum(spec.sigma_b) / 2
    if "depth" not in network.arguments:
        count = layer_count(network, Point(*sigmas, 1, spec.seed), shape, classes)
        if is_resolved(spec.depth):
            spec = replace(spec, depth=(count, count))
        elif spec.depth != (count, count):
            low, high = spec.depth
            raise SpecError(
                f"`depth` must be {count} {count}, the number of layers of `network` {network.name}, got {low} {high}"
            )
    for depth in sorted({*spec.depth}):
        CustomNetwork(Point(*sigmas, depth, spec.seed), network, shape, classes)
    try:
        code = code_of(network.function)
    except OSError as error:
        raise SpecError(f"`network` {network.name}: its code cannot be read ({error})") from None
    if spec.code not in (None, code):
        raise SpecError(f"`network` must be the code that this sweep measured, but {network.name} has changed since")
    return replace(spec, code=code, nested=is_nested(network, shape, classes))
