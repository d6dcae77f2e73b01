"""The part of a spec that says which networks are measured."""

import re
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import SpecError
from sweep.spec.kinds import Choice, Numbers, Text
from sweep.spec.options import Part, option, resolved
from sweep.spec.ranges import ACTIVATION, DEPTH, WIDTH
from sweep.text import printable

FUNCTION = "function"  # the initialisation by which a function of the user draws its own weights
DISTRIBUTION = Choice(("normal", "orthogonal", "uniform", "truncated-normal", FUNCTION))
DISTRIBUTION_HELP = (
    "Distribution of the hidden weights, each of standard deviation sigma_w / sqrt(fan_in). normal: independent. "
    "orthogonal: a random orthogonal matrix, times sigma_w. uniform: independent, between two limits. "
    "truncated-normal: normal, but cut at two standard deviations."
)


@dataclass(frozen=True, kw_only=True)
class Network(Part):
    """The architecture, which is the same for all points."""

    title = "Network"

    architecture: str = option(
        "mlp",
        Choice(("mlp", "published", "shrinking", "conv", "resnet")),
        "Architecture. mlp: dense layers of one width. published: the same, with a last layer of 400. shrinking: "
        "widths fall from the input to the classes. conv: 3 x 3 convolutions. resnet: blocks of two convolutions.",
        measured=True,
    )
    width: int | None = option(
        None,
        WIDTH,
        "Width of the hidden layers, or their channels; default: that of the input, or 16 channels.",
        measured=True,
    )
    widths: tuple[int, ...] | None = option(
        None,
        Numbers(WIDTH, int(DEPTH.high)),
        "Width of every hidden layer (mlp), or its channels (conv); the depth is at most their number.",
        measured=True,
    )
    activation: str = option("tanh", ACTIVATION, "Activation of the hidden layers.", measured=True)
    initialise: str = option(
        resolved("normal", by=None),
        DISTRIBUTION,
        f"{DISTRIBUTION_HELP} function: as the function of --network has drawn them; the others draw its Linear, Conv "
        "and attention layers anew. Default: normal, or function with --network.",
        measured=True,
    )
    network: str | None = option(
        None,
        Text("FILE.py:FUNCTION|MODULE:FUNCTION"),
        "Function of yours that makes the networks: torch modules from images to logits. It is called with those of "
        "sigma_w, sigma_b, depth, seed, shape and classes that its signature has, and with those of --axis.",
        is_location=True,
        local=True,
    )
    layers: str | None = option(
        None,
        Text("REGEX"),
        "With --network: the names of the modules that are its layers; default: the children of the outermost "
        "Sequential or ModuleList with more than one.",
        measured=True,
    )
    code: str | None = None  # hash of the function and of the modules beside it; None: not loaded yet
    nested: bool = False  # whether a deeper network of the function contains the shallower one

    def _resolve(self) -> None:
        by = None if self.network is None else "network"
        self._default("initialise", "normal" if by is None else FUNCTION, by=by)

    def _refuse(self) -> None:
        if self.code is not None and not re.fullmatch("[0-9a-f]{32}", str(self.code)):
            raise SpecError("`code` must be 32 hexadecimal digits")
        if not isinstance(self.nested, bool):
            raise SpecError(f"`nested` must be true or false, got {self.nested!r}")
        if self.network is None:
            for name, given in (("layers", self.layers), ("code", self.code), ("nested", self.nested or None)):
                if given is not None:
                    raise SpecError(f"`{name}` must be left out without `network`")
            if self.initialise == FUNCTION:
                raise SpecError(f"`initialise` must not be {FUNCTION!r} without `network`")
        else:
            for name in ("architecture", "width", "widths", "activation"):
                if (given := getattr(self, name)) != getattr(Network, name):
                    raise SpecError(f"`{name}` must be left out with `network`, got {given!r}")
        if self.widths is None:
            return
        if self.architecture not in ("mlp", "conv"):
            raise SpecError(f"`widths` must be left out with architecture {self.architecture!r}")
        if self.width is not None:
            raise SpecError("`widths` must be left out where `width` is given")

    @property
    def network_words(self) -> list[str]:
        """The words that titles name the networks by: the initialisation only where it is not the default."""
        unusual = [self.initialise] if self.initialise not in (Network.initialise, FUNCTION) else []
        if self.network is not None:
            return [printable(Path(self.network).name), *unusual]
        return [self.architecture, self.activation, *unusual]

    @property
    def is_nested(self) -> bool:
        """Whether a deeper network contains the shallower ones, so that one probe informs all depths."""
        from probes.point import nested  # imports numpy, which nothing else here needs

        return self.nested if self.network is not None else nested(self.architecture)

    @property
    def has_theory(self) -> bool:
        """Whether mean field theory describes the networks."""
        from probes.meanfield import applies_to

        return self.network is None and applies_to(self.architecture)

    def last_layer(self, depth: int) -> int:
        """Return the last layer to which a network of a depth can be followed in search of its horizon."""
        from probes.point import REACH, reach

        if self.network is not None:
            return REACH * depth if self.nested else depth
        return reach(self.architecture, depth, self.widths)
