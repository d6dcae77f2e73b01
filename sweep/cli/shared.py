"""Options, and the handling of errors, that several commands share."""

import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from sweep.cli.numbers import AUTO, NONE, Numbers, choice_option, interval_option, number_option
from sweep.errors import SpecError, StoreError
from sweep.processes import terminated_is_interrupted
from sweep.spec.options import RANGES, TRACKERS

_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "points": number_option(
        "points",
        "Distinct (sigma_w, sigma_b, depth); grid takes the largest balanced grid of at most so many.",
        default=64,
        show_default=True,
    ),
    "sigma_w": interval_option("sigma_w", "Standard deviation of the weights, times sqrt(fan_in).", (0.5, 2.5)),
    "sigma_b": interval_option("sigma_b", "Standard deviation of the biases.", (0.05, 1.0)),
    "depth": interval_option(
        "depth", "Hidden layers; default: 5 60, or the number of widths. LO = HI fixes an axis.", None
    ),
    "replicas": number_option("replicas", "Seeds per point.", default=1, show_default=True),
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
    "images": number_option("images", "Training images used by the probe.", default=4096, show_default=True),
    "train_images": number_option("train_images", "Training images used by training.", default=6400, show_default=True),
    "resize": number_option("resize", "Pool or enlarge images to N x N.", default=None),
    "architecture": choice_option(
        "architecture",
        "mlp: layers of one width. published: the same, with a last one of 400. shrinking: from the input's width to "
        "the classes. conv: 3 x 3 convolutions. resnet: blocks of two of them, a block a layer.",
        "mlp",
    ),
    "width": number_option(
        "width", "Of the hidden layers, or their channels; default: the input dimension, 16 channels.", default=None
    ),
    "widths": click.option(
        "--widths",
        type=Numbers(RANGES["width"]),
        help="Of every hidden layer (mlp), or its channels (conv); the depth is at most their number.",
    ),
    "activation": choice_option("activation", "Of the hidden layers.", "tanh"),
    "probe": choice_option("probe", "What is measured.", "both"),
    "statistic": choice_option(
        "statistic",
        "What drives the search; default: direct_horizon, or cascade_horizon with --probe cascade.",
        None,
    ),
    "threshold": number_option(
        "threshold",
        "Retained information below which a signal counts as lost; default: 0.15 (direct_horizon), 0.02 "
        "(direct_retained), 0.05 (cascade).",
        default=None,
    ),
    "penalty": number_option(
        "penalty",
        "Noise floor of the direct probe, a variance of activations.",
        default=3e-2,
        show_default=True,
    ),
    "decoded_layers": number_option(
        "decoded_layers",
        "How many layers up to the depth the direct probe decodes; the horizon is found whatever they are.",
        word="all",
        default=16,
        show_default=True,
    ),
    "certainty": number_option(
        "certainty",
        "The direct probe begins with 512 images and doubles them until its horizon changes by less than this share; "
        "default: 0.02 for convolutions, otherwise all images at once.",
        default=None,
    ),
    "probe_steps": number_option(
        "probe_steps",
        "Adam steps of the cascade, batch 64; auto: one epoch of the images used, but at least 300.",
        word=AUTO,
        default=AUTO,
        show_default=True,
    ),
    "precision": choice_option("precision", "Of the products that train the cascade.", "float32"),
    "search": choice_option("search", "How points are chosen.", "boundary"),
    "aim": choice_option(
        "aim",
        "What the boundary search looks for: the boundary at all depths; the ridge, where information travels deepest "
        "(the critical line); or both.",
        "both",
    ),
    "prior": choice_option(
        "prior", "theory: the horizon may resemble mean field's depth scale; how much, the points say.", "none"
    ),
    "until_boundary_error": number_option(
        "until_boundary_error",
        "Stop as soon as so little of the plane is expected to be on the wrong side of the boundary; default: measure "
        "all points.",
        default=None,
    ),
    "train": choice_option(
        "train",
        "Which points are trained for ground truth; boundary: those whose prediction is uncertain, and a few others.",
        "none",
    ),
    "epochs": number_option(
        "epochs",
        "Of training; auto: as many as show 96,000 images (15 of 6,400).",
        word=AUTO,
        default=AUTO,
        show_default=True,
    ),
    "optimizer": choice_option("optimizer", "Of training: plain SGD, or Adam.", "sgd"),
    "lr": click.option(
        "--lr",
        type=Numbers(RANGES["lr"]),
        default="0.01",
        show_default=True,
        help=f"Learning rate, or several: each network is trained with each, and the best counts. [{RANGES['lr']}]",
    ),
    "batch": number_option("batch", "Images a training step.", default=64, show_default=True),
    "level": number_option(
        "level",
        "Test accuracy above which a network counts as trained, and is trained no further; auto: half way from chance "
        "to the best accuracy of the sweep, and every network is trained to the end.",
        word=AUTO,
        default=AUTO,
        show_default=True,
    ),
    "patience": number_option(
        "patience",
        "Epochs without progress after which a training is given up; default: never.",
        default=None,
    ),
    "concurrency": number_option("concurrency", "Trials at once; auto: as many as fit.", word=AUTO, default=AUTO),
    "pack": number_option("pack", "Points per trial; auto: from their cost and the memory.", word=AUTO, default=AUTO),
    "cpus_per_trial": number_option("cpus_per_trial", "Cores per trial.", default=1.0, show_default=True),
    "gpus_per_trial": number_option(
        "gpus_per_trial",
        "GPUs per trial, fractions allowed; auto: a share where there are any.",
        word=AUTO,
        default=AUTO,
    ),
    "retries": number_option(
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
    "seed": number_option("seed", "Of everything random.", default=0, show_default=True),
}
F = TypeVar("F", bound=Callable[..., Any])


def options(*names: str) -> Callable[[F], F]:
    """Decorate a command with options of the table, in this order."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return decorate


def usage_error(error: SpecError) -> click.UsageError:
    """Return a `SpecError` as click reports bad input: exit code 2, the argument as it is on the command line."""
    text = str(error)
    if found := re.match(r"`(\w+)` (.*)", text, re.DOTALL):
        text = f"Invalid value for '--{found[1].replace('_', '-')}': {found[2]}"
    return click.UsageError(text, click.get_current_context(silent=True))


quiet_option = click.option("--quiet", is_flag=True, help="No progress, no summary.")
verbose_option = click.option("--verbose", is_flag=True, help="Show what Tune and Ray say, in place of the live view.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
log_option = click.option(
    "--log",
    type=click.Choice(TRACKERS),
    multiple=True,
    help="Make every point a run of a tracker: in DIR/tensorboard, DIR/mlflow (or at MLFLOW_TRACKING_URI), W&B; may "
    "be given several times.",
)
directory = click.argument("directory", metavar="DIR", type=click.Path())


def bad_input_is_usage(command: F) -> F:
    """Report bad input, and storage that cannot be used, as a usage error; Ctrl-C is exit code 130."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with terminated_is_interrupted():
                return command(*args, **kwargs)
        except SpecError as error:
            raise usage_error(error) from None
        except KeyboardInterrupt:
            sys.exit(130)
        except StoreError as error:
            raise click.UsageError(str(error), click.get_current_context()) from None

    return wrapped  # type: ignore[return-value]
