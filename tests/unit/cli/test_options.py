"""An option is declared once, and is everywhere."""

from dataclasses import asdict, dataclass, replace

import click
import pytest
from click.testing import CliRunner

from sweep.cli.config import config_option
from sweep.cli.main import main
from sweep.cli.options import Sectioned, spec_options
from sweep.cli.shared import bad_input_is_usage
from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from sweep.report import content
from sweep.spec.experiment import Measuring
from sweep.spec.kinds import Range
from sweep.spec.network import Network
from sweep.spec.options import changeable, declared, names, option
from sweep.spec.spec import SweepSpec


@dataclass(frozen=True, kw_only=True)
class ColouredNetwork(Network):
    colour: int = option(3, Range(1, 9), "Of the weights.", measured=True, changeable=True)


@dataclass(frozen=True, kw_only=True)
class Coloured(SweepSpec, ColouredNetwork):
    """A spec with one option more, in one of its parts."""


@click.command("coloured", cls=Sectioned)
@spec_options(names(Coloured), spec=Coloured)
@config_option
@bad_input_is_usage
def coloured(**fields):
    click.echo(Coloured(**fields).colour)


def run(*arguments):
    return CliRunner().invoke(coloured, arguments)


def test_a_new_option_is_an_option_of_the_command_line(tmp_path):
    assert run().stdout == "3\n" and run("--colour", "4").stdout == "4\n"
    assert "'--colour': '10' is not a whole number from 1 to 9" in run("--colour", "10").stderr
    help_text = run("--help").stdout
    network = help_text.partition("\nNetwork:\n")[2].partition("\n\n")[0]
    assert "--colour N" in network and "Of the weights. [a whole number from 1 to 9]" in " ".join(network.split())
    (tmp_path / "sweep.toml").write_text("colour = 5")
    assert run("--config", str(tmp_path / "sweep.toml")).stdout == "5\n"


def test_a_new_option_is_checked_saved_and_read(tmp_path):
    with pytest.raises(SpecError, match="`colour` must be a whole number from 1 to 9, got 0"):
        Coloured(colour=0)
    Coloured(colour=4).save(tmp_path / "spec.json")
    assert Coloured.read(tmp_path / "spec.json").colour == 4


def test_a_new_option_counts_as_it_says():
    assert Coloured().digest == SweepSpec().digest != Coloured(colour=4).digest  # sweeps of before go on
    assert "colour" in changeable(Coloured) and "colour" in names(Coloured, Measuring)
    assert Coloured(colour=4).identity.keys() == SweepSpec().identity.keys()


def test_a_new_option_is_in_the_report():
    spec = Coloured(colour=4)
    assert ["colour", "4", False] in content._settings(spec)
    assert "--colour 4" in content._command(spec)


def test_a_word_may_be_a_value_or_stand_for_none(tmp_path):
    """With patience the word is a value of its own, since no value means that no training ends early."""
    for patience, shown in ((None, "not given"), (7, "7"), ("auto", "auto")):
        spec = SweepSpec(patience=patience)
        assert ["patience", shown, patience is None] in content._settings(spec)
        assert (patience is None) == ("--patience" not in content._command(spec))
        assert (
            SweepSpec.from_json(spec.as_json(), "spec.json") == spec
            and probe_settings(spec).training.patience == patience
        )
    assert {("epochs", "auto"), ("study", "none")} <= {
        (name, shown) for name, shown, _ in content._settings(SweepSpec())
    }


@pytest.mark.parametrize("value", ["foo", "0", "-1", "2.5", "Auto"])
def test_a_number_or_word_that_is_neither_is_refused_in_one_line(value, tmp_path):
    (tmp_path / "sweep.toml").write_text(f'patience = "{value}"')
    for arguments in (["--patience", value], ["--config", str(tmp_path / "sweep.toml")]):
        result = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "out"), *arguments])
        lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert result.exit_code == 2 and not (tmp_path / "out").exists()
        assert lines == [
            f"Error: Invalid value for '--patience': '{value}' is not auto or a whole number from 1 to 100000."
        ]


@pytest.mark.parametrize("command", ["run", "probe", "resume", "bench", "doctor"])
def test_options_of_a_spec_are_what_their_declarations_say(command):
    known = {field.name: told for field, told in declared(SweepSpec)}
    shared = [p for p in main.commands[command].params if p.name in known and type(p) is not click.Option]
    assert shared
    for param in shared:
        assert param.help.startswith(known[param.name].help)


def test_every_option_is_one_of_run():
    assert names(SweepSpec) == [p.name for p in main.commands["run"].params if p.name in names(SweepSpec)]
    versions = {"definition", "sequence", "calibration"}
    assert {*asdict(SweepSpec())} - {*names(SweepSpec)} == {*versions, "first_points", "fingerprint", "code", "nested"}


def test_defaults_that_depend_on_others_are_worked_out_anew():
    spec = replace(SweepSpec(), probe="cascade", widths=(9, 8, 7))
    assert (spec.statistic, spec.depth) == ("cascade_correlation_horizon", (3, 3))
    assert replace(spec, probe="both", widths=None) == SweepSpec()
    given = SweepSpec(statistic="direct_retained", depth=(5, 60))
    assert replace(given, points=9).statistic == "direct_retained"
    with pytest.raises(SpecError, match="`statistic` must be one that probe 'cascade' measures"):
        replace(given, probe="cascade")
    with pytest.raises(SpecError, match="`depth` must be at most 3"):
        replace(given, widths=(9, 8, 7))
