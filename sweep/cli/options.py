"""The options of a spec as click knows them, made from their declarations."""

from collections.abc import Callable, Iterable
from dataclasses import Field
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.spec import kinds
from sweep.spec.options import AUTO, NONE, Option, Part, declared, part_of
from sweep.spec.spec import SweepSpec

F = TypeVar("F", bound=Callable[..., Any])


class SpecOption(click.Option):
    """An option of a spec, which knows the section of the help that it stands in."""

    def __init__(self, *args: Any, section: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.section = section


class Sectioned(click.Command):
    """A command whose help shows the options of a spec part by part, and then its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        own: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                place = sections.setdefault(param.section, []) if isinstance(param, SpecOption) else own
                place.append(record)
        for title, records in [*sections.items(), ("Other options", own)]:
            with formatter.section(title):
                formatter.write_dl(records)


def spec_options(names: Iterable[str], *, spec: type[Part] = SweepSpec, defaults: bool = True) -> Callable[[F], F]:
    """Decorate a command with options of a spec, in this order; without ``defaults``, what is not given is None."""
    known = {field.name: (field, told) for field, told in declared(spec)}

    def decorate(command: F) -> F:
        for name in reversed([*names]):
            command = _option(*known[name], part_of(spec, name).title, defaults)(command)
        return command

    return decorate


def _option(field: Field[Any], told: Option, section: str, defaults: bool) -> Callable[[F], F]:
    """Return the decorator of one option."""
    flag = "--" + field.name.replace("_", "-")
    default = told.word if field.default is None and told.word == AUTO else field.default
    more: dict[str, Any] = {"default": default, "show_default": default is not None} if defaults else {"default": None}
    kind, text = told.kind, told.help
    if isinstance(kind, kinds.Range):
        more |= {"type": Number(kind, told.word)}
        text += f" [{kind}]"
    elif isinstance(kind, kinds.Interval):
        more |= {"type": Number(kind.each), "nargs": 2, "metavar": "LO HI"}
        text += f" [each {kind.each}]"
    elif isinstance(kind, kinds.Numbers):
        more |= {"type": Numbers(kind.each)}
        if more["default"] is not None:
            more["default"] = ",".join(map(str, more["default"]))
        text += f" [{kind.each}]"
    elif isinstance(kind, kinds.Choice):
        more |= {"type": click.Choice(kind.words)}
    elif isinstance(kind, kinds.Duration):
        more |= {"metavar": "DURATION"}
        text += f" [{kind}]"
    elif isinstance(kind, kinds.Text):
        more |= {"metavar": kind.metavar}
        if told.word == NONE:
            more |= {"callback": lambda ctx, param, value: None if value == NONE else value}
    else:
        flag = f"{flag}/--no-{flag[2:]}"
    return click.option(flag, cls=SpecOption, section=section, help=text, **more)
