"""Measure a set of the study and write its file: `python -m tests.study.make NAME [--out DIR]`.

A sweep that was interrupted goes on where it was, if its directory is given again. With `--probe`, only that probe is
measured; the file keeps its truth, and what else is not measured.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

import sweep
from sweep.results.export import write_table
from sweep.spec.options import AXES
from sweep.spec.spec import SweepSpec
from tests.helpers import ROOT
from tests.study.sets import STUDIES

DATA = ROOT.parent / "shared" / "data"
POINT, TRUTH = [*AXES, "seed"], ["accuracy", "chance", "train_epochs"]
# Columns of the table `points` that are no result, or follow from others.
_LEFT_OUT = {
    *("status", "error", "margin", "margin_censored", "direct_images", "probe_steps"),
    *("pack", "pack_halved", "device", "hostname", "finished", "trainable", "lr", "train_images"),
}
_UNITS_LEFT_OUT = {"s", "flop"}


def located(spec: SweepSpec, data: Path) -> SweepSpec:
    """Return a spec whose data set lies in a folder."""
    dataset = str(data / spec.dataset) if spec.dataset.endswith(".npz") else spec.dataset
    return replace(spec, dataset=dataset, data_dir=str(data))


def results_of(spec: SweepSpec, directory: Path, **resources: Any) -> sweep.Results:
    """Return the results of a sweep, which is begun or finished if it is not."""
    if not (directory / "spec.json").exists():
        return sweep.run(replace(spec, **resources), directory, quiet=False)
    results = sweep.load(directory)
    return results if len(results.points) >= spec.points else sweep.resume(directory, quiet=False, **resources)


def curves(truth: pd.DataFrame) -> pd.DataFrame:
    """Return the training curves of a set in the form of its file."""
    return truth[["seed", "epoch", "accuracy", "loss"]].astype({"accuracy": "float32", "loss": "float32"})


def measured(points: pd.DataFrame) -> pd.DataFrame:
    """Return the results in a table of points.

    Raises
    ------
    SpecError
        Points failed.
    """
    if (failed := points["status"] == "failed").any():
        raise sweep.SpecError(f"{failed.sum()} points failed: {points['error'][failed].iloc[0]}")
    is_result = [
        name not in _LEFT_OUT and sweep.UNITS.get(name) not in _UNITS_LEFT_OUT and points[name].notna().any()
        for name in points
    ]
    return points.loc[:, is_result]


def renewed(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return a table of results with the columns that another one has beside them."""
    return new.merge(old[["seed", *(name for name in old if name not in new)]], on="seed", validate="one_to_one")


def arranged(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of results in the order of the files: points, truth, statistics; sorted by place."""
    first = [name for name in (*POINT, *TRUTH) if name in table]
    statistics = [name for name in sweep.COLUMNS["points"] if name in table and name not in first]
    return table[[*first, *statistics]].sort_values(POINT)


@click.command()
@click.argument("name", type=click.Choice(list(STUDIES)))
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the sweep; default: runs/NAME.")
@click.option("--probe", type=click.Choice(["both", "cascade", "direct"]), help="Measure this alone, without training.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA, help="Folder of the data sets.")
@click.option("--concurrency", type=int, help="Number of trials at the same time; default: all cores.")
def main(name: str, out: Path | None, probe: str | None, data_dir: Path, concurrency: int | None) -> None:
    """Measure the set NAME and write its file."""
    study = STUDIES[name]
    spec = located(study.spec, data_dir)
    if probe is not None:
        spec = replace(spec, probe=probe, train="none")
    results = results_of(spec, out or Path("runs") / name, concurrency=concurrency)
    points, truth = (t[t["seed"] < spec.seed + spec.points] for t in (results.points, results.truth))
    table = measured(points)
    study.file.parent.mkdir(exist_ok=True)
    if probe is not None:
        table = renewed(study.read(), table)
    elif study.purpose == "selection":  # rules for ending trainings early are chosen by them
        curves(truth).to_parquet(study.curves_file, index=False, compression="zstd")
    write_table(arranged(table), "csv", str(study.file))
    click.echo(f"{len(table)} networks in {study.file}")


if __name__ == "__main__":
    main()
