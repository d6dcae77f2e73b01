"""Options from a TOML file or a preset."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Numbers
from sweep.spec.parts import PRESETS

_LARGEST_CONFIG = 2**15  # bytes: reading a key of many parts takes time that grows with their square
_LONGEST_VALUE = 4096  # characters: a path's limit


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
    """Return what would have stood on the command line."""
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
    """Return a value, shortened; what holds others by its kind alone, since it may be endlessly deep."""
    kinds: dict[type, str] = {dict: "a table", list: "a list"}
    return kinds.get(type(item)) or repr(item if not isinstance(item, str) else item[:80])


def _apply_preset(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Take defaults from a preset; what a configuration file says comes before it."""
    if value is not None:
        ctx.default_map = {**PRESETS[value], **(ctx.default_map or {})}


F = TypeVar("F", bound=Callable[..., Any])


def preset_option(command: F) -> F:
    """Decorate a command with ``--preset NAME``."""
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
    """Decorate a command with ``--config FILE.toml``."""
    return click.option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="Any option, overridden by the command line.",
    )(command)
