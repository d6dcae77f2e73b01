"""The command `sweep theory`."""

import json

import click

from sweep.cli.numbers import Number
from sweep.cli.shared import bad_input_is_usage, json_option
from sweep.spec.ranges import ACTIVATION, SIGMA_B, SIGMA_W


@click.command("theory")
@click.option("--sigma-b", type=Number(SIGMA_B), nargs=2, required=True, metavar="LO HI", help="Range of sigma_b.")
@click.option("--sigma-w", type=Number(SIGMA_W), default=None, help="Also give q*, chi_1, c* and xi_c at this sigma_w.")
@click.option(
    "--activation",
    type=click.Choice(ACTIVATION.words),
    default="tanh",
    show_default=True,
    help="Activation of the hidden layers.",
)
@json_option
@bad_input_is_usage
def theory_command(sigma_b: tuple[float, float], sigma_w: float | None, activation: str, as_json: bool) -> None:
    """Print the critical line of mean field theory, and its quantities at given points.

    \b
    Example: sweep theory --sigma-b 0.05 1 --sigma-w 1.3
    """
    from sweep.model import theory

    rows = theory.critical_line_rows(sigma_b, sigma_w, activation)
    click.echo(json.dumps(rows) if as_json else _text(rows))


def _text(rows: list[dict[str, float | None]]) -> str:
    """Return a table with a header; infinite values are ``inf``, a critical sigma_w that is nowhere is ``none``."""

    def text(name: str, value: float | None) -> str:
        if value is None:
            return "none" if name == "critical_sigma_w" else "inf"
        return format(value, ".6g")

    lines = ["  ".join(f"{name:>16}" for name in rows[0])]
    lines += ["  ".join(f"{text(name, v):>16}" for name, v in r.items()) for r in rows]
    return "\n".join(lines)
