"""The examples run, and what they show is so."""

from tests.examples import train_what_can_be_trained


def test_only_the_network_on_the_critical_line_is_trained(tmp_path):
    accuracies = train_what_can_be_trained.main(tmp_path)
    assert accuracies["critical line"] > 0.7 and accuracies["torch's default"] < 0.2
    assert (tmp_path / "trained.png").stat().st_size > 0
