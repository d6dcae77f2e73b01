"""Networks of the user in a sweep: where their function comes from, and what is known of it before the first point."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

from probes.custom.decoding import MAX_DECODED
from probes.custom.function import Custom, NetworkError
from probes.custom.network import CustomNetwork, is_nested, layer_count
from probes.datasets import FROM_PYTHON_PREFIX, Images
from probes.further import RATE
from probes.point import Point
from probes.programs import ProgramError, function_of
from probes.threads import safe_in_forks
from probes.time_limit import TimeLimitError, time_limit
from sweep.errors import SpecError
from sweep.measuring.own_code import Sent, code_of
from sweep.spec.experiment import Experiment
from sweep.spec.kinds import seconds_of
from sweep.spec.network import FUNCTION
from sweep.spec.options import is_resolved
from sweep.spec.space import Space
from sweep.text import printable

_LOG = logging.getLogger(__name__)
Spec = TypeVar("Spec", bound=Experiment)
_SHARES = (0.5, 0.0, 1.0, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875)  # of the ranges of further axes, that are tried
Given = Callable[..., Any] | Custom | None


@contextmanager
def own_network(spec: Experiment, given: Given = None) -> Iterator[Custom | None]:
    """Give the function of the user that makes the networks of a spec; None if it has none.

    The program that ``spec.network`` names is run, and can be used until the ``with`` block ends: call this only if the
    user has named it. A function that is ``given`` takes its place.

    Raises
    ------
    SpecError
        There is no such function, or it cannot be called; or one is given with layers or an initialisation that are not
        those of the spec; or an exception says so within the ``with`` block.
    """
    if given is None and spec.network is None:
        yield None
        return
    if isinstance(given, Custom):
        for name in ("layers", "initialise"):
            if (own := getattr(given, name)) not in (None, getattr(spec, name)):
                raise SpecError(f"`{name}` of `network` must be {getattr(spec, name)!r}, as of the sweep, got {own!r}")
        given = given.function
    try:
        with nullcontext(given) if given is not None else _program(str(spec.network)) as function:
            extra = tuple(pair for pair in spec.middle_extra if pair[0] != RATE)
            yield Custom(function, spec.layers, None if spec.initialise == FUNCTION else spec.initialise, extra)
    except ProgramError as error:
        raise SpecError(f"`network` {error}") from None
    except NetworkError as error:
        raise SpecError(str(error)) from None


def _program(name: str) -> AbstractContextManager[Callable[..., Any]]:
    if name.startswith(FROM_PYTHON_PREFIX):
        raise SpecError(f"`network` {printable(name)!r} was given from Python: give the function again")
    return function_of(name)


def named(spec: Spec, given: Given) -> Spec:
    """Return a spec that names the function that a program gives, if it gives one; a `Custom` has options, too."""
    if given is None:
        return spec
    if spec.network is not None:
        raise SpecError(f"`network` must be left out of the spec where a function is given, got {spec.network!r}")
    if not isinstance(given, Custom):
        return replace(spec, network=FROM_PYTHON_PREFIX + getattr(given, "__name__", type(given).__name__))
    more = {name: getattr(given, name) for name in ("layers", "initialise") if getattr(given, name) is not None}
    return replace(spec, network=FROM_PYTHON_PREFIX + given.name, **more)


@safe_in_forks
def prepared(spec: Spec, network: Custom | None, images: Images) -> tuple[Spec, Custom | None]:
    """Try the function of the user, and return spec and function with what is found out about it.

    That is the hash of its code; the depth, if the function does not take one; and whether a deeper network contains
    the shallower ones. One network of each end of the depths is made for it, in the middle of the other axes. If there
    is none for the middle of further axes, other values of them are tried, with which the function is returned.

    Raises
    ------
    SpecError
        No network can be made, or none of these depths, or not in the time that ``spec.timeout`` allows.
    """
    if network is None:
        return spec, None
    try:
        with time_limit(None if spec.timeout is None else seconds_of(spec.timeout)):
            return _prepared(spec, network, images.shape, images.classes)
    except TimeLimitError as error:
        raise SpecError(f"`network` {network.name}: {error}") from None


def _with_values_that_work(spec: Experiment, network: Custom, shape: tuple[int, ...], classes: int) -> Custom:
    """Return the function with values of its further arguments for which it makes a network."""
    errors = []
    for share in _SHARES if network.extra else ():
        tried = network.with_extra({axis.name: axis.at(share) for axis in spec.further_axes})
        try:
            layer_count(tried, _middle_point(spec, spec.depth[0]), shape, classes)
        except NetworkError as error:
            values = ", ".join(f"{name} = {value:g}" for name, value in tried.extra)
            errors.append(f"{error} (at {values}, and for other values)")
        else:
            return tried
    if errors:
        raise NetworkError(errors[0])
    return network


def _middle_point(spec: Space, depth: int) -> Point:
    return Point(sum(spec.sigma_w) / 2, sum(spec.sigma_b) / 2, depth, spec.seed)


def _prepared(spec: Spec, network: Custom, shape: tuple[int, ...], classes: int) -> tuple[Spec, Custom]:
    network = _with_values_that_work(spec, network, shape, classes)
    if "depth" not in network.arguments:
        count = layer_count(network, _middle_point(spec, 1), shape, classes)
        if is_resolved(spec.depth):
            spec = replace(spec, depth=(count, count))
        elif spec.depth != (count, count):
            low, high = spec.depth
            raise SpecError(
                f"`depth` must be {count} {count}, the number of layers of `network` {network.name}, got {low} {high}"
            )
    for depth in sorted({*spec.depth}):
        deepest = CustomNetwork(_middle_point(spec, depth), network, shape, classes)
    if spec.probe != "direct":
        tell_left_out(deepest.undecoded)
    try:
        code = code_of(network.function)
    except OSError as error:
        raise SpecError(f"`network` {network.name}: its code cannot be read ({error})") from None
    if spec.code not in (None, code):
        raise SpecError(f"`network` must be the code that this sweep measured, but {network.name} has changed since")
    return replace(spec, code=code, nested=is_nested(network, shape, classes)), network


def tell_left_out(layers: Sequence[int]) -> None:
    """Say in one line which layers are too large for a cascade, by their numbers, if any are."""
    if layers:
        said = ", ".join(map(str, layers))
        _LOG.warning("layers with more than %d values are left out of the cascade: %s", MAX_DECODED, said)


def sent(network: Custom | None) -> Custom | None:
    """Return a network of the user as it is sent to other processes, once it is `prepared`."""
    return replace(network, function=Sent(network.function)) if network is not None else None
