import numpy as np
import pytest

from probes import Point, ProbeSettings, TrainingSettings
from probes.pictures import gallery
from probes.prober import Prober

SETTINGS = {"training": TrainingSettings(epochs=8), "probe_steps": 1500}


@pytest.fixture(scope="module")
def drawn(digits):
    calls = []
    return gallery(Prober(digits, ProbeSettings(**SETTINGS)), Point(1.4, 0.1, 4), lambda: calls.append(1)), calls


def test_what_is_in_a_gallery(drawn):
    pictures, calls = drawn
    assert len(calls) == 8 and pictures.layers == [1, 2, 3, 4, 5]
    assert len(set(pictures.labels)) == 4 and pictures.originals.shape == (4, 64)
    for state in (pictures.before, pictures.after):
        assert state.reconstructions.shape == (5, 4, 64) and state.favourites.shape == (10, 64)


def test_reconstructions_are_of_the_images_shown(drawn):
    pictures, _ = drawn
    for state in (pictures.before, pictures.after):
        distance = ((state.reconstructions[0][:, None] - pictures.originals[None]) ** 2).sum(2)
        assert distance.argmin(1).tolist() == [0, 1, 2, 3]


def test_favourites_of_a_trained_network_are_like_the_classes_and_of_a_random_one_not(drawn, digits):
    pictures, _ = drawn
    means = np.stack([digits.train[digits.train_labels == c].mean(0).numpy() for c in range(10)])

    def agreement(favourites):
        """Count the favourites that, without the mean image, correlate most with their own class."""
        a, b = favourites - favourites.mean(0), means - means.mean(0)
        correlation = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
        return int((correlation.argmax(1) == np.arange(10)).sum())

    assert agreement(pictures.after.favourites) >= 6 > 4 >= agreement(pictures.before.favourites)


def test_a_network_that_diverges_has_no_pictures(digits):
    settings = ProbeSettings(activation="relu", training=TrainingSettings(epochs=1, images=64), probe_steps=2)
    pictures = gallery(Prober(digits, settings), Point(20.0, 0.5, 30))
    assert pictures.before is None and pictures.after is None
