"""Options from a TOML file or a preset."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.errors import SpecError
from sweep.spec.kinds import expanded
from sweep.spec.options import AXES
from sweep.spec.parts import Search
from sweep.spec.presets import PRESETS
from sweep.spec.ranges import SEQUENCE

_MAX_CONFIG_BYTES = 2**15  # the time to read a key of many parts grows with the square of their number
_MAX_VALUE_CHARACTERS = 4096  # the limit of a path


class _Key(click.Option):
    """A key of configuration files that is no option of the command line."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Leave the command line as it is."""


def _read_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Take the defaults of options from a TOML file; click converts and checks them like arguments."""
    if value is None:
        return
    try:
        path = Path(expanded(value))
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            raise OSError("it is not a file")
        if path.exists() and path.stat().st_size > _MAX_CONFIG_BYTES:
            raise OSError(f"it is larger than {_MAX_CONFIG_BYTES // 1024} KiB")
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise click.BadParameter(f"{value!r} cannot be read: {error.strerror or error}", ctx, param) from None
    except SpecError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value!r} is not valid TOML: its text must be in UTF-8", ctx, param) from None
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
    """Return the value of a key as it would stand on the command line."""
    if option.is_flag:
        if not isinstance(item, bool):
            raise click.BadParameter(f"{key!r} must be true or false, got {_described(item)}", ctx, param)
        return item
    items = item if isinstance(item, list) else [item]
    scalars = all(isinstance(i, int | float | str) and not isinstance(i, bool) for i in items)
    if option.multiple and scalars:
        return tuple(str(i)[:_MAX_VALUE_CHARACTERS] for i in items)
    if isinstance(option.type, Numbers) and isinstance(item, list) and scalars:
        return ",".join(str(i) for i in item)
    if isinstance(item, list) != (option.nargs == 2) or len(items) != option.nargs or not scalars:
        wanted = "a list of two numbers" if option.nargs == 2 else "one value"
        raise click.BadParameter(f"{key!r} must be {wanted}, got {_described(item)}", ctx, param)
    if any(len(str(i)) > _MAX_VALUE_CHARACTERS for i in items):
        raise click.BadParameter(f"{key!r} must have at most {_MAX_VALUE_CHARACTERS} characters", ctx, param)
    return tuple(str(i) for i in items) if option.nargs == 2 else str(item)


def _described(item: Any) -> str:
    """Return a value as messages show it: shortened, and tables and lists by their kind alone, which may be deep."""
    kinds: dict[type, str] = {dict: "a table", list: "a list"}
    return kinds.get(type(item)) or repr(item if not isinstance(item, str) else item[:80])


def _apply_preset(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Take the defaults of options from a preset; those of a configuration file take precedence."""
    if value is not None:
        ctx.default_map = {**PRESETS[value], **(ctx.default_map or {})}


F = TypeVar("F", bound=Callable[..., Any])


def preset_option(command: F) -> F:
    """Add the option ``--preset NAME`` to a command."""
    presets = {
        name: " ".join(f"--{k.replace('_', '-')} {_as_text(k, v)}" for k, v in preset.items())
        for name, preset in PRESETS.items()
    }
    return click.option(
        "--preset",
        type=click.Choice(tuple(PRESETS)),
        is_eager=True,
        expose_value=False,
        callback=_apply_preset,
        help="Start from the options of a preset; others override them. "
        + " ".join(f"{name}: {text}." for name, text in presets.items()),
    )(command)


def _as_text(name: str, value: Any) -> str:
    """Return the value of an option as it is written on the command line."""
    if not isinstance(value, tuple):
        return str(value)
    return (" " if name in AXES else ",").join(map(str, value))


def sequence_key(command: F) -> F:
    """Let configuration files of a command say which sequence of points is meant, if it is not the current one."""
    meaning = "Version of the sequence of points."
    return click.option(
        "--sequence", cls=_Key, type=Number(SEQUENCE), default=Search.sequence, hidden=True, help=meaning
    )(command)


def config_option(command: F) -> F:
    """Add the option ``--config FILE.toml`` to a command."""
    return click.option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="Read options from a TOML file; the command line overrides them.",
    )(command)
