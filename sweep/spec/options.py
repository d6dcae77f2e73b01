"""Declaration of a sweep's options: each once, as a field of a part of a spec (`sweep.spec.parts`, `space`, `network`).

The options of the command line, the keys of TOML files, validation and its messages, the digest, what `resume` may
change, the sections of the help, the report's table and the tests' tables all derive from the declarations.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar

from sweep.spec.kinds import Kind, expanded

AUTO, NONE = "auto", "none"  # words for None


@dataclass(frozen=True)
class Option:
    """The declaration of an option, without its name, type and default, which its field has.

    Attributes
    ----------
    kind:
        The kind of its value.
    help:
        Its text in the help of the command line.
    word:
        A word that stands for a value: `AUTO` and `NONE` for None, ``all`` for the largest.
    measured:
        Whether it is part of what defines a measurement, and so of the digest: where points are taken, how many and by
        which machines is not.
    changeable:
        Whether `resume` may change it.
    is_location:
        Whether it says where things are (a path may begin with ``~``): of two specs that differ in that alone, each
        may be the other's.
    local:
        Whether it may be given anew on another machine, where it is not kept.
    """

    kind: Kind
    help: str
    word: str | None = None
    measured: bool = False
    changeable: bool = False
    is_location: bool = False
    local: bool = False


def option(default: Any, kind: Kind, help: str, **more: Any) -> Any:
    """Return the field of an option; ``more`` are attributes of `Option`. A default of None may be resolved later."""
    return field(default=default, metadata={"option": Option(kind, help, **more)})


class _ResolvedText(str):
    """A text that is the default for a value of another option; it is worked out anew when that value changes."""

    by: Any = None


class _ResolvedPair(tuple[Any, ...]):
    """Two numbers that are the default for a value of another option; see `_ResolvedText`."""

    by: Any = None


def resolved(value: Any, by: Any) -> Any:
    """Return a default, marked as one that depends on another option, whose value is ``by``."""
    marked: Any = _ResolvedText(value) if isinstance(value, str) else _ResolvedPair(value)
    marked.by = by
    return marked


def is_resolved(value: Any) -> bool:
    """Return whether a value is a default that depends on another option."""
    return isinstance(value, _ResolvedText | _ResolvedPair)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a spec: options that belong together.

    Every option is checked by its declaration; before that, a part may resolve defaults that depend on other options
    (``_resolve``), and after it, refuse what is allowed alone but not together (``_refuse``).

    Raises
    ------
    SpecError
        A value that is not allowed.
    """

    title: ClassVar[str]  # of its section in the help

    def __post_init__(self) -> None:
        for resolve in self._each("_resolve"):
            resolve(self)
        for each, option in declared(self):
            value = getattr(self, each.name)
            if value is None and each.default is None:
                continue
            checked = option.kind.check(each.name, value)
            if option.is_location and isinstance(checked, str):
                checked = expanded(checked)
            if is_resolved(value):
                checked = resolved(checked, value.by)
            object.__setattr__(self, each.name, checked)
        for refuse in self._each("_refuse"):
            refuse(self)

    def _each(self, name: str) -> list[Callable[["Part"], None]]:
        """Return a method of every part in this one."""
        return [vars(part)[name] for part in reversed(type(self).__mro__) if name in vars(part)]

    def _default(self, name: str, value: Any, *, by: Any) -> None:
        """Set an option that was not given, but follows from ``by``, another option."""
        given = getattr(self, name)
        if given is None or (is_resolved(given) and given.by != by):
            object.__setattr__(self, name, resolved(value, by))

    @property
    def resolved(self) -> dict[str, Any]:
        """The options that were not given but follow from another one, with that one's value."""
        values = {each.name: getattr(self, each.name) for each, _ in declared(self)}
        return {n: v.by for n, v in values.items() if is_resolved(v)}


def declared(spec: Any) -> Iterator[tuple[Field[Any], Option]]:
    """Yield the field and the declaration of every option of a part of a spec, or of a whole one."""
    for each in fields(spec):
        if (option := each.metadata.get("option")) is not None:
            assert each.default is not MISSING
            yield each, option


def part_of(spec: type, name: str) -> Any:
    """Return the part of a spec that declares an option."""
    return next(part for part in spec.__mro__ if name in part.__dict__.get("__annotations__", ()))


def names(spec: type, *parts: type) -> list[str]:
    """Return the names of the options of a spec: all, or those of some parts."""
    wanted = tuple({part_of(part, each.name) for part in parts for each, _ in declared(part)}) or object
    return [each.name for each, _ in declared(spec) if issubclass(part_of(spec, each.name), wanted)]


def measured(spec: Any) -> list[str]:
    """Return the names of the options that define a measurement."""
    return [each.name for each, option in declared(spec) if option.measured]


def changeable(spec: Any) -> list[str]:
    """Return the names of the options that may change in a sweep that has begun."""
    return [each.name for each, option in declared(spec) if option.changeable]


def local(spec: Any) -> list[str]:
    """Return the names of the options that are of one machine alone."""
    return [each.name for each, option in declared(spec) if option.local]


# Choices of commands, here so that the command line need not import what draws, writes or measures.
AXES = ("sigma_w", "sigma_b", "depth")
BENCHMARKS = ("cascade", "direct", "gradients", "pack", "training", "memory", "gpu", "orchestration", "scale")
FIGURES = (
    *("phase", "depth", "profiles", "reconstructions", "truth", "history"),
    *("roc", "reliability", "paper", "cascade"),
)
TABLES = ("points", "profiles", "truth", "boundary")
TRACKERS = ("tensorboard", "mlflow", "wandb")
