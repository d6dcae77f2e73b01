import pytest

from probes import ProbeSettings, TrainingSettings
from probes.memory import peak_bytes


@pytest.fixture(scope="module")
def estimate(digits):
    def estimate(*arguments, **settings):
        return peak_bytes(ProbeSettings(**settings), digits, *arguments)

    return estimate


@pytest.mark.parametrize("architecture", ["mlp", "published", "shrinking", "conv", "resnet"])
def test_the_estimate_is_that_of_the_greediest_phase(estimate, architecture):
    direct, cascade, both = (estimate(20, 8, probe=p, architecture=architecture) for p in ("direct", "cascade", "both"))
    assert both == max(direct, cascade)


def test_many_networks_in_training_take_more_than_their_probes(estimate):
    many = TrainingSettings(lr=tuple(0.001 * n for n in range(1, 40)))
    assert estimate(20, 8, train="all", training=many) > estimate(20, 8)


def test_a_larger_pack_of_cascades_takes_more_and_of_direct_probes_as_much(estimate):
    assert estimate(20, 64, probe="cascade") > estimate(20, 1, probe="cascade")
    assert estimate(20, 64, probe="direct") == estimate(20, 1, probe="direct")


def test_adam_takes_more_than_sgd(estimate):
    sgd, adam = (
        estimate(200, 16, probe="direct", train="all", training=TrainingSettings(optimizer=o)) for o in ("sgd", "adam")
    )
    assert adam > 2 * sgd
