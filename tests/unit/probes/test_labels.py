"""Labels that are numbered anew, and those that are refused."""

import numpy as np
import pytest

from probes import images_of
from probes.own_data import DatasetError

IMAGES = np.random.default_rng(0).random((20, 4, 4))


def of(train, test):
    return images_of(IMAGES, train, IMAGES[:10], test, name="mine")


def ordered(*classes):
    return np.resize(classes, 20), np.resize(classes, 10)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (range(0, 10_000, 1000), "the labels of 'mine' (10: 0, 1000, 2000, ..., 9000) are numbered anew, from 0 to 9"),
        (range(1, 11), "the labels of 'mine' (10: 1, 2, 3, ..., 10) are numbered anew, from 0 to 9"),
        ((3, 5), "the labels of 'mine' (2: 3, 5) are numbered anew, from 0 to 1"),
        ((0, 1, 3), "the labels of 'mine' (3: 0, 1, 3) are numbered anew, from 0 to 2"),
        ((9999,), "the labels of 'mine' (1: 9999) are numbered anew, from 0 to 0"),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.uint16])
def test_gaps_in_labels_are_closed_and_told_of(labels, told, dtype, caplog):
    train, test = (x.astype(dtype) for x in ordered(*labels))
    images = of(train, test)
    expected = of(np.searchsorted(list(labels), train), np.searchsorted(list(labels), test))
    assert images.classes == len(labels) == expected.classes
    assert images.train_labels.tolist() == expected.train_labels.tolist()
    assert images.test_labels.tolist() == expected.test_labels.tolist()
    assert [r.getMessage() for r in caplog.records] == [f"{told} in this order"]


def test_labels_without_a_gap_are_left_alone(caplog):
    train, test = ordered(2, 0, 1)
    images = of(train, test)
    assert images.classes == 3 and np.bincount(images.train_labels).tolist() == np.bincount(train).tolist()
    assert not caplog.records


def test_labels_that_training_images_lack_are_told_of(caplog):
    images = of(ordered(0, 2)[0], ordered(0, 1, 2)[1])
    assert images.classes == 3 and [r.getMessage() for r in caplog.records] == [
        "no training image of 'mine' has the label 1, which test images have"
    ]


def test_labels_that_test_images_lack_are_classes_all_the_same(caplog):
    assert of(ordered(0, 1, 2)[0], ordered(0, 2)[1]).classes == 3 and not caplog.records


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (ordered(-1, 1)[0], "train_labels of 'mine' must be from 0 to 9999, got -1 to 1"),
        (ordered(0, 10_000)[0], "train_labels of 'mine' must be from 0 to 9999, got 0 to 10000"),
        (ordered(0.0, 1.0)[0], r"must be 20 integers, got float64 of shape \[20\]; labels.astype\(int\)"),
        (ordered(True, False)[0], r"must be 20 integers, got bool of shape \[20\]; labels.astype\(int\)"),
        (np.eye(3)[ordered(0, 1, 2)[0]], r"must be 20 integers, got float64 of shape \[20, 3\]; labels.argmax"),
        (np.eye(3, dtype=int)[ordered(0, 1, 2)[0]], r"must be 20 integers, got int64 of shape \[20, 3\]; labels.argm"),
        (ordered("cat", "dog")[0], r"must be 20 integers, got <U3 of shape \[20\]; np.unique"),
        (ordered("cat", "dog")[0].astype(object), r"must be 20 integers, got object of shape \[20\]; np.unique"),
        (np.zeros(19, int), r"must be 20 integers, got int64 of shape \[19\]; one for each image"),
        (np.int64(3), r"must be 20 integers, got int64 of shape \[\]; one for each image"),
    ],
)
def test_other_labels_are_refused_with_what_to_do(labels, match):
    with pytest.raises(DatasetError, match=match) as caught:
        of(labels, ordered(0, 1)[1])
    assert "\n" not in str(caught.value)


def test_a_column_of_labels_is_allowed():
    train, test = ordered(0, 1)
    assert of(train[:, None], test[:, None]).classes == 2
