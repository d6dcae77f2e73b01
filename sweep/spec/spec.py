"""SweepSpec: all that defines a sweep, validated once, saved beside its results.

Imports neither torch nor ray, so that bad input is refused in no time.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sweep.errors import SpecError
from sweep.spec.options import AXES, CHANGEABLE, CHOICES, DEPTH, MEASURED, MOST_RATES, PLACES, RANGES, STUDY_FROM
from sweep.spec.ranges import Range
from sweep.spec.secrets import holds_secret


@dataclass(frozen=True)
class SweepSpec:
    """One sweep. Every field is an option of ``sweep run``; see ``sweep run --help`` for their meaning.

    None means what the command line calls ``auto`` (or the default that it names).

    Raises
    ------
    SpecError
        A value that is not allowed.
    """

    points: int = 64
    sigma_w: tuple[float, float] = (0.5, 2.5)
    sigma_b: tuple[float, float] = (0.05, 1.0)
    depth: tuple[int, int] = None  # type: ignore[assignment]  # resolved when the spec is made
    replicas: int = 1
    dataset: str = "digits"
    data_dir: str = "data"
    download: bool = False
    images: int = 4096
    train_images: int = 6400
    resize: int | None = None
    architecture: str = "mlp"
    width: int | None = None
    widths: tuple[int, ...] | None = None
    activation: str = "tanh"
    probe: str = "both"
    statistic: str | None = None  # resolved when the spec is made
    threshold: float | None = None
    penalty: float = 3e-2
    decoded_layers: int = 16
    certainty: float | None = None
    probe_steps: int | None = None
    precision: str = "float32"
    search: str = "boundary"
    aim: str = "both"
    prior: str = "none"
    until_boundary_error: float | None = None
    train: str = "none"
    epochs: int | None = None
    optimizer: str = "sgd"
    lr: tuple[float, ...] = (0.01,)
    batch: int = 64
    level: float | None = None
    patience: int | None = None
    concurrency: int | None = None
    pack: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    retries: int = 2
    address: str | None = None
    storage: str | None = None
    study: str | None = None
    seed: int = 0
    first_points: int | None = None  # the budget that the sweep began with: a grid is refined, not redrawn

    def __post_init__(self) -> None:
        self._check_lists()
        self._resolve()
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, _checked(field.name, value))
        self._check_texts()
        _check_together(self)
        if self.first_points is None:
            object.__setattr__(self, "first_points", self.points)

    def _check_lists(self) -> None:
        """Make tuples of what is a list of numbers."""
        if self.widths is not None:
            object.__setattr__(self, "widths", _numbers("widths", self.widths, RANGES["width"], RANGES["depth"].high))
        object.__setattr__(self, "lr", _numbers("lr", self.lr, RANGES["lr"], MOST_RATES))
        if len(set(self.lr)) < len(self.lr):
            raise SpecError(f"`lr` must be different numbers, got {', '.join(map(str, self.lr))}")

    def _resolve(self) -> None:
        """Fill in the defaults that depend on other options."""
        if self.statistic is None:
            chosen = "cascade_horizon" if self.probe == "cascade" else "direct_horizon"
            object.__setattr__(self, "statistic", chosen)
        if self.depth is None:
            layers = len(self.widths) if self.widths else 0
            object.__setattr__(self, "depth", (layers, layers) if layers else DEPTH)

    def _check_texts(self) -> None:
        for name in ("dataset", "data_dir", "address", "storage", "study"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value or "\0" in value):
                raise SpecError(f"`{name}` must be a non-empty text, got {value!r}")
        if self.study is not None and not (self.study.startswith(STUDY_FROM) or "://" in self.study):
            raise SpecError("`study` must be a URL, scheme://..., or env:NAME")  # whatever it is may hold a password
        if self.study is not None and holds_secret(self.study):
            raise SpecError("`study` must hold no password; put the URL in an environment variable and say env:NAME")
        if not isinstance(self.download, bool):
            raise SpecError(f"`download` must be true or false, got {self.download!r}")
        if self.first_points is not None:
            RANGES["points"].check("first_points", self.first_points)
        if self.storage and holds_secret(self.storage):
            raise SpecError("`storage` must hold no key or password: they belong in the environment")

    @property
    def by_horizon(self) -> bool:
        """Whether the margin is that of a horizon, rather than a score minus its threshold."""
        return str(self.statistic).endswith("_horizon")

    @property
    def reach(self) -> float:
        """How many times its depth the deepest network can be followed in search of its horizon."""
        from probes.point import reach

        return reach(self.architecture, self.depth[1], self.widths) / self.depth[1]

    @property
    def free_axes(self) -> list[str]:
        """Names of the axes that are not fixed."""
        return [a for a in AXES if getattr(self, a)[0] != getattr(self, a)[1]]

    @property
    def digest(self) -> str:
        """Of what is measured at a point, and how: parts of two sweeps belong together if theirs are equal."""
        defaults = {f.name: f.default for f in fields(self)}
        # By what differs from the defaults, so that options of later versions change nothing.
        told = {name: getattr(self, name) for name in MEASURED if getattr(self, name) != defaults[name]}
        told |= {"dataset": Path(self.dataset).name}
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What two specs of one sweep have in common, wherever they stand."""
        return {k: v for k, v in asdict(self).items() if k not in (*CHANGEABLE, *PLACES)} | {"digest": self.digest}

    def as_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(self.as_json())

    @classmethod
    def read(cls, path: Path) -> "SweepSpec":
        """Read what `save` wrote.

        Raises
        ------
        SpecError
            The file is missing, damaged or holds what is not allowed.
        """
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise SpecError(f"{str(path.parent)!r} is no sweep: it holds no {path.name}") from None
        except OSError as error:
            raise SpecError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> "SweepSpec":
        """Read what `as_json` gave; ``name`` says where it stands.

        Raises
        ------
        SpecError
            It is damaged or holds what is not allowed.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"{name!r} cannot be read: {' '.join(str(error).split())}") from None
        names = {f.name for f in fields(cls)}
        unknown = set(data) - names if isinstance(data, dict) else {"(not a table)"}
        if unknown:
            raise SpecError(f"{name!r} holds what is no option: {', '.join(sorted(map(repr, unknown)))[:200]}")
        return cls(**data)


def _checked(name: str, value: Any) -> Any:
    """Return the value of one option, converted, if it is allowed whatever the others are."""
    if name in AXES:
        return _interval(name, value)
    if name in RANGES and name != "lr":
        return RANGES[name].check(name, value)
    if name in CHOICES and value not in CHOICES[name]:
        raise SpecError(f"`{name}` must be one of {', '.join(CHOICES[name])}, got {value!r}")
    return value


def _interval(name: str, value: Any) -> tuple[Any, Any]:
    try:
        low, high = value
    except (TypeError, ValueError):
        raise SpecError(f"`{name}` must be two numbers, LO and HI, got {value!r}") from None
    low, high = RANGES[name].check(name, low), RANGES[name].check(name, high)
    if low > high:
        raise SpecError(f"`{name}` must be LO HI with LO <= HI, got {low:g} {high:g}")
    return low, high


def _numbers(name: str, value: Any, each: Range, most: float) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
        raise SpecError(f"`{name}` must be 1 to {most:g} numbers, got {value!r}")
    return tuple(each.check(name, v) for v in value)


def _check_together(spec: SweepSpec) -> None:
    """Refuse options that are allowed alone, but not together."""
    if spec.widths is not None:
        _check_widths(spec, spec.widths)
    _check_search(spec)
    _check_points(spec)
    _check_resources(spec)


def _check_widths(spec: SweepSpec, widths: tuple[int, ...]) -> None:
    if spec.architecture not in ("mlp", "conv"):
        raise SpecError(f"`widths` must be left out with architecture {spec.architecture!r}")
    if spec.width is not None:
        raise SpecError("`widths` must be left out where `width` is given")
    if spec.depth[1] > len(widths):
        raise SpecError(f"`depth` must be at most {len(widths)}, the number of widths, got {spec.depth[1]}")


def _check_search(spec: SweepSpec) -> None:
    if spec.probe not in ("both", str(spec.statistic).partition("_")[0]):
        raise SpecError(f"`statistic` must be one that probe {spec.probe!r} measures, got {spec.statistic!r}")
    if spec.prior == "theory":
        from probes.meanfield import applies_to

        if not applies_to(spec.architecture):
            raise SpecError(
                f"`prior` must be none with architecture {spec.architecture!r}, which mean field theory is not for"
            )
    if spec.aim == "ridge" and spec.train != "none":
        raise SpecError("`aim` must be boundary or both where networks are trained: the truth has no ridge")


def _check_points(spec: SweepSpec) -> None:
    if spec.until_boundary_error is not None and not spec.free_axes:
        raise SpecError("`until_boundary_error` must be left out where no axis is free")
    if set(spec.free_axes) <= {"depth"}:
        distinct = spec.depth[1] - spec.depth[0] + 1
        if spec.points > distinct and spec.search != "grid":
            raise SpecError(f"`points` must be at most {distinct}, the distinct points there are, got {spec.points}")


def _check_resources(spec: SweepSpec) -> None:
    for name in ("cpus_per_trial", "gpus_per_trial"):
        value = getattr(spec, name)
        if value is not None and value > 1 and value != int(value):
            raise SpecError(f"`{name}` must be a whole number where it is above 1, got {value:g}")
    if spec.gpus_per_trial and spec.gpus_per_trial < 0.001:
        raise SpecError(f"`gpus_per_trial` must be 0 or at least 0.001, got {spec.gpus_per_trial:g}")
