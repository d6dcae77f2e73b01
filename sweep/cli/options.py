"""Options of click, made from the declarations of a spec's options."""

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import Field
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.spec import kinds
from sweep.spec.axes import Axes
from sweep.spec.options import AUTO, NONE, Option, Part, declared, is_resolved, part_of
from sweep.spec.spec import SweepSpec

F = TypeVar("F", bound=Callable[..., Any])
_AXIS, _IS_OPTION = "--axis", re.compile("--?[A-Za-z]|--$")


class SpecOption(click.Option):
    """An option of a spec, with the section of the help that it stands in."""

    def __init__(self, *args: Any, section: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.section = section


class Sectioned(click.Command):
    """A command whose help shows the options of a spec in sections, and its own options last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; an axis may take several words."""
        return super().parse_args(ctx, _with_axes_as_one_word(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        own: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                section = sections.setdefault(param.section, []) if isinstance(param, SpecOption) else own
                section.append(record)
        for title, records in [*sections.items(), ("Other options", own)]:
            with formatter.section(title):
                formatter.write_dl(records)


def _with_axes_as_one_word(arguments: Iterable[str]) -> list[str]:
    """Return arguments with the words behind each ``--axis`` joined: the option takes three to five."""
    words, joined = deque(arguments), list[str]()
    while words:
        word, equals, first = words.popleft().partition("=")
        axis = [first] if equals else []
        if word != _AXIS:
            joined.append(word + equals + first)
            continue
        while words and not _IS_OPTION.match(words[0]) and not (axis and " " in axis[-1].strip()):
            axis.append(words.popleft())
        joined.append(f"{_AXIS}={' '.join(axis)}")
    return joined


def spec_options(names: Iterable[str], *, spec: type[Part] = SweepSpec, defaults: bool = True) -> Callable[[F], F]:
    """Add options of a spec to a command, in this order; without ``defaults``, an option that is not given is None."""
    known = {field.name: (field, declaration) for field, declaration in declared(spec)}

    def decorate(command: F) -> F:
        for name in reversed([*names]):
            command = _option(*known[name], part_of(spec, name).title, defaults)(command)
        return command

    return decorate


def _option(field: Field[Any], declaration: Option, section: str, defaults: bool) -> Callable[[F], F]:
    """Return the decorator that adds one option to a command."""
    flag = "--" + field.name.replace("_", "-")
    default = None if is_resolved(field.default) else field.default
    if field.default is None and declaration.word == AUTO:
        default = declaration.word
    settings: dict[str, Any] = (
        {"default": default, "show_default": default is not None} if defaults else {"default": None}
    )
    kind, text = declaration.kind, declaration.help
    if isinstance(kind, kinds.Range):
        settings |= {"type": Number(kind, declaration.word)}
        text += f" [{kind}]"
    elif isinstance(kind, kinds.Interval):
        settings |= {"type": Number(kind.each), "nargs": 2, "metavar": "LO HI"}
        text += f" [each {kind.each}]"
    elif isinstance(kind, kinds.Numbers):
        settings |= {"type": Numbers(kind.each)}
        if settings["default"] is not None:
            settings["default"] = ",".join(map(str, settings["default"]))
        text += f" [{kind.each}]"
    elif isinstance(kind, kinds.Choice):
        settings |= {"type": click.Choice(kind.words)}
    elif isinstance(kind, kinds.Duration):
        settings |= {"metavar": "DURATION"}
        text += f" [{kind}]"
    elif isinstance(kind, Axes):
        settings |= {"metavar": kind.metavar, "multiple": True, "default": ()}
    elif isinstance(kind, kinds.Text):
        settings |= {"metavar": kind.metavar}
        if declaration.word == NONE:
            settings |= {"callback": lambda ctx, param, value: None if value == NONE else value}
    else:
        flag = f"{flag}/--no-{flag[2:]}"
    return click.option(flag, cls=SpecOption, section=section, help=text, **settings)
