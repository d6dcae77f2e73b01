"""Pixels of a user's images, brought to the range from 0 to 1."""

import logging

import numpy as np
import torch

from probes.errors import DatasetError

_TINY = 0.1  # share of the whole range; what is within it looks all but equal beside the rest
_RARE = 0.01  # share of the images that do not count as nearly all


def within_0_and_1(dataset: str, images: dict[str, np.ndarray]) -> list[torch.Tensor]:
    """Return images as float32 in [0, 1]: uint8 divided by 255, floats mapped by the smallest and the largest of all.

    ``images`` are training and test images, by the names of their arrays. Floats within [0, 1] are left as they are. A
    warning is logged if the images use a small part of [0, 1] alone.

    Raises
    ------
    DatasetError
        A value is not finite; or a few values, or one of the arrays, would squeeze nearly all others.
    """
    if all(a.dtype == np.uint8 for a in images.values()):
        made = [torch.from_numpy(a.astype(np.float32) / 255) for a in images.values()]
    else:
        made = _floats(dataset, images)
    for name, part in zip(images, made, strict=True):
        low, high = float(part.min()), float(part.max())
        if 0 < high - low < _TINY:
            logging.getLogger(__name__).warning(
                "%s of %r use only %.3g to %.3g of the range from 0 to 1, and hardly differ for a network; uint8 is "
                "divided by 255, floats from 0 to 1 are left as they are: scale the images if that is not meant",
                *(name, dataset, low, high),
            )
    return made


def _floats(dataset: str, images: dict[str, np.ndarray]) -> list[torch.Tensor]:
    for name, array in images.items():
        if not (is_finite := np.isfinite(array)).all():
            place = np.unravel_index(np.argmin(is_finite), array.shape)
            raise DatasetError(f"the images of {dataset!r} must be finite, got {array[place]} in {name}[{place[0]}]")
    low, high = (float(f([f(a) for a in images.values()])) for f in (np.min, np.max))
    arrays = list(images.values())
    if low < 0 or high > 1:
        span = high - low or 1.0
        if not np.isfinite(span):
            raise DatasetError(f"the images of {dataset!r} span {low:g} to {high:g}, more than a float can hold")
        _refuse_fill_values(dataset, images, low, high)
        _refuse_different_scales(dataset, images, span)
        arrays = [(a.astype(np.float64) - low) / span for a in arrays]
    return [torch.from_numpy(np.array(a, dtype=np.float32)) for a in arrays]  # copies: the user may change the arrays


def _refuse_fill_values(dataset: str, images: dict[str, np.ndarray], low: float, high: float) -> None:
    """Raise DatasetError if a few extreme values, or one that is frequent, squeeze the range of nearly all others.

    Nearly all are those outside the most extreme images, and without the smallest or the largest value, however
    frequent it is.
    """
    for extremes in ((), (low,), (high,), (low, high)):
        bulk = _range_without(images, extremes)
        if 0 < bulk[1] - bulk[0] < _TINY * (high - low):
            value = low if bulk[0] - low > high - bulk[1] else high
            name, index = next((n, np.argwhere(a == value)[0][0]) for n, a in images.items() if (a == value).any())
            raise DatasetError(
                f"{name}[{index}] of {dataset!r} holds {value:g}, but nearly all other values are from {bulk[0]:g} to "
                f"{bulk[1]:g}, which would become all but equal: replace it if it stands for a missing value, or "
                "scale the images to 0 to 1 yourself"
            )


def _range_without(images: dict[str, np.ndarray], extremes: tuple[float, ...]) -> tuple[float, float]:
    """Return the range of all values but some, in all images but the most extreme ones; (0, 0) if there are none."""
    lows, highs = [], []
    for array in images.values():
        flat = array.reshape(len(array), -1)
        kept = ~np.isin(flat, extremes)
        lows.append(flat.min(axis=1, where=kept, initial=np.inf)[kept.any(axis=1)])
        highs.append(flat.max(axis=1, where=kept, initial=-np.inf)[kept.any(axis=1)])
    smallest, largest = (np.sort(np.concatenate(ends)) for ends in (lows, highs))
    if not (count := len(smallest)):
        return 0.0, 0.0
    rare = min(max(1, int(_RARE * count)), (count - 1) // 2)
    return float(smallest[rare]), float(largest[count - 1 - rare])


def _refuse_different_scales(dataset: str, images: dict[str, np.ndarray], span: float) -> None:
    """Raise DatasetError if training and test images differ in their range so much that one of them is squeezed."""
    ranges = {name: (float(a.min()), float(a.max())) for name, a in images.items()}
    if any(0 < high - low < _TINY * span for low, high in ranges.values()):
        told = " and ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in ranges.items())
        raise DatasetError(f"{dataset!r} has {told}: scale both in the same way")
