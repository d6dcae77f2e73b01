"""Pictures are compared with stored ones: of blocks of 4 x 4 pixels, at most 0.3 % may differ by more than a fifteenth.

That forgives another rendering of the same text and lines, not a line that is missing or elsewhere (see the last test).
To store them anew, after a look at what has changed: ``python -m tests.unit.plots.test_kinds``.
"""

import itertools
from functools import cache

import matplotlib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.plots import difference, gallery, planes, style
from sweep.plots import points as points_module
from sweep.plots import trained as trained_module
from sweep.plots.kinds import figure
from sweep.plots.layers import layers
from sweep.plots.style import styled
from sweep.results.loading import load
from sweep.spec.columns import COLUMNS, POINT
from sweep.spec.options import FIGURES
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from tests.helpers import ROOT
from tests.helpers.landscape import made_up, made_up_sweep, true_critical, true_horizon

PICTURES = ROOT / "tests" / "pictures" / "plots"


def points(count=60):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(index=range(count), columns=list(COLUMNS["points"])).astype({"status": "str"})
    w, b, d = rng.uniform(0.5, 2.5, count), rng.uniform(0.05, 1, count), rng.integers(5, 61, count)
    horizon = true_horizon(w, b) / 2
    frame = frame.assign(sigma_w=w, sigma_b=b, depth=d, seed=range(count), status="ok")
    frame["status"] = frame["status"].where(frame.index > 1, "failed")
    frame["margin"] = np.where(frame.index > 1, np.log(2 * horizon / d), np.nan)
    frame["direct_horizon"], frame["direct_horizon_censored"] = np.minimum(horizon, 3 * d), horizon > 3 * d
    frame["accuracy"] = 0.1 + 0.85 / (1 + np.exp(-4 * np.log(2.2 * horizon / d)))
    frame["trainable"] = frame["accuracy"] > 0.5
    return frame


def boundary(depths, shift=0.0, sigma_bs=None):
    rows = []
    for d, b in itertools.product(depths, sigma_bs or np.linspace(0.05, 1, 20)):
        c = true_critical(b) + shift
        reach = np.sqrt(np.log(40 / d) / 3) if d < 40 else np.nan
        ends = [c * np.exp(sign * reach) for sign in (-1, 1)]
        spread = (np.array([1, 0.94, 1.06])[None] * np.array(ends)[:, None]).ravel()
        rows.append((d, b, *spread, 0.5, c, c - 0.05, c + 0.05, 1.1 + 0.7 * b))
    return pd.DataFrame(rows, columns=list(COLUMNS["boundary"]))


def grid(x, y, **fixed):
    ends = {"sigma_w": (0.5, 2.5), "sigma_b": (0.05, 1), "depth": (5, 60)}
    gx, gy = np.meshgrid(*[np.linspace(*ends[a], 41) for a in (x, y)])
    frame = pd.DataFrame({x: gx.ravel(), y: gy.ravel(), **fixed})
    frame["horizon"] = true_horizon(frame["sigma_w"], frame["sigma_b"]) / 2
    margin = np.log(2 * frame["horizon"] / frame["depth"])
    return frame.assign(margin=margin, prediction=margin, truth=margin + 0.3, accuracy=1 / (1 + np.exp(-4 * margin)))


def paper_lines():
    w = np.linspace(0.5, 2.5, 41)
    depth = true_horizon(w, 0.3)
    return pd.DataFrame(
        {"sigma_w": w, "depth": depth, "lower": 0.9 * depth, "upper": 1.1 * depth, "xi_c": 3 / np.abs(w - 1.4 + 1e-3)}
    )


def profile_rows():
    rows = [
        (w, 0.3, 30, i, layer, np.exp(-1.9 * 2 * layer / true_horizon(w, 0.3)) if layer % 3 else np.nan)
        for i, w in enumerate((0.7, 1.0, 1.3, 1.8, 2.4))
        for layer in range(1, 31)
    ]
    return pd.DataFrame(rows, columns=["sigma_w", "sigma_b", "depth", "seed", "layer", "direct_retained"])


def horizons():
    networks = profile_rows().groupby(["sigma_w", "sigma_b", "depth", "seed"], as_index=False).first()
    reach = true_horizon(networks["sigma_w"], networks["sigma_b"]) / 2  # some of it lies beyond the profile
    return dict(zip(networks[list(POINT)].itertuples(index=False, name=None), reach, strict=True))


def cascades():
    """Rows of `profiles` and of `points` of networks of three depths, some of them trained."""
    w, d = np.linspace(0.7, 2, 12), np.tile([30, 40, 25], 4)
    reach = true_horizon(w, 0.3) / 2
    networks = pd.DataFrame({"sigma_w": w, "sigma_b": 0.3, "depth": d, "seed": range(12)})
    rows = networks.loc[networks.index.repeat(d)]
    rows["layer"] = rows.groupby("seed").cumcount() + 1
    rows["cascade_correlation"] = np.exp(-rows["layer"] / reach[rows["seed"]])
    trained = pd.Series([True, False, pd.NA] * 4, dtype="boolean")
    networks = networks.assign(
        trainable=trained, cascade_correlation_horizon=np.minimum(reach, d), cascade_cutoff=np.minimum(reach, d) // 2
    )
    return rows, networks.assign(xi_c=3 / np.abs(w - 1.4))


def tiles():
    y, x = np.mgrid[-1:1:12j, -1:1:10j]
    return np.array(
        [[np.exp(-((x**2 + y**2 - 0.4) ** 2) * 8 / c) + 0.1 * r * x for c in range(1, 5)] for r in range(2)]
    )


def scores(trained):
    rng = np.random.default_rng(1)
    truth = trained["trainable"].to_numpy(bool)
    return pd.DataFrame(
        {n: truth + rng.normal(0, s, len(truth)) for n, s in (("good", 0.4), ("fair", 0.9), ("bad", 5))}
    )


def by_ax(draw):
    def made():
        figure = Figure(figsize=(3.4, 2.4), layout="constrained")
        ax = figure.add_subplot()
        assert draw(ax) is ax
        if ax.get_legend_handles_labels()[0]:
            style.legend(figure, ax)
        return figure

    return made


RELIABILITY = {
    "default calibration": [
        {"predicted": 0.1, "observed": 0.02, "points": 60},
        {"predicted": None, "observed": None, "points": 0},
        {"predicted": 0.5, "observed": 0.4, "points": 10},
        {"predicted": 0.9, "observed": 0.97, "points": 30},
    ],
    "calibrated": [
        {"predicted": 0.2, "observed": 0.18, "points": 50},
        {"predicted": 0.8, "observed": 0.8, "points": 50},
    ],
}
HISTORY = pd.DataFrame({"points": [10, 20, 40, 80, 160], "expected_error": [0.1, 0.04, 0.02, 0.009, 0.004]})
DRAWN = {
    "phase": by_ax(
        lambda ax: planes.phase(points(), boundary([5, 11, 26, 60]), grid("sigma_w", "sigma_b", depth=60.0), ax=ax)
    ),
    "phase_tables": by_ax(lambda ax: planes.phase(points(), boundary([11]), ax=ax)),
    "depth": by_ax(lambda ax: points_module.depth(points()[2:], boundary=boundary([60]), ax=ax)),
    "band": by_ax(lambda ax: points_module.band(boundary(range(5, 40)), ax=ax)),
    "profiles": by_ax(lambda ax: points_module.profiles(profile_rows(), threshold=0.15, ax=ax)),
    "profiles_with_horizons": by_ax(lambda ax: points_module.profiles(profile_rows(), horizons=horizons(), ax=ax)),
    "layers": by_ax(lambda ax: layers(*cascades(), cascades()[1], value="cascade_correlation", ax=ax)),
    "reconstructions": by_ax(
        lambda ax: gallery.reconstructions(tiles(), ["one", "two"], ["image", "1", "2", "3"], ax=ax)
    ),
    "truth": by_ax(lambda ax: trained_module.truth(points(), grid("sigma_w", "sigma_b", depth=26.0), ax=ax)),
    "roc": by_ax(lambda ax: trained_module.roc(scores(points()), points()["trainable"], ax=ax)),
    "reliability": by_ax(lambda ax: trained_module.reliability(RELIABILITY, ax=ax)),
    "history": by_ax(lambda ax: points_module.history(HISTORY, ax=ax)),
    "paper": by_ax(
        lambda ax: trained_module.paper(grid("sigma_w", "depth", sigma_b=0.3), paper_lines(), points(), ax=ax)
    ),
    "boundaries": by_ax(
        lambda ax: difference.boundaries(boundary([11]), boundary([11], 0.1), ("one", "$two^{"), ax=ax)
    ),
    "boundaries_flat": by_ax(
        lambda ax: difference.boundaries(boundary([11], 0, [0.3]), boundary([11], 0.1, [0.3]), ("one", "two"), ax=ax)
    ),
}


def pixels(name, change=lambda figure: None):
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg"}), styled(None):
        canvas = FigureCanvasAgg(DRAWN[name]())
        canvas.draw()
        change(canvas.figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def apart(one, other):
    """Share of the blocks that differ."""
    assert one.shape == other.shape
    height, width = (n // 4 * 4 for n in one.shape[:2])
    blocks = [
        x[:height, :width].astype(float).reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3)) for x in (one, other)
    ]
    return float((np.abs(blocks[0] - blocks[1]).max(-1) > 255 / 15).mean())


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_are_as_they_were(name):
    stored = (matplotlib.image.imread(PICTURES / f"{name}.png")[..., :3] * 255).round().astype(np.uint8)
    assert apart(pixels(name), stored) <= 0.003


@pytest.mark.parametrize(
    "name", ["phase", "depth", "band", "profiles", "roc", "reliability", "paper", "boundaries", "history", "layers"]
)
def test_a_missing_line_would_be_seen(name):
    def rob(figure):
        lines = [line for line in figure.axes[0].lines if np.isfinite(line.get_xydata()).sum() > 3]
        max(lines, key=lambda line: line.get_linewidth()).remove()

    assert apart(pixels(name), pixels(name, rob)) > 0.003


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that gives a sweep with trainings, the same at every call: its boundary is computed once."""

    @cache
    def make(**fixed):
        path = tmp_path_factory.mktemp("trained") / "sweep"
        results = made_up_sweep(path, SweepSpec(points=40, train="all", level=0.5, **fixed), count=0)
        rng, spec, rows = np.random.default_rng(0), results.spec, []
        for i in range(40):
            w, b = (float(rng.uniform(*getattr(spec, a))) for a in ("sigma_w", "sigma_b"))
            m = made_up(Point(w, b, int(rng.integers(spec.depth[0], spec.depth[1] + 1)), i))
            good = m.values["margin"] + rng.normal(0, 0.2) > 0
            m.values.update({"accuracy": 0.9 if good else 0.2, "chance": 0.1})
            fall = np.exp(-np.arange(1, m.point.depth + 1) / 10)
            m.profiles.update(cascade_relative_entropy=1 - fall, cascade_correlation=fall)
            m.values.update(cascade_relative_entropy=0.9, cascade_correlation=0.1, cascade_cutoff=3 + i % 5)
            rows.append(row(m, finished=float(i)))
        results.store.write(rows)
        return load(path)

    return make


@pytest.mark.parametrize("kind", ["phase", "truth", "roc", "reliability"])
def test_a_kind_by_the_command(trained, tmp_path, kind):
    path = tmp_path / "x.svg"
    result = CliRunner().invoke(
        main, ["plot", str(trained().path), "--kind", kind, "-o", str(path), "--fig-width", "4"]
    )
    assert result.exit_code == 0, (result.output, result.exception)
    assert 'width="288pt"' in path.read_text()[:2000]


@pytest.mark.parametrize("kind", [k for k in FIGURES if k != "reconstructions"])
def test_every_kind_as_wide_as_asked_for(trained, kind):
    assert figure(trained(), kind, width=4.0).get_figwidth() == 4


def test_reconstructions_are_those_of_the_networks(make_sweep, tmp_path):
    spec = SweepSpec(points=12, depth=(2, 4), images=64, probe_steps=3)
    results = make_sweep(spec, count=12)
    made = figure(results, "reconstructions")
    (ax,) = made.axes
    assert [t.get_text() for t in ax.get_xticklabels()][0] == "image" and len(ax.get_yticks()) == 3
    sheet = np.asarray(ax.images[0].get_array())
    first = [sheet[i * 9 : i * 9 + 8, :8] for i in range(3)]  # 8 x 8 pixels and a gap
    assert np.array_equal(first[0], first[1]) and np.array_equal(first[0], first[2])
    assert not np.array_equal(sheet[:8, 9:17], sheet[9:17, 9:17])


def test_options_that_say_something(trained):
    results = trained()
    for kind, keys in (
        ("phase", {"depth": 9}),
        ("profiles", {"depth": 9, "sigma_b": 0.3}),
        ("paper", {"sigma_b": 0.3}),
        ("cascade", {"sigma_b": 0.6}),
    ):
        assert figure(results, kind, **keys).axes
    assert len(figure(results, "truth", depth=20).axes) == 2 and len(figure(results, "truth").axes) == 5
    for kind, keys, message in (
        ("roc", {"depth": 9}, "must be left out"),
        ("truth", {"truth": results}, "`truth` must be left out"),
        ("phase", {"sigma_b": 0.3}, "must be left out"),
        ("phase", {"depth": 61}, "`depth` must be from 5 to 60"),
        ("paper", {"sigma_b": 2.0}, "`sigma_b` must be from 0.05 to 1"),
    ):
        with pytest.raises(SpecError, match=message):
            figure(results, kind, **keys)


def test_the_truth_of_another_sweep(trained, make_sweep):
    def marks(truth):
        of_points = figure(results, "cascade", truth=truth).axes[0].collections
        return sum(len(c.get_offsets()) for c in of_points if isinstance(c, PathCollection))

    results = trained()
    near = results.points["sigma_b"].sub(0.525).abs() <= 0.05 * 0.95
    assert marks(None) == near.sum() > 0 and marks(make_sweep(count=20)) == 0


@pytest.mark.parametrize("kind", FIGURES)
def test_figures_with_nothing_to_show_say_so(make_sweep, kind):
    result = CliRunner().invoke(main, ["plot", str(make_sweep(count=0).path), "--kind", kind])
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) <= 4, result.output
    assert "needs" in result.stderr or "must hold" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("kind", ["truth", "roc", "reliability"])
def test_truth_without_trainings(make_sweep, kind):
    with pytest.raises(SpecError, match="12 trained points"):
        figure(make_sweep(), kind)


@pytest.mark.parametrize(
    ("fixed", "refused"),
    [
        ({"sigma_b": (0.3, 0.3)}, set()),
        ({"depth": (20, 20)}, {"paper"}),
        ({"sigma_w": (1.2, 1.2)}, {"truth", "paper", "cascade"}),
        ({"architecture": "resnet"}, set()),
    ],
)
def test_any_axes_are_drawn_or_refused(trained, fixed, refused):
    results, drawn = trained(**fixed), []
    for kind in (k for k in FIGURES if k != "reconstructions"):
        try:
            made = figure(results, kind)
        except SpecError as error:
            assert f"`kind` {kind} needs" in str(error)
        else:
            drawn.append(kind)
            assert all(ax.has_data() for ax in made.axes)
    assert set(FIGURES) - set(drawn) == {"reconstructions", *refused}


def test_of_many_points_some_are_drawn():
    ax = planes.phase(points(5000), boundary([11]))
    assert sum(len(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) > 1) <= 1002
    assert any("1,000 of 4,998 shown" in t for t in ax.get_legend_handles_labels()[1])


def test_a_style_changes_what_is_drawn(trained, tmp_path):
    path, style = str(trained().path), tmp_path / "mine.mplstyle"
    style.write_text("font.size: 14\naxes.facecolor: red\n")
    pictures = []
    for more in ([], ["--style", str(style)], ["--style", "ggplot"]):
        target = tmp_path / "x.png"
        result = CliRunner().invoke(main, ["plot", path, "--kind", "roc", "-o", str(target), *more])
        assert result.exit_code == 0, result.output
        pictures.append(target.read_bytes())
    assert len(set(pictures)) == 3


@pytest.mark.parametrize("style", ["no-such-style", "/dev/null/x", "https://127.0.0.1:1/x.mplstyle"])
def test_styles_that_there_are_not(make_sweep, style):
    result = CliRunner().invoke(main, ["plot", str(make_sweep(count=1).path), "--style", style])
    assert result.exit_code == 2 and "`style`" in result.stderr.replace("'--style'", "`style`")


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in DRAWN:
        matplotlib.image.imsave(PICTURES / f"{name}.png", pixels(name))
