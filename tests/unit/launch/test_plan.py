"""Plans: what is shown, written and run."""

import stat
import subprocess
from dataclasses import replace

import pytest

from sweep.errors import SpecError
from sweep.launch.plan import Job, Plan, script

WORDS = {"watch": "w", "fetch": "f", "stop": "s"}


def test_text_shows_all_but_secrets(tmp_path):
    plan = Plan([["a", "b c"]], **WORDS, stdin="in hush", files={tmp_path / "x": "text hush\n"}, secrets=("hush",))
    text = plan.text()
    assert "hush" not in text and text.count("(made anew when submitted)") == 2
    assert f"# {tmp_path / 'x'}\ntext" in text and text.endswith("$ a 'b c'")
    assert list(tmp_path.iterdir()) == []
    assert plan.advice().splitlines() == ["watch   w", "fetch   f", "stop    s"]


def test_submit_writes_privately_then_runs_in_order(tmp_path):
    path = tmp_path / "deep" / "x"
    path.parent.mkdir()
    path.write_text("old and open to all")
    path.chmod(0o644)
    commands = [["sh", "-c", f"cat '{path}'"], ["cat"]]
    assert Plan(commands, **WORDS, stdin="in", files={path: "new"}).submit() == "new\nin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = tmp_path / "deeper" / "y"
    Plan([], **WORDS, files={other: ""}).submit()
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_what_fails_is_named_and_ends_it(tmp_path):
    never = tmp_path / "never"
    for first, message in (
        (["sh", "-c", "echo no such partition >&2; exit 3"], "'sh' failed with exit code 3: no such partition"),
        (["no-such-program"], "'no-such-program' cannot be run here: No such file"),
    ):
        with pytest.raises(SpecError, match=message):
            Plan([first, ["touch", str(never)]], **WORDS).submit()
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="cannot be written"):
        Plan([["touch", str(never)]], **WORDS, files={tmp_path / "file" / "x": ""}).submit()
    assert not never.exists()


def test_script_runs_or_resumes_but_only_what_was_begun(tmp_path):
    fixed = ("--dataset", "it's $HOME.npz")
    job = Job(
        *("first", "out", (*fixed, "--points", "6")), nodes=1, cpus=1, gpus=0, again=("--points", "9"), fixed=fixed
    )
    (tmp_path / "results" / "first").mkdir(parents=True)
    program = tmp_path / "sweep"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$RAY_AUTH_MODE" "$@"; exit 7\n')
    program.chmod(0o755)

    def ran(job):
        text = script(job).replace("/results", str(tmp_path / "results"))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr

    out = str(tmp_path / "results" / "first")
    for _ in range(2):  # as long as it was not begun
        assert ran(job) == (7, ["token", "run", "--out", out, "--address", "auto", *job.arguments], "")
    (tmp_path / "results" / "first" / "spec.json").touch()
    assert ran(job) == (7, ["token", "resume", out, "--address", "auto", "--points", "9"], "")
    code, printed, error = ran(replace(job, fixed=("--dataset", "mnist")))
    assert (code, printed) == (2, []) and "another --name" in error and "HOME.npz" in error
    assert ran(job)[0] == 7
