"""The command line of SLURM's launcher."""

import pytest

from sweep.errors import SpecError
from sweep.launch.plan import template
from tests.helpers.slurm import plan


def test_the_command_line():
    script = str(template("slurm/sweep.sbatch"))
    [command] = plan().commands
    assert command[:2] == ["sbatch", "--job-name=a-sweep"]
    assert command[2:5] == ["--nodes=2", "--cpus-per-task=1", "--time=10"]
    assert command[5:] == [script, "runs/x", "--points", "8"]
    [command] = plan("a dir", (), gpus=4, partition="gpu", account="me").commands
    assert command[-5:] == ["--time=10", "--partition=gpu", "--account=me", script, "a dir"]
    assert "--gpus-per-node=4" in command
    assert "sweep status 'a dir' --json" in plan("a dir").watch and "tail -F a-sweep-*.log" in plan().watch
    assert "scp -r" in plan().fetch and "scp" not in plan("s3://bucket/x").fetch
    assert "scancel" in plan().stop and not plan().files


def test_further_options_of_sbatch_and_a_line_of_the_shell():
    [command] = plan(sbatch=("--mem=64G", "--exclusive", "--gres=gpu:a100:2"), setup="module load cuda").commands
    assert command[:3] == ["env", "SWEEP_SETUP=module load cuda", "sbatch"]
    at = command.index("--mem=64G")
    assert command[at + 1 : at + 3] == ["--exclusive", "--gres=gpu:a100:2"] and command[at + 3].endswith("sweep.sbatch")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("mem=64G", "must be an option of sbatch"),
        ("-N2", "must be an option of sbatch"),
        ("", "must be an option of sbatch"),
        ("--nodes=3", "must not be --nodes, which is set"),
        ("--array=0-9", "must not be --array: a sweep is one job"),
        ("--wrap=ls", "must not be --wrap"),
    ],
)
def test_what_a_sweep_cannot_have(option, says):
    with pytest.raises(SpecError, match=f"^`sbatch` {says}"):
        plan(sbatch=(option,))


@pytest.mark.parametrize("time", ["5", "90:30", "4:00:00", "2-0", "2-12:30", "0-0:05:00", "1-2:30:10"])
def test_times_of_slurm(time):
    assert f"--time={time}" in plan(time=time).commands[0]


@pytest.mark.parametrize(
    "time", ["", "4", "4:59", "0:04:59", "0", "4h", "-5", "1-", "1:2:3:4", " 5", "5\n", "9" * 5000]
)
def test_other_times_are_refused(time):
    with pytest.raises(SpecError, match=r"^`time` must be at least 5 minutes, .* got "):
        plan(time=time)
