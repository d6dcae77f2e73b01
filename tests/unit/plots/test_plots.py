import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection

from probes import Point
from sweep.plots.diagram import phase_diagram, save_phase_diagram
from sweep.plots.figures import View, profiles_figure
from sweep.plots.saving import save
from sweep.plots.style import VALUE_LABELS
from sweep.results.loading import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import FIXED, made_up


def labels(figure):
    return [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def test_the_phase_diagram_says_what_is_in_it(make_sweep):
    figure = phase_diagram(make_sweep())
    axes, bar = figure.axes
    assert r"$\sigma_w$" in axes.get_xlabel() and r"$\sigma_b$" in axes.get_ylabel()
    assert bar.get_ylabel() == "trainable depth (layers)"
    assert "64 points" in axes.get_title(loc="left")
    shown = labels(figure)
    assert {"boundary, depth 5", "its 90 % interval", "critical line, measured"} <= set(shown)
    assert any("mean field" in s for s in shown)
    marks = [c for c in axes.collections if isinstance(c, PathCollection)]
    assert sum(len(c.get_offsets()) for c in marks) == 64


@pytest.mark.parametrize(
    "fixed",
    FIXED,
)
@pytest.mark.parametrize(("count", "failed"), [(0, 0), (1, 0), (1, 1), (16, 2), (12, 12)])
def test_any_sweep_can_be_drawn(make_sweep, fixed, count, failed):
    points = 1 if len(fixed) == 3 else 16
    results = make_sweep(SweepSpec(points=points, **fixed), count=count, failed=failed)
    figure = phase_diagram(results)
    FigureCanvasAgg(figure).draw()
    axes, free = figure.axes[0], results.spec.free_axes
    marks = sum(len(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection))
    if len(free) >= 2:
        assert marks == count
    elif free:
        assert sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() != "None") == count - failed
    else:
        assert sum(line.get_linewidth() == 1.5 for line in axes.lines) == count - failed
    assert f"{count} points" in axes.get_title(loc="left")
    assert any("too few" in t.get_text() for t in axes.texts) == (bool(free) and count - failed < 10)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_written_by_its_ending(make_sweep, tmp_path, ending):
    path = save_phase_diagram(make_sweep(count=1), tmp_path / f"picture.{ending}")
    assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending])


def test_a_data_set_with_a_hostile_name(make_sweep, tmp_path):
    results = make_sweep(SweepSpec(dataset="/tmp/$x^{ $<&>.npz", points=5), count=5)
    figure = phase_diagram(results)
    save(figure, tmp_path / "picture.svg")  # raises where the name is taken for mathematics
    assert "<&>.npz" in figure.axes[0].get_title(loc="left")


def test_a_score_instead_of_a_horizon(make_sweep):
    results = make_sweep(SweepSpec(statistic="direct_retained", depth=(40, 40)), count=30)
    figure = phase_diagram(results)
    assert figure.axes[1].get_ylabel() == "margin at depth 40"
    assert np.isfinite(figure.axes[0].collections[0].get_array()).all()


def test_profiles_are_those_of_the_statistic(make_sweep):
    rows = []
    for i, w in enumerate((0.8, 1.2, 2.0)):
        m = made_up(Point(w, 0.3, 20, i))
        m.values.update(gradient_norm=w, gradient_ratio=w)
        m.profiles["gradient_norm"] = np.linspace(w, 0, 20)
        rows.append(row(m))
    results = make_sweep(SweepSpec(statistic="gradient_norm"), count=0)
    results.store.write(rows)
    ax = profiles_figure(load(results.path), View(5.0)).axes[0]
    assert ax.get_ylabel() == VALUE_LABELS["gradient_norm"]
    assert sorted(line.get_ydata()[0] for line in ax.lines) == [0.8, 1.2, 2.0]  # and no threshold


def test_an_architecture_without_a_theory_is_drawn_without_it(make_sweep):
    for fixed in ({}, {"sigma_b": (0.3, 0.3)}, {"sigma_b": (0.3, 0.3), "depth": (20, 20)}):
        folder = f"sweep{len(fixed)}"
        figure = phase_diagram(make_sweep(SweepSpec(architecture="resnet", **fixed), folder=folder))
        texts = labels(figure) + figure.axes[0].get_legend_handles_labels()[1]
        assert not any("mean field" in text for text in texts)
        assert "resnet" in figure.axes[0].get_title(loc="left")
