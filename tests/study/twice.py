"""Train the hard half of a set a second time, for the noise of the truth: `python -m tests.study.twice [NAME...]`.

Each network nearest to the boundary gets a second one beside it: another random network at the same place, whose seed
is `SEED_STEP` larger. It is trained by the same protocol, on the same batches in the same order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import pandas as pd

import sweep
from probes.definition import DEFAULT_STATISTICS
from probes.point import Measurement
from probes.prober import Prober
from sweep.analysis.skill import iou
from sweep.analysis.statistics import score
from sweep.analysis.surface import GRID, depth_planes
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.results.export import write_table
from tests.study.make import DATA, POINT, located
from tests.study.sets import FILES, STUDIES, Study, boundary_of, hard_half, point_of, trained

SETS = ("slim", "overcomplete", "narrow", "wide", "shrinking")  # that are trained twice
SEED_STEP = 500_000
STATISTIC = DEFAULT_STATISTICS["direct"]
_PACK = 8  # networks that are measured together; the file is written after each pack
_COLUMNS = [*POINT, "accuracy", STATISTIC]


def file_of(study: Study) -> Path:
    """Return the file with the second networks of a set."""
    return Path(__file__).with_suffix("") / f"{study.name}.csv"


def second_networks(study: Study) -> pd.DataFrame:
    """Return what was measured of the second networks of a set, sorted by place; no rows if nothing was."""
    if not file_of(study).exists():
        return pd.DataFrame(columns=_COLUMNS)
    return pd.read_csv(file_of(study), converters=dict.fromkeys(("sigma_w", "sigma_b"), float))


def twice_trained() -> list[Study]:
    """Return the sets that have second networks."""
    return [STUDIES[name] for name in dict.fromkeys([*SETS, *FILES]) if file_of(STUDIES[name]).exists()]


@dataclass(frozen=True)
class Pairs:
    """Two networks at each of some places: whether they train, and the margins by which that is predicted.

    Attributes
    ----------
    outcomes, margins:
        ``[2, places]``, the first networks and the second ones.
    """

    outcomes: np.ndarray
    margins: np.ndarray

    @classmethod
    def together(cls, several: Sequence["Pairs"]) -> "Pairs":
        """Return the pairs of several sets as if they were one."""
        return cls(*(np.concatenate([getattr(one, name) for one in several], 1) for name in ("outcomes", "margins")))

    @property
    def alike(self) -> float:
        """Share of the places at which both networks have the same outcome."""
        return 1 - float(self._differ.mean())

    @property
    def ceiling(self) -> float:
        """Share of the networks about which one yes or no a place can be right at most.

        It is right about both networks of a place if they are alike, and about one of them if they differ.
        """
        return 1 - (1 - self.alike) / 2

    @property
    def right(self) -> tuple[float, float]:
        """Shares of the first networks, and of the second ones, that the sign of the margin is right about."""
        first, second = ((self.margins >= 0) == self.outcomes).mean(1)
        return float(first), float(second)

    @property
    def errors(self) -> tuple[int, int]:
        """Number of networks that the sign of the margin is wrong about at places that differ, and at all places."""
        wrong = (self.margins >= 0) != self.outcomes
        return int(wrong[:, self._differ].sum()), int(wrong.sum())

    @property
    def told_apart(self) -> tuple[int, int]:
        """Number of places at which the network that trains has the larger margin of two that differ, and of all these.

        Of networks without any relation between outcome and margin at a place, half are told apart.
        """
        first_is_larger = self.margins[0] > self.margins[1]
        return int((first_is_larger == self.outcomes[0])[self._differ].sum()), int(self._differ.sum())

    @property
    def _differ(self) -> np.ndarray:
        """Whether the networks of a place have different outcomes, ``[places]``."""
        return self.outcomes[0] != self.outcomes[1]


def pairs_of(study: Study) -> Pairs:
    """Return the pairs of networks of a set that was trained twice; outcomes are by the level of the first ones."""
    points, again = study.read(), second_networks(study)
    first = points.set_index("seed").loc[again["seed"] - SEED_STEP].reset_index()
    networks = (first, again)
    return Pairs(
        np.array([trained(table, points) for table in networks]),
        np.array([score(STATISTIC, table, study.spec) for table in networks]),
    )


def overlap_of_truths(study: Study) -> np.ndarray:
    """Return the intersection over union of the regions of two truths of a set at a few depths, ``[depths]``.

    In the other truth, the networks that were trained twice have the outcomes of the second ones.
    """
    points, again = study.read(), second_networks(study)
    outcomes = trained(points)
    changed = pd.Series(trained(again, points).to_numpy(), again["seed"] - SEED_STEP)
    other = points["seed"].map(changed).astype("boolean").fillna(outcomes).astype(bool)
    places = depth_planes(study.spec, GRID)
    return iou(*(boundary_of(study, points, some)(places) for some in (outcomes, other)))


def row_of(measurement: Measurement) -> dict[str, float]:
    """Return the row of a network in the file.

    Raises
    ------
    SpecError
        The network could not be measured.
    """
    if measurement.status == "failed":
        raise sweep.SpecError(f"{measurement.point} failed: {measurement.error}")
    values = vars(measurement.point) | measurement.values
    return {name: values[name] for name in _COLUMNS}


def measure(study: Study, data: Path) -> Iterator[int]:
    """Measure the second networks of a set that its file lacks, and yield the number of those that it has.

    Each pack is written to the file at once.
    """
    points, again = study.read(), second_networks(study)
    hard = points.iloc[hard_half(study, points)]
    second = [replace(point, seed=point.seed + SEED_STEP) for point in map(point_of, hard.itertuples())]
    missing = [point for point in second if point.seed not in set(again["seed"])]
    yield len(again)
    if not missing:
        return
    settings = replace(probe_settings(study.spec), probe="direct", statistic=STATISTIC)
    prober = Prober(sweep_images(located(study.spec, data)), settings)
    rows = again.to_dict("records")
    file_of(study).parent.mkdir(exist_ok=True)
    for i in range(0, len(missing), _PACK):
        rows += map(row_of, prober.measure(missing[i : i + _PACK]))
        write_table(pd.DataFrame(rows, columns=_COLUMNS).sort_values(POINT), "csv", str(file_of(study)))
        yield len(rows)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(FILES))
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA, help="Folder of the data sets.")
def main(names: tuple[str, ...], data_dir: Path) -> None:
    """Train the hard halves of the sets NAMES a second time; without names, those of `SETS`.

    What a file already has is not measured again.
    """
    for study in map(STUDIES.__getitem__, names or SETS):
        for done in measure(study, data_dir):
            click.echo(f"{study.name}: {done} of {len(study.points) // 2} networks")


if __name__ == "__main__":
    main()
