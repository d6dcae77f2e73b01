"""The command `sweep advise`."""

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweep.advice.spec import OPTIONS, AdviceSpec
from sweep.cli.numbers import Number
from sweep.cli.options import Sectioned, spec_options
from sweep.cli.shared import bad_input_is_usage, is_given, json_option
from sweep.errors import SpecError
from sweep.spec.kinds import expanded
from sweep.spec.network import FUNCTION
from sweep.spec.ranges import DEPTH
from sweep.text import duration

if TYPE_CHECKING:
    from sweep.advice.advice import Advice, Score

_NETWORK = "FILE.py:FUNCTION"
_WHERE = 20  # columns of the names before the values


@click.command("advise", cls=Sectioned)
@click.argument("network", metavar=f"[{_NETWORK}]", required=False)
@click.option(
    "--depth",
    type=Number(DEPTH),
    help="Hidden layers. It may be left out where the function does not take it, or with --widths.",
)
@spec_options(OPTIONS, spec=AdviceSpec)
@click.option(
    "--layers",
    metavar="REGEX",
    help="Names of the modules that are the layers of your network; default: the children of the outermost Sequential "
    "or ModuleList.",
)
@click.option("--picture", metavar="FILE", help="Also draw the trainable band, as .png, .pdf or .svg.")
@json_option
@click.pass_context
@bad_input_is_usage
def advise_command(
    ctx: click.Context,
    /,
    network: str | None,
    depth: int | None,
    layers: str | None,
    picture: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Recommend an initialisation for a network.

    A few random networks are probed; none is trained. The network is one of your own, which a function makes (see sweep
    probe --network), or a built-in one. Its dense and convolutional layers and its attention are drawn anew, unless the
    function takes sigma_w and --initialise is not given. Weights are orthogonal, unless --initialise is given or the
    probe tells that normal ones carry deeper.

    \b
    Example: sweep advise my_networks.py:network --depth 40
    Example: sweep advise --depth 40 --width 128 --picture advice.png
    """
    options = {name: value for name, value in fields.items() if is_given(ctx, name)}
    path = Path(expanded(picture)) if picture is not None else None
    if path:
        from sweep.plots.saving import check_picture

        check_picture(path, "picture")
    started = time.monotonic()
    try:
        found = _advice(network, depth=depth, layers=layers, **options)
    except SpecError as error:
        text = str(error)
        if network is None or not text.startswith("`network` "):
            raise
        raise click.BadParameter(text.partition(" ")[2], ctx, param_hint=f"'{_NETWORK}'") from None
    if path:
        from sweep.plots.saving import save_picture

        save_picture(found.figure(), path, "picture")
    click.echo(json.dumps(found.as_dict()) if as_json else _text(found, time.monotonic() - started))


def _advice(name: str | None, **arguments: Any) -> "Advice":
    """Return the advice for the function of a file, or for built-in networks."""
    from probes.programs import ProgramError, function_of
    from sweep.advice.recommend import advise
    from sweep.monitor.screen import progress_bar

    try:
        with function_of(name) if name else nullcontext() as function:
            module = name.rpartition(":")[0] if name else None
            if module is not None and module.endswith(".py"):
                module = Path(module).stem
            return advise(function, module=module, steps=progress_bar, **arguments)
    except ProgramError as error:
        raise SpecError(f"`network` {error}") from None


def _text(found: "Advice", seconds: float) -> str:
    """Return the advice as a text."""
    low, high = found.spec.sigma_w
    lower, upper = (f"{v:.2f}" if v is not None else None for v in (found.lower, found.upper))
    band = f"sigma_w from {lower or f'at most {low:g}'} to {upper or f'at least {high:g}'}, at this sigma_b"
    if found.range == "all":
        band = (
            f"all of sigma_w from {low:g} to {high:g} and sigma_b from {{:g}} to {{:g}}: at this depth the choice "
            "hardly matters".format(*found.spec.sigma_b)
        )
    elif found.range == "none":
        band = f"none for certain: sigma_w from {low:g} to {high:g} was searched, and this place comes nearest"
    lines = [
        _line("recommended", f"sigma_w = {found.sigma_w:g}, sigma_b = {found.sigma_b:g}" + _weights(found)),
        _line("trainable band", band),
        _line("carries", _carries(found.score, found.depth)),
        *_rival(found),
        *_default(found),
        "",
        *(f"    {line}" for line in found.code.splitlines()),
        "",
        f"{len(found.points)} random networks of {found.depth} layers measured in {duration(seconds)}, none trained",
    ]
    return "\n".join(lines)


def _line(name: str, text: str) -> str:
    return f"{name:<{_WHERE}}{text}"


def _carries(score: "Score", depth: int) -> str:
    bound, p = "at least " if score.at_least else "", score.p_trainable
    shown = "< 0.01" if p < 0.01 else "> 0.99" if p > 0.99 else f"{p:.2f}"
    return f"{bound}{score.carries:.0f} layers; networks of {depth} train with probability {shown}"


def _weights(found: "Advice") -> str:
    return "" if found.initialise == FUNCTION else f", {found.initialise} weights"


def _rival(found: "Advice") -> list[str]:
    """Return the line about networks with other weights at the recommended place."""
    if found.rival is None:
        return []
    carries = "could not be measured" if found.rival.score is None else _carries(found.rival.score, found.depth)
    return [_line(f"{found.rival.initialise} weights", carries)]


def _default(found: "Advice") -> list[str]:
    """Return the lines about the network as it is without advice."""
    default = found.as_dict()["default"]
    if found.default is None or default is None:
        return [_line("without advice", "could not be measured")]
    where = ", ".join(f"{name} = {_spread(default[name], default[f'{name}_range'])}" for name in ("sigma_w", "sigma_b"))
    inside = "inside the band" if found.default.trainable else "outside the band"
    return [
        "",
        _line("without advice", where),
        _line("", f"{inside}: carries {_carries(found.default, found.depth)}"),
    ]


def _spread(middle: float, ends: list[float]) -> str:
    """Return the median of the layers, with their range if they differ."""
    shown = [f"{v:.2g}" for v in (middle, *ends)]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"
