"""Click options shared by commands: one table, made into decorators."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .spec import CHOICES, PRESETS, RANGES, Range, SpecError

__all__ = ["AUTO", "Number", "config_option", "options", "preset_option", "usage_error"]

AUTO, NONE = "auto", "none"
_LARGEST_CONFIG = 2**15  # bytes: reading a key of many parts takes time that grows with their square
_LONGEST_VALUE = 4096  # characters: a path's limit
F = TypeVar("F", bound=Callable[..., Any])


class Number(click.ParamType):
    """A number within a `Range`, or a word that stands for a value: ``auto`` for None, ``all`` for the largest."""

    name = "number"

    def __init__(self, allowed: Range, word: str | None = None) -> None:
        self.allowed, self.word = allowed, word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises click's own error, which names the option."""
        if value is None:
            return None
        if self.word and value == self.word:
            return None if self.word == AUTO else self.allowed.convert(self.allowed.high)
        try:
            return self.allowed.convert(value)
        except (ValueError, TypeError, OverflowError):
            choice = f"{self.word} or " if self.word else ""
            self.fail(f"{str(value)[:80]!r} is not {choice}{self.allowed}.", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """``N``, ``X``, ``N|auto``."""
        return ("N" if self.allowed.whole else "X") + (f"|{self.word}" if self.word else "")


class Numbers(click.ParamType):
    """Numbers within a `Range` with commas between them."""

    name = "numbers"

    def __init__(self, allowed: Range) -> None:
        self.allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises click's own error, which names the option."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.allowed.convert(v.strip()) for v in str(value).split(","))
        except (ValueError, OverflowError):
            self.fail(f"{str(value)[:80]!r} is not {self.allowed}, or several with commas between.", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """``N,N,...`` or ``X,X,...``."""
        return "N,N,..." if self.allowed.whole else "X,X,..."


def _number(name: str, help: str, *, word: str | None = None, **more: Any) -> Callable[[F], F]:
    text = f"{help} [{RANGES[name]}]"
    return click.option("--" + name.replace("_", "-"), type=Number(RANGES[name], word), help=text, **more)


def _interval(name: str, help: str, default: tuple[float, float] | None) -> Callable[[F], F]:
    return click.option(
        "--" + name.replace("_", "-"),
        type=Number(RANGES[name]),
        nargs=2,
        default=default,
        show_default=default is not None,
        metavar="LO HI",
        help=f"{help} [each {RANGES[name]}]",
    )


def _choice(name: str, help: str, default: str | None) -> Callable[[F], F]:
    return click.option(
        "--" + name,
        type=click.Choice(CHOICES[name]),
        default=default,
        show_default=default is not None,
        help=help,
    )


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "points": _number(
        "points",
        "Distinct (sigma_w, sigma_b, depth); grid takes the largest balanced grid of at most so many.",
        default=64,
        show_default=True,
    ),
    "sigma_w": _interval("sigma_w", "Standard deviation of the weights, times sqrt(fan_in).", (0.5, 2.5)),
    "sigma_b": _interval("sigma_b", "Standard deviation of the biases.", (0.05, 1.0)),
    "depth": _interval("depth", "Hidden layers; default: 5 60, or the number of widths. LO = HI fixes an axis.", None),
    "replicas": _number("replicas", "Seeds per point.", default=1, show_default=True),
    "dataset": click.option(
        "--dataset",
        default="digits",
        show_default=True,
        metavar="NAME|FILE.npz",
        help="digits, mnist, fashion-mnist, cifar10 (grey), cifar10-rgb, noise, or an .npz with train_images, "
        "train_labels, test_images, test_labels.",
    ),
    "data_dir": click.option(
        "--data-dir",
        default="data",
        show_default=True,
        metavar="DIR",
        help="Where torchvision's data sets are.",
    ),
    "download": click.option(
        "--download/--no-download", default=False, show_default=True, help="Whether they may be fetched."
    ),
    "images": _number("images", "Training images used by the probe.", default=4096, show_default=True),
    "train_images": _number("train_images", "Training images used by training.", default=6400, show_default=True),
    "resize": _number("resize", "Pool or enlarge images to N x N.", default=None),
    "architecture": _choice(
        "architecture",
        "mlp: layers of one width. published: the same, with a last one of 400. shrinking: from the input's width to "
        "the classes. conv: 3 x 3 convolutions. resnet: blocks of two of them, a block a layer.",
        "mlp",
    ),
    "width": _number(
        "width", "Of the hidden layers, or their channels; default: the input dimension, 16 channels.", default=None
    ),
    "widths": click.option(
        "--widths",
        type=Numbers(RANGES["width"]),
        help="Of every hidden layer (mlp), or its channels (conv); the depth is at most their number.",
    ),
    "activation": _choice("activation", "Of the hidden layers.", "tanh"),
    "probe": _choice("probe", "What is measured.", "both"),
    "statistic": _choice(
        "statistic",
        "What drives the search; default: direct_horizon, or cascade_horizon with --probe cascade.",
        None,
    ),
    "threshold": _number(
        "threshold",
        "Retained information below which a signal counts as lost; default: 0.15 (direct_horizon), 0.02 "
        "(direct_retained), 0.05 (cascade).",
        default=None,
    ),
    "penalty": _number(
        "penalty",
        "Noise floor of the direct probe, a variance of activations.",
        default=3e-2,
        show_default=True,
    ),
    "decoded_layers": _number(
        "decoded_layers",
        "How many layers up to the depth the direct probe decodes; the horizon is found whatever they are.",
        word="all",
        default=16,
        show_default=True,
    ),
    "certainty": _number(
        "certainty",
        "The direct probe begins with 512 images and doubles them until its horizon changes by less than this share; "
        "default: 0.02 for convolutions, otherwise all images at once.",
        default=None,
    ),
    "probe_steps": _number(
        "probe_steps",
        "Adam steps of the cascade, batch 64; auto: one epoch of the images used, but at least 300.",
        word=AUTO,
        default=AUTO,
        show_default=True,
    ),
    "precision": _choice("precision", "Of the products that train the cascade.", "float32"),
    "search": _choice("search", "How points are chosen.", "boundary"),
    "aim": _choice(
        "aim",
        "What the boundary search looks for: the boundary at all depths; the ridge, where information travels deepest "
        "(the critical line); or both.",
        "both",
    ),
    "prior": _choice(
        "prior", "theory: the horizon may resemble mean field's depth scale; how much, the points say.", "none"
    ),
    "until_boundary_error": _number(
        "until_boundary_error",
        "Stop as soon as so little of the plane is expected to be on the wrong side of the boundary; default: measure "
        "all points.",
        default=None,
    ),
    "train": _choice(
        "train",
        "Which points are trained for ground truth; boundary: those whose prediction is uncertain, and a few others.",
        "none",
    ),
    "epochs": _number(
        "epochs",
        "Of training; auto: as many as show 96,000 images (15 of 6,400).",
        word=AUTO,
        default=AUTO,
        show_default=True,
    ),
    "optimizer": _choice("optimizer", "Of training: plain SGD, or Adam.", "sgd"),
    "lr": click.option(
        "--lr",
        type=Numbers(RANGES["lr"]),
        default="0.01",
        show_default=True,
        help=f"Learning rate, or several: each network is trained with each, and the best counts. [{RANGES['lr']}]",
    ),
    "batch": _number("batch", "Images a training step.", default=64, show_default=True),
    "level": _number(
        "level",
        "Test accuracy above which a network counts as trained, and is trained no further; auto: half way from chance "
        "to the best accuracy of the sweep, and every network is trained to the end.",
        word=AUTO,
        default=AUTO,
        show_default=True,
    ),
    "patience": _number(
        "patience",
        "Epochs without progress after which a training is given up; default: never.",
        default=None,
    ),
    "concurrency": _number("concurrency", "Trials at once; auto: as many as fit.", word=AUTO, default=AUTO),
    "pack": _number("pack", "Points per trial; auto: from their cost and the memory.", word=AUTO, default=AUTO),
    "cpus_per_trial": _number("cpus_per_trial", "Cores per trial.", default=1.0, show_default=True),
    "gpus_per_trial": _number(
        "gpus_per_trial",
        "GPUs per trial, fractions allowed; auto: a share where there are any.",
        word=AUTO,
        default=AUTO,
    ),
    "retries": _number(
        "retries",
        "How often a point that failed is measured again before it counts as failed; losing a node does not count.",
        default=2,
        show_default=True,
    ),
    "address": click.option("--address", metavar="ADDRESS", help="Ray cluster to join (auto: the one here)."),
    "storage": click.option("--storage", metavar="URI", help="Where results go; default: the sweep's directory."),
    "study": click.option(
        "--study",
        metavar="URL|env:NAME|none",
        callback=lambda ctx, param, value: None if value == NONE else value,
        help="A server for the Optuna study (PostgreSQL, MySQL, Redis), to look at it from elsewhere; a URL with a "
        "password stands in the environment variable NAME. Default: none, a journal in the sweep's directory alone.",
    ),
    "seed": _number("seed", "Of everything random.", default=0, show_default=True),
}


def options(*names: str) -> Callable[[F], F]:
    """Decorate a command with options of the table, in this order."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return decorate


def _read_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Take defaults from a TOML file; click then converts and checks them like arguments."""
    if value is None:
        return
    path = Path(value)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            raise OSError("it is no file")
        if path.exists() and path.stat().st_size > _LARGEST_CONFIG:
            raise OSError(f"it is larger than {_LARGEST_CONFIG // 1024} KiB")
        data = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise click.BadParameter(f"{value!r} cannot be read: {error.strerror or error}", ctx, param) from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise click.BadParameter(f"{value!r} is not valid TOML: {reason}", ctx, param) from None
    known = {
        p.opts[0].lstrip("-").replace("-", "_"): p
        for p in ctx.command.params
        if isinstance(p, click.Option) and p is not param
    }
    defaults: dict[str, Any] = {}
    for key, item in data.items():
        name = key.replace("-", "_")
        if name not in known:
            allowed = ", ".join(sorted(n.replace("_", "-") for n in known))
            raise click.BadParameter(f"{value!r} sets {key[:80]!r}, which is none of {allowed}", ctx, param)
        defaults[str(known[name].name)] = _as_argument(known[name], key, item, ctx, param)
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _as_argument(option: click.Option, key: str, item: Any, ctx: click.Context, param: click.Parameter) -> Any:
    """What would have stood on the command line."""
    if option.is_flag:
        if not isinstance(item, bool):
            raise click.BadParameter(f"{key!r} must be true or false, got {_named(item)}", ctx, param)
        return item
    items = item if isinstance(item, list) else [item]
    scalars = all(isinstance(i, int | float | str) and not isinstance(i, bool) for i in items)
    if option.multiple and scalars:
        return tuple(str(i)[:_LONGEST_VALUE] for i in items)
    if isinstance(option.type, Numbers) and isinstance(item, list) and scalars:
        return ",".join(str(i) for i in item)
    if isinstance(item, list) != (option.nargs == 2) or len(items) != option.nargs or not scalars:
        wanted = "a list of two numbers" if option.nargs == 2 else "one value"
        raise click.BadParameter(f"{key!r} must be {wanted}, got {_named(item)}", ctx, param)
    if any(len(str(i)) > _LONGEST_VALUE for i in items):
        raise click.BadParameter(f"{key!r} must have at most {_LONGEST_VALUE} characters", ctx, param)
    return tuple(str(i) for i in items) if option.nargs == 2 else str(item)


def _named(item: Any) -> str:
    """A value, shortened; what holds others by its kind alone, since it may be endlessly deep."""
    kinds: dict[type, str] = {dict: "a table", list: "a list"}
    return kinds.get(type(item)) or repr(item if not isinstance(item, str) else item[:80])


def _apply_preset(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Take defaults from a preset; what a configuration file says comes before it."""
    if value is not None:
        ctx.default_map = {**PRESETS[value], **(ctx.default_map or {})}


def preset_option(command: F) -> F:
    """``--preset NAME``."""
    said = {name: " ".join(f"--{k.replace('_', '-')} {_shown(v)}" for k, v in p.items()) for name, p in PRESETS.items()}
    return click.option(
        "--preset",
        type=click.Choice(tuple(PRESETS)),
        is_eager=True,
        expose_value=False,
        callback=_apply_preset,
        help="Options to begin with, overridden by others. " + " ".join(f"{n}: {text}." for n, text in said.items()),
    )(command)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def config_option(command: F) -> F:
    """``--config FILE.toml``."""
    return click.option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="Any option, overridden by the command line.",
    )(command)


def usage_error(error: SpecError) -> click.UsageError:
    """A `SpecError` as click reports bad input: exit code 2, and the argument as it is spelled on the command line."""
    text = str(error)
    if found := re.match(r"`(\w+)` (.*)", text, re.DOTALL):
        text = f"Invalid value for '--{found[1].replace('_', '-')}': {found[2]}"
    return click.UsageError(text, click.get_current_context(silent=True))
