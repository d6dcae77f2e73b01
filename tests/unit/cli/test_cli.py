"""The command line is a contract: bad input is exit code 2, one clear line, nothing written."""

import contextlib
import inspect
import io
import json
import re
import shlex

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sweep.cli.main import main
from sweep.spec.axes import Axes
from sweep.spec.kinds import Address, Choice, Duration, Flag, Interval, Numbers, Range, Text
from sweep.spec.options import declared
from sweep.spec.spec import SweepSpec

OPTIONS = {field.name: told.kind for field, told in declared(SweepSpec)}
CHOICES = {name: kind.words for name, kind in OPTIONS.items() if isinstance(kind, Choice)}


def invoke(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refuses(result):
    """Exit code 2; after click's usage hint one line that says what is wrong; no traceback."""
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and len(errors[0]) > 20
    assert "Traceback" not in result.output and not result.stdout
    return errors[0]


def wrong_numbers(allowed):
    wrong = [-1, allowed.low - 1, allowed.high * 2 + 1, "1e999", "nan", "-inf", "abc", "", "0x10", "1;5", "--", "９e9"]
    if allowed.above:
        wrong.append(0)
    if allowed.whole:
        wrong += ["2.5", "1e3", 10**30]
    return [str(v) for v in wrong]


def wrong_values(kind):
    """Return values that an option of a kind may not have, as on the command line; pairs for an interval."""
    match kind:
        case Range():
            return wrong_numbers(kind)
        case Interval():
            wrong = wrong_numbers(kind.each)
            return [("3", v) for v in wrong] + [(v, "3") for v in wrong] + [("9", "3")]
        case Numbers():
            return [f"3,{v}" for v in wrong_numbers(kind.each)] + ["", ",", "3,,4"]
        case Choice():
            return ["", "BEST", "tanh2", "none,all", "\u2603"]
        case Address():
            return [
                "",
                "10.0.0.1",
                ":6379",
                "256.0.0.1:6379",
                "10.0.0.1:99999",
                "http://a:1",
                "ray://a:1",
                "[::g]:1",
                "a b:1",
            ]
        case Axes():
            wrong = [
                "",
                "width",
                "width 3",
                "width 1 2 3",
                "width 5 3",
                "width 1.5 2",
                "margin 1 2",
                "a.b 1 2",
                "heads 1 2",
            ]
            return [*wrong, "width 1 2 log log", "residual_scale 0 1 log", "lr 0.1 1"]
        case Text():
            return ["", "a\0b"]
        case Duration():
            return ["", "3", "h", "1.5h", "-1h", "soon", "0s"]
    return []


def is_told(kind, value, error):
    """Tell whether an error names the value and what is allowed."""
    allowed = {
        Range: lambda: [str(kind)],
        Interval: lambda: ["LO HI"] if value == ("9", "3") else [str(kind.each)],
        Numbers: lambda: [str(kind.each)],
        Choice: lambda: kind.words,
        Address: lambda: [str(kind)] if value else ["must be"],
        Text: lambda: ["must be"],
        Axes: lambda: ["must"],
        Duration: lambda: [str(kind)],
    }[type(kind)]()
    given = [value] if isinstance(value, str) else value
    if isinstance(kind, Axes):  # its messages name the word that is wrong
        given = [word for v in given for word in (v.split() or [""])]
    return all(word in error for word in allowed) and any(repr(v)[1:-1][:80] in error for v in given)


wrong = st.sampled_from(sorted(OPTIONS)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(wrong_values(OPTIONS[name]) or [None]))
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wrong=wrong, by_file=st.booleans())
def test_a_wrong_value_of_any_option(wrong, by_file, tmp_path):
    """From the command line and from a file: the option, the value and what is allowed are named."""
    name, value = wrong
    flag = "--" + name.replace("_", "-")
    if by_file or value is None:
        given = "yes" if value is None else value  # a flag has no value on the command line
        (tmp_path / "sweep.toml").write_text(f"{flag[2:]} = {json.dumps(given)}")
        error = refuses(invoke("run", "--out", tmp_path / "out", "--config", tmp_path / "sweep.toml"))
        assert value is not None or "true or false, got 'yes'" in error
    else:
        given = [f"{flag}={value}"] if isinstance(value, str) else [flag, *value]
        error = refuses(invoke("run", "--out", tmp_path / "out", *given))
    assert flag[2:] in error and (value is None or is_told(OPTIONS[name], value, error)), error
    assert not (tmp_path / "out").exists()


TOGETHER = [  # allowed alone
    ["--probe", "direct", "--statistic", "cascade_horizon"],
    ["--widths", "5,5", "--width", "5"],
    ["--widths", "5,5", "--depth", "2", "3"],
    ["--widths", "5,5", "--architecture", "shrinking"],
    ["--widths", ",".join(["5"] * 2001)],
    ["--width", "16384", "--depth", "2000", "2000"],
    ["--sigma-w", "1", "1", "--sigma-b", "1", "1", "--depth", "5", "9", "--points", "6"],
    ["--gpus-per-trial", "1.5"],
    ["--storage", "nonsense://x"],
    ["--config", "missing.toml"],
]


@pytest.mark.parametrize("command", [["run"], ["probe", "--sigma-w", 1, "--sigma-b", 0.1, "--depth", 5]])
def test_an_unknown_initialisation(command):
    error = refuses(invoke(*command, "--initialise", "xavier"))
    assert error.endswith("'xavier' is not one of 'normal', 'orthogonal', 'uniform', 'truncated-normal', 'function'.")


@pytest.mark.parametrize(
    "arguments",
    [
        *([option] for option in ("--colour", "--sigma", "extra", "--points=", "-z")),
        *(["--dataset", d] for d in ("imagenet", "x.npz", "/dev/null/y.npz", "../a.npy", "mnist", "a\nb")),
        *(["--sigma-w", "1"], ["--points"], ["--depth", "5"]),
        *TOGETHER,
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_malformed_command_lines(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuses(invoke("run", "--out", tmp_path / "out", *arguments))
    assert [p for p in tmp_path.iterdir() if p.name != "out"] == []
    assert not (tmp_path / "out" / "spec.json").exists()


toml_values = st.one_of(
    st.sampled_from(("true", "[]", "{}", "[1, 2, 3]", "'x'", "-7", "nan", "1e400", "[[1, 2]]", "1979-05-27", "''"))
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.builds(
            lambda name, value: f"{name} = {value}",
            st.sampled_from(
                sorted(n for n, kind in OPTIONS.items() if not isinstance(kind, Text | Flag | Numbers | Duration))
            ),
            toml_values,
        ),
        st.sampled_from(
            (
                "colour = 1",
                "points = ",
                "[points]",
                "points = 4\npoints = 5",
                "=",
                "[" * 3000,
                "out = 'x'\nout2 = 1",
            )
        ),
    )
)
def test_malformed_configs(text, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(text)
    refuses(invoke("run", "--out", tmp_path / "out", "--config", path))
    assert not (tmp_path / "out").exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
@example(data=b"colour = \xff")
def test_random_bytes_as_config_and_as_npz(data, tmp_path):
    config, npz = tmp_path / "config.toml", tmp_path / "set.npz"
    for path, option in ((config, "--config"), (npz, "--dataset")):
        path.write_bytes(b"?" + data)  # neither TOML nor zip begins so
        refuses(invoke("probe", "--sigma-w", 1, "--sigma-b", 0, "--depth", 1, option, path))


shapes = st.sampled_from(((0,), (5,), (0, 4), (5, 0), (1, 4), (6, 4), (6, 2, 2), (6, 2, 2, 3), (6, 1), (6, 2, 2, 2, 2)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    train=shapes,
    test=shapes,
    kind=st.sampled_from(("u1", "f4", "f8", "i8", "c16", "U3", "?")),
    labels=st.sampled_from((-1, 0, 3, 10**6)),
    fill=st.sampled_from(("random", "same", "nan", "inf", "huge")),
)
def test_any_npz_is_measured_or_refused(train, test, kind, labels, fill, tmp_path):
    random = np.random.default_rng(0)

    def images(shape):
        x = random.integers(0, 200, shape)
        if fill == "same":
            x[...] = 7
        x = x.astype(kind)
        if np.dtype(kind).kind == "f" and x.size and fill in ("nan", "inf", "huge"):
            x.flat[0] = {"nan": np.nan, "inf": np.inf, "huge": 3e38}[fill]
        return x

    path = tmp_path / "set.npz"
    np.savez(
        path,
        train_images=images(train),
        train_labels=np.full(train[0], labels),
        test_images=images(test),
        test_labels=np.full(test[0], labels),
    )
    result = invoke(
        "probe",
        "--sigma-w",
        1.2,
        "--sigma-b",
        0.1,
        "--depth",
        2,
        "--probe-steps",
        2,
        "--dataset",
        path,
        "--json",
    )
    if result.exit_code:
        refuses(result)
    else:
        assert json.loads(result.stdout)["status"] in ("ok", "diverged")


def test_widths_give_the_depth(tmp_path):
    base = ("probe", "--sigma-w", 1.3, "--sigma-b", 0.2, "--depth", 2, "--probe-steps", 2, "--json")
    assert json.loads(invoke(*base, "--widths", "30,20,10").stdout)["status"] == "ok"
    assert "at most 1, the number of widths" in refuses(invoke(*base, "--widths", "30"))
    (tmp_path / "c.toml").write_text("widths = [30, 20, 10]")
    assert json.loads(invoke(*base, "--config", tmp_path / "c.toml").stdout)["status"] == "ok"


@pytest.mark.parametrize("architecture", ["conv", "resnet"])
def test_convolutions_need_images_of_two_dimensions(architecture, tmp_path):
    x, y = np.random.default_rng(0).random((20, 7)), np.arange(20) % 3
    np.savez(tmp_path / "flat.npz", train_images=x, train_labels=y, test_images=x, test_labels=y)
    for command in (("probe", "--sigma-w", 1, "--sigma-b", 0, "--depth", 1), ("run", "--out", tmp_path / "out")):
        said = refuses(invoke(*command, "--dataset", tmp_path / "flat.npz", "--architecture", architecture))
        assert "'--architecture'" in said and "without height and width" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("architecture", CHOICES["architecture"])
def test_every_architecture_is_probed_and_trained(architecture):
    base = ("probe", "--sigma-w", 1.3, "--sigma-b", 0.2, "--depth", 2, "--probe-steps", 2, "--decoded-layers", "all")
    result = invoke(
        *base, "--architecture", architecture, "--train", "all", "--epochs", 1, "--train-images", 64, "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["status"] == "ok" and 0 <= found["accuracy"] <= 1


@pytest.mark.parametrize("file", ["x.txt", "missing/x.png", ""])
def test_pictures_that_cannot_be_written(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("probe", "--sigma-w", 1, "--sigma-b", 0, "--depth", 1, "--images-out", file)
    assert "'--images-out'" in refuses(result) and not list(tmp_path.iterdir())


@settings(max_examples=80, deadline=None)
@given(
    sigma_w=st.sampled_from((1e-9, 0.5, 1.3, 20)),
    sigma_b=st.sampled_from((0, 1e-9, 0.2, 20)),
    depth=st.sampled_from((1, 2, 5)),
    activation=st.sampled_from(CHOICES["activation"]),
    probe=st.sampled_from(CHOICES["probe"]),
    images=st.sampled_from((16, 65, 10_000_000)),
    width=st.sampled_from((1, 3, 64)),
    steps=st.sampled_from((1, 4)),
    seed=st.sampled_from((0, 2**31 - 1)),
    penalty=st.sampled_from((1e-9, 1e3)),
    threshold=st.sampled_from((0.001, 0.999)),
    resize=st.sampled_from((2, 5)),
)
def test_valid_points_at_the_edges_are_measured(
    sigma_w, sigma_b, depth, activation, probe, images, width, steps, seed, penalty, threshold, resize
):
    result = invoke(
        "probe",
        "--sigma-w",
        sigma_w,
        "--sigma-b",
        sigma_b,
        "--depth",
        depth,
        "--activation",
        activation,
        "--probe",
        probe,
        "--images",
        images,
        "--width",
        width,
        "--probe-steps",
        steps,
        "--seed",
        seed,
        "--penalty",
        penalty,
        "--threshold",
        threshold,
        "--resize",
        resize,
        "--json",
    )
    assert result.exit_code == 0, (result.output, result.exception)
    found = json.loads(result.stdout)
    assert found["status"] in ("ok", "diverged") and found["margin"] is not None
    assert all(len(v) == depth and None not in v for v in found["profiles"].values())


def test_a_point_is_printed_for_people():
    result = invoke("probe", "--sigma-w", 1.3, "--sigma-b", 0.2, "--depth", 40, "--probe-steps", 20)
    assert result.exit_code == 0 and "direct_retained" in result.stdout and "█" in result.stdout
    assert "predicted" in result.stdout


def test_resume_and_the_readers_refuse_what_is_no_sweep(tmp_path):
    for command in ("resume", "status", "results", "plot"):
        assert "is no sweep" in refuses(invoke(command, tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("out", ["/dev/null/x", "/proc/nothing/x", "x" * 300])
def test_an_out_that_cannot_be_written(out):
    assert "'--out'" in refuses(invoke("run", "--points", 1, "--out", out))


def test_storage_that_cannot_be_read(tmp_path):
    path = tmp_path / "sweep"
    path.mkdir()
    SweepSpec(storage="nonsense://x", points=20).save(path / "spec.json")
    for command in ("status", "results", "plot", "resume"):
        refuses(invoke(command, path))


@pytest.mark.parametrize("size", [512, 10**9])
def test_images_larger_than_memory(size):
    refuses(invoke("probe", "--sigma-w", 1, "--sigma-b", 0, "--depth", 1, "--dataset", "noise", "--resize", size))


def test_an_existing_sweep_is_not_overwritten(make_sweep):
    results = make_sweep()
    before = (results.path / "spec.json").read_bytes()
    assert "sweep resume" in refuses(invoke("run", "--out", results.path))
    assert (results.path / "spec.json").read_bytes() == before


def test_the_budget_can_only_be_raised(make_sweep):
    assert "at least 64" in refuses(invoke("resume", make_sweep().path, "--points", 10))


@pytest.mark.parametrize("ending", ["jpg", "", "html"])
def test_pictures_of_another_kind_are_refused(make_sweep, ending):
    assert "must end in .png" in refuses(invoke("plot", make_sweep().path, "-o", f"x.{ending}"))


@pytest.mark.parametrize("command", ["plot", "results"])
def test_an_output_that_cannot_be_written(make_sweep, command):
    assert "cannot be written" in refuses(invoke(command, make_sweep().path, "-o", "/dev/null/x.png"))


def test_status(make_sweep):
    results = make_sweep(failed=2)
    found = json.loads(invoke("status", results.path, "--json").stdout)
    assert {"total", "done", "failed", "running", "critical_line"} <= found.keys()
    assert (found["total"], found["done"], found["failed"], found["running"]) == (64, 62, 2, 0)
    assert found["last_error"] == "RuntimeError: <b>no & luck</b>"
    assert found["critical_line"][0].keys() == {"sigma_b", "sigma_w", "lower", "upper"}
    assert "62 of 64 done" in invoke("status", results.path).stdout


def test_status_tells_the_error_of_the_boundary(make_sweep):
    spec = SweepSpec(points=64, until_boundary_error=0.01)
    path = make_sweep(spec).path
    found = json.loads(invoke("status", path, "--json").stdout)
    assert 0 < found["boundary_error"] < 0.2 and found["until_boundary_error"] == 0.01
    text = invoke("status", path).stdout
    assert f"boundary: {100 * found['boundary_error']:.2g} % of the range" in text and "stops at 1 %" in text


def test_the_boundary_at_any_depth(make_sweep):
    path = make_sweep(count=120).path
    frame = pd.read_csv(io.StringIO(invoke("results", path, "--table", "boundary", "--depths", "8,26").stdout))
    assert sorted(frame["depth"].unique()) == [8, 26]
    refuses(invoke("results", path, "--table", "boundary", "--depths", "4"))
    refuses(invoke("results", path, "--table", "points", "--depths", "8"))
    refuses(invoke("results", path, "--table", "boundary", "--depths", "8,x"))


def test_watch_and_verbose_are_refused_where_they_make_no_sense(make_sweep, tmp_path):
    path = make_sweep().path
    for command in (("run", "--out", tmp_path / "x"), ("resume", path)):
        result = invoke(*command, "--verbose", "--quiet")
        refuses(result)
        assert "'--verbose': must be left out where `quiet` is given" in result.stderr
    result = invoke("status", path, "--watch", "--json")
    refuses(result)
    assert "'--json': must be left out where `watch` is given" in result.stderr
    refuses(invoke("status", tmp_path / "nothing", "--watch"))


def test_watch_ends_with_the_sweep(make_sweep):
    result = invoke("status", make_sweep().path, "--watch")
    assert result.exit_code == 0 and result.stdout.splitlines()[-1] == "done"
    assert "64/64 done" in result.stdout and "\x1b" not in result.stdout


def test_status_of_a_sweep_that_has_just_begun(make_sweep):
    found = json.loads(invoke("status", make_sweep(count=0).path, "--json").stdout)
    assert found["critical_line"] == [] and found["done"] == 0


@pytest.mark.parametrize("table", ["points", "profiles", "truth", "boundary"])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_results(make_sweep, table, kind):
    result = invoke("results", make_sweep().path, "--table", table, "--format", kind)
    assert result.exit_code == 0
    if kind == "json":
        assert isinstance(json.loads(result.stdout), list)
    else:
        assert "sigma_b" in result.stdout.splitlines()[0]


def test_plot_by_ending(make_sweep, tmp_path):
    path = make_sweep().path
    for ending, magic in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        target = tmp_path / f"x.{ending}"
        assert invoke("plot", path, "--kind", "profiles", "-o", target).exit_code == 0
        assert target.read_bytes().startswith(magic)
    assert invoke("plot", path).exit_code == 0 and (path / "phase_diagram.png").exists()


def test_theory():
    rows = json.loads(invoke("theory", "--sigma-b", 0.2236068, 0.2236068, "--sigma-w", 1.3, "--json").stdout)
    assert len(rows) == 1 and rows[0]["critical_sigma_w"] == pytest.approx(1.3270096628, abs=1e-6)
    assert rows[0].keys() == {"sigma_b", "critical_sigma_w", "sigma_w", "q_star", "chi_1", "c_star", "xi_c"}
    text = invoke("theory", "--sigma-b", 0, 1, "--activation", "relu").stdout
    assert "1.41421" in text
    assert invoke("theory", "--sigma-b", 0, 1, "--activation", "relu", "--sigma-w", 3).stdout.count("inf") > 5
    assert "1.09" in invoke("theory", "--sigma-b", 0.05, 0.05, "--activation", "sin").stdout
    refuses(invoke("theory", "--sigma-b", 0, 1, "--activation", "swish"))
    refuses(invoke("theory", "--sigma-b", 1, 0))
    refuses(invoke("theory", "--sigma-b", "nan", 1))
    refuses(invoke("theory", "--sigma-b", 0, 1, "--sigma-w", 0))


def test_config_is_overridden_by_the_command_line(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("json = true\nprobe-steps = 3\nimages = 100\nactivation = 'erf'\ndownload = false\n")
    base = ("probe", "--sigma-w", 1.3, "--sigma-b", 0.2, "--depth", 2, "--config", path)
    assert json.loads(invoke(*base).stdout)["probe_steps"] == 3
    assert json.loads(invoke(*base, "--probe-steps", 5).stdout)["probe_steps"] == 5


def test_the_sequence_of_points_is_a_key_of_configurations_alone(tmp_path):
    (tmp_path / "old.toml").write_text("sequence = 0\nsearch = 'sobol'\n")
    run = main.commands["run"]
    for arguments, sequence in ((["--config", str(tmp_path / "old.toml")], 0), ([], 1)):
        assert run.make_context("run", arguments).params["sequence"] == sequence
    assert "--sequence" in refuses(invoke("run", "--sequence", 0)) and "sequence" not in invoke("run", "--help").stdout
    assert "'--sequence'" in refuses(invoke("launch", "slurm", "--", "--config", tmp_path / "old.toml"))


def commands(group=main, path=()):
    """Every command and group by its words, such as ``launch docker``."""
    for name, command in sorted(group.commands.items()):
        yield " ".join([*path, name]), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_has_help_and_an_example(name, command):
    (example,) = re.findall(r"^Example: (sweep .*(?:\n  .+)*)\Z", inspect.cleandoc(command.help), re.MULTILINE)
    assert f"{example} ".startswith(f"sweep {name} ")
    assert len(command.help.splitlines()[0]) < 110
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name
    words = shlex.split(example)[1:]
    with contextlib.ExitStack() as contexts:
        context, found = contexts.enter_context(click.Context(main)), main
        while isinstance(found, click.Group):
            found = found.commands[words[0]]
            context = contexts.enter_context(found.make_context(words[0], words[1:], parent=context))
            words = words[1:]


def test_compare(make_sweep):
    assert "is no sweep" in refuses(invoke("compare", "/nowhere"))
    results = make_sweep()
    assert "at least 12 trained points, got 0" in refuses(invoke("compare", results.path))
    assert "must end in .png" in refuses(invoke("compare", results.path, "-o", "x.txt"))


def test_a_preset_is_overridden_by_what_is_said():
    command = main.commands["run"]
    with click.Context(main) as parent:
        found = command.make_context("run", ["--preset", "paper", "--lr", "0.01,0.1"], parent=parent).params
    assert (found["train"], found["epochs"], found["level"], found["train_images"]) == ("all", 200, 0.4, 60_000)
    assert found["lr"] == (0.01, 0.1)
    assert "'--preset'" in refuses(invoke("run", "--preset", "mine"))
