"""When a training ends. How often that is right, the study's training curves say."""

import math

import pytest

from probes import TrainingSettings
from probes.training.ending import is_over

CHANCE = 0.1


def epochs_run(accuracy, loss, epochs=None, **settings):
    """Return after which epoch a training ends whose curves would be these."""
    settings, epochs = TrainingSettings(**settings), epochs or len(loss)
    return next(n for n in range(1, len(loss) + 1) if is_over(accuracy[:n], loss[:n], settings, epochs))


def flat(epochs):
    """Return the curves of a network that learns the frequencies of the classes, and nothing else."""
    return [CHANCE] * epochs, [2.35, *(math.log(10) + 1e-3 * (-1) ** n for n in range(1, epochs))]


@pytest.mark.parametrize(("epochs", "ended"), [(15, 5), (67, 16), (10, 5), (200, 42), (3, 3), (1, 1)])
def test_a_flat_curve_ends_early_whatever_the_number_of_epochs(epochs, ended):
    """A fifth of the epochs after its loss came down to that of chance, in the second one."""
    assert epochs_run(*flat(epochs), patience="auto") == ended
    assert epochs_run(*flat(epochs)) == epochs


@pytest.mark.parametrize("epochs", [3, 10, 15, 67])
def test_a_falling_loss_does_not_end_a_training_while_accuracy_is_that_of_chance(epochs):
    loss = [2.3 * (1 - 0.12 * n / epochs) for n in range(epochs)]
    assert epochs_run([CHANCE] * epochs, loss, patience="auto") == epochs


@pytest.mark.parametrize("epochs", [10, 15, 67])
def test_a_rising_accuracy_does_not_end_a_training_while_its_loss_oscillates(epochs):
    accuracy = [CHANCE + 0.4 * n / epochs for n in range(epochs)]
    assert epochs_run(accuracy, [2.3, 5.1] * epochs, epochs, patience="auto") == epochs


def test_an_oscillation_without_a_trend_ends_early():
    assert epochs_run([0.12, 0.09, 0.11] * 5, [4.0, 7.5, 5.2] * 5, patience="auto") == 4


def test_a_network_that_forgets_may_recover_for_a_fifth_of_the_epochs():
    up, down = [1.9 - 0.1 * n for n in range(7)], [2.4] * 8
    accuracy = [0.2 + 0.02 * n for n in range(7)] + [CHANCE] * 8
    assert epochs_run(accuracy, up + down, patience="auto") == 7 + 3
    assert epochs_run(accuracy, [*up, 2.4, 2.4, *(1.2 - 0.1 * n for n in range(6))], patience="auto") == 15


@pytest.mark.parametrize("patience", [None, 5, "auto"])
def test_a_training_that_diverged_is_over(patience):
    assert epochs_run([CHANCE] * 9, [2.3, 2.2, *[math.inf] * 7], patience=patience) == 3


@pytest.mark.parametrize("patience", [None, 5, "auto"])
def test_a_training_that_has_reached_its_level_is_over(patience):
    accuracy = [CHANCE + 0.1 * n for n in range(8)]
    assert epochs_run(accuracy, [2.3 - 0.2 * n for n in range(8)], level=0.45, patience=patience) == 5


def test_a_number_of_epochs_is_a_patience_of_so_many():
    accuracy, loss = flat(30)
    assert [epochs_run(accuracy, loss, patience=n) for n in (1, 4, 9, 29)] == [3, 6, 11, 30]
    falling = [2.3 * 0.998**n for n in range(30)]  # by 0.2 % an epoch: more than 0.1 %, with the smallest patience
    assert epochs_run(accuracy, falling, patience=1) == 30
    assert epochs_run([CHANCE + 0.006 * n for n in range(30)], [2.3] * 30, patience=1) == 30
    assert epochs_run([CHANCE + 0.004 * n for n in range(30)], [2.3] * 30, patience=1) == 2


@pytest.mark.parametrize("patience", ["foo", "", 0, -1, 2.5])
def test_nonsense_is_refused(patience):
    with pytest.raises(ValueError, match="`patience` must be auto or a positive whole number, got"):
        TrainingSettings(patience=patience)
