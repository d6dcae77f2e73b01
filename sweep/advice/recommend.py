"""Recommendation of an initialisation for a network: what may be asked, and what is refused."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from probes.custom.function import Custom, NetworkError
from probes.custom.network import CustomNetwork, is_nested, layer_count
from probes.datasets import FROM_PYTHON_PREFIX, Images
from probes.initialisations import ORTHOGONAL
from probes.point import Point
from probes.prober import Prober
from probes.settings import HELD_OUT_IMAGES, ProbeSettings
from probes.time_limit import TimeLimitError, time_limit
from sweep.advice.advice import Advice
from sweep.advice.default import sigmas_of_function
from sweep.advice.session import Session, Steps
from sweep.advice.spec import CONVOLVED_COUNT, OF_BUILT_IN, OPTIONS, AdviceSpec
from sweep.advice.weights import drawn_with
from sweep.errors import SpecError
from sweep.measuring.memory import check_memory
from sweep.measuring.settings import given_images, probe_settings, sweep_images
from sweep.spec.kinds import seconds_of
from sweep.spec.network import FUNCTION
from sweep.spec.ranges import SIGMA_W

_WIDER = 4  # times the end of the range of sigma_w, if the recommended place is there
_NARROWEST = 0.01  # sigma_w, below which no range is made to reach


def advise(
    network: Callable[..., Any] | Custom | None = None,
    *,
    depth: int | None = None,
    layers: str | None = None,
    initialise: str | None = None,
    data: Any = None,
    module: str | None = None,
    steps: Steps = lambda label, count: nullcontext(lambda: None),
    **options: Any,
) -> Advice:
    """Recommend an initialisation for a network of one depth, by probes of a few random ones; nothing is trained.

    Parameters
    ----------
    network:
        Function that makes the networks, see `probes.custom`, or a `probes.Custom`. None: built-in ones, described by
        ``architecture``, ``width``, ``widths`` and ``activation`` among the options.
    depth:
        Number of hidden layers. It may be left out for a ``network`` that does not take it as an argument, and where
        ``widths`` are given.
    layers:
        Regular expression for the names of the modules that are layers of the ``network``.
    initialise:
        Distribution of the weights. None: a ``network`` that takes sigma_w draws its own; for all others it is
        recommended, see `sweep.advice.weights`.
    data:
        The data, in place of the option ``dataset``: a `probes.Images`, or the four arrays train_images, train_labels,
        test_images and test_labels that `probes.images_of` takes.
    module:
        Name of the Python module that the lines of code import the ``network`` from; None: no such line.
    steps:
        Function that is called with a label and the number of steps of the work that begins. It returns a context
        manager for the time of that work, which gives a function to be called after each step.
    **options:
        Options of ``sweep advise``: ``sigma_w`` and ``sigma_b`` (ranges), ``points``, ``dataset``, ``seed`` and so on.

    Returns
    -------
    Advice
        The recommendation.

    Raises
    ------
    SpecError
        An argument is not allowed, the data cannot be loaded, or the networks cannot be measured.
    """
    _check_names(options, network is not None, layers)
    timeout = options.get("timeout")
    try:
        with time_limit(seconds_of(timeout) or None if isinstance(timeout, str) else None):
            spec, settings, images = _prepared(network, depth, layers, initialise, data, options)
    except TimeLimitError as error:
        raise SpecError(f"`network` could not be made: {error}") from None
    except NetworkError as error:
        raise SpecError(str(error)) from None
    check_memory(settings, images, spec.depth[0])
    count = min(spec.images, HELD_OUT_IMAGES)  # as many as the probe learns from: more would take time for little
    images = replace(images, test=images.test[:count], test_labels=images.test_labels[:count])
    search = partial(
        _searched,
        spec=spec,
        images=images,
        module=module,
        widens="sigma_w" not in options,
        compares=initialise is None and _is_open(network),
        steps=steps,
    )
    found = search(settings)
    if found.rival is None or not found.rival.is_better:
        return found
    other = search(drawn_with(settings, found.rival.initialise))
    return found if other.rival is not None and other.rival.is_better else other


def _searched(
    settings: ProbeSettings,
    *,
    spec: AdviceSpec,
    images: Images,
    module: str | None,
    widens: bool,
    compares: bool,
    steps: Steps,
) -> Advice:
    """Return the advice for networks of some settings; the range of sigma_w is widened if need be."""
    if settings.network is None:
        spec = replace(spec, initialise=settings.initialise)
    prober = Prober(images, settings)
    found = Session(spec, prober, module, compares=compares).advice(steps)
    while widens and (wider := _wider(found)) is not None:
        found = Session(replace(spec, sigma_w=wider), prober, module, compares=compares).advice(steps)
    return found


def _is_open(network: Callable[..., Any] | Custom | None) -> bool:
    """Return whether nothing says how the weights of networks are distributed."""
    if network is None:
        return True
    custom = network if isinstance(network, Custom) else Custom(network)
    return custom.initialise is None and "sigma_w" not in custom.arguments


def _wider(found: Advice) -> tuple[float, float] | None:
    """Return a wider range of sigma_w if the recommended place is at one of its ends; None if it is wide enough."""
    low, high = found.spec.sigma_w
    if found.sigma_w >= high < SIGMA_W.high:
        return low, min(_WIDER * high, SIGMA_W.high)
    if found.sigma_w <= low > _NARROWEST:
        return max(low / _WIDER, _NARROWEST), high
    return None


def _prepared(
    network: Callable[..., Any] | Custom | None,
    depth: int | None,
    layers: str | None,
    initialise: str | None,
    data: Any,
    options: dict[str, Any],
) -> tuple[AdviceSpec, ProbeSettings, Images]:
    """Return the spec, the settings of the probe and the data."""
    custom = _custom(network, layers, initialise)
    if custom is None:
        options = {**options, "initialise": ORTHOGONAL if initialise is None else initialise}
    spec, images = _asked(custom, depth, data, options)
    if custom is not None:
        spec = _checked(custom, spec, images)
    if _has_convolutions(custom, spec, images) and "images" not in options:
        spec = replace(spec, images=CONVOLVED_COUNT)
    return spec, probe_settings(spec, custom), images


def _check_names(options: dict[str, Any], own: bool, layers: str | None) -> None:
    if unknown := [name for name in options if name not in OPTIONS]:
        raise SpecError(f"`{unknown[0]}` must be left out: advice has the options {', '.join(OPTIONS)}")
    for name in OF_BUILT_IN:
        if own and options.get(name) is not None:
            raise SpecError(f"`{name}` must be left out with a `network` of your own, got {options[name]!r}")
    if not own and layers is not None:
        raise SpecError("`layers` must be left out without a `network` of your own")


def _custom(network: Callable[..., Any] | Custom | None, layers: str | None, initialise: str | None) -> Custom | None:
    """Return the function of the networks, which are drawn anew unless the function itself takes sigma_w."""
    if network is None:
        return None
    custom = network if isinstance(network, Custom) else Custom(network)
    if initialise is None:
        initialise = custom.initialise or (ORTHOGONAL if _is_open(custom) else FUNCTION)
    drawn = None if initialise == FUNCTION else initialise
    return replace(custom, layers=layers or custom.layers, initialise=drawn)


def _asked(custom: Custom | None, depth: int | None, data: Any, options: dict[str, Any]) -> tuple[AdviceSpec, Images]:
    """Return the spec and the data; the depth of networks whose function does not take it is that of the networks."""
    open_depth = custom is not None and depth is None
    if depth is not None or open_depth:
        options = {**options, "depth": (1 if depth is None else depth,) * 2}
    spec = AdviceSpec(**options)
    images = sweep_images(spec, run_code=True) if data is None else given_images(data, spec)
    if custom is None:
        return spec, images
    if "depth" in custom.arguments:
        if open_depth:
            raise SpecError(f"`depth` must be given: `network` {custom.name} takes it as an argument")
        return spec, images
    own = layer_count(custom, _first_point(spec), images.shape, images.classes)
    if depth not in (None, own):
        raise SpecError(
            f"`depth` must be {own}, the number of layers of `network` {custom.name}, or be left out, got {depth}"
        )
    return replace(spec, depth=(own, own)), images


def _first_point(spec: AdviceSpec) -> Point:
    return Point(spec.sigma_w[0], spec.sigma_b[0], spec.depth[0], spec.seed)


def _has_convolutions(custom: Custom | None, spec: AdviceSpec, images: Images) -> bool:
    if custom is None:
        return probe_settings(spec).architecture_for(images).convolutional
    return CustomNetwork(_first_point(spec), custom, images.shape, images.classes).convolutional


def _checked(custom: Custom, spec: AdviceSpec, images: Images) -> AdviceSpec:
    """Refuse networks whose sigmas have no meaning, and return the spec; where there are no biases, sigma_b is 0."""
    if custom.initialise is None:
        if "sigma_w" not in custom.arguments:
            raise SpecError(
                f"`initialise` must not be {FUNCTION!r} where `network` {custom.name} takes no sigma_w as an argument"
            )
        has_biases = "sigma_b" in custom.arguments
    else:
        drawn = sigmas_of_function(custom, _first_point(spec), images.shape, images.classes)
        has_biases = bool(drawn.sigma_b)
        if not drawn.sigma_w:
            raise SpecError(
                f"`network` {custom.name} must have a Linear, Conv or MultiheadAttention to be drawn anew, or take "
                "sigma_w as an argument and draw its weights itself"
            )
    nested = is_nested(custom, images.shape, images.classes)
    spec = replace(spec, network=FROM_PYTHON_PREFIX + custom.name, nested=nested)
    return spec if has_biases else replace(spec, sigma_b=(0.0, 0.0))
