"""The measurements that an advice is made from."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from probes.custom.function import Custom
from probes.point import Measurement, Point
from probes.prober import Prober
from sweep.advice.advice import Advice, Rival, score_of
from sweep.advice.code import built_in_lines, own_lines
from sweep.advice.default import Sigmas, default_of, sigmas_of_architecture, sigmas_of_function
from sweep.advice.plane import Plane
from sweep.advice.robust import most_promising, most_robust
from sweep.advice.spec import AdviceSpec
from sweep.advice.weights import RIVALS, drawn_with, is_better
from sweep.errors import SpecError
from sweep.model.margin import MarginModel
from sweep.spec.network import FUNCTION
from sweep.spec.rows import row

Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]

_ON_AXIS = 4  # of the first places, those with the smallest biases
_NARROW = 0.1  # gap between values of sigma_w, as a logarithm
_NETWORKS = 2  # that are measured at the recommended place, and by default
_AROUND = 2  # more places, the nearest ones, where other weights are measured for comparison
_DIGITS = 3  # of the recommended sigmas


class Session:
    """The search for the most robust place, and the measurements there.

    Parameters
    ----------
    spec:
        What is asked for.
    prober:
        Measures networks, built-in ones or those of a user's function.
    module:
        Name of the Python module that has the user's function, for the lines that apply the advice.
    compares:
        Whether networks with other weights are measured for comparison; see `sweep.advice.weights`.
    """

    def __init__(self, spec: AdviceSpec, prober: Prober, module: str | None, *, compares: bool) -> None:
        self._spec, self._prober, self._module, self._compares = spec, prober, module, compares
        custom: Custom | None = prober.settings.network
        self._initialise = prober.settings.initialise if custom is None else custom.initialise or FUNCTION
        self._depth = spec.depth[0]
        self._model = MarginModel(spec)
        self._plane = Plane(self._model)
        self._measured: list[Measurement] = []

    def advice(self, steps: Steps) -> Advice:
        """Search, measure the recommended place and the default, and return the advice.

        Raises
        ------
        SpecError
            The networks cannot be measured.
        """
        compared = _NETWORKS + _AROUND if self._compares else 0
        with steps("measuring", self._spec.points + 2 * _NETWORKS + compared) as step:
            while (missing := self._spec.points - len(self._measured)) > 0:
                for sigma_w, sigma_b in self._next()[:missing]:
                    self._measure(sigma_w, sigma_b)
                    step()
            sigma_w, sigma_b = self._most_robust()
            there = []
            for _ in range(_NETWORKS):
                there.append(self._measure(sigma_w, sigma_b))
                step()
            rival = self._rival(there, step) if self._compares else None
            default, sigmas = self._default(step)
        score = score_of(there, self._spec)
        if score is None:
            raise SpecError(f"the networks at the recommended place cannot be measured: {there[0].error}")
        band = self._plane.band(sigma_w, sigma_b)
        lower, upper = band or (None, None)
        everywhere = bool((self._plane.margins()[0] >= 0).all())
        return Advice(
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            initialise=self._initialise,
            lower=lower,
            upper=upper,
            depth=self._depth,
            range="all" if everywhere else "band" if band else "none",
            score=score,
            rival=rival,
            default=score_of(default, self._spec),
            default_sigmas=sigmas,
            code=self._code(sigma_w, sigma_b),
            spec=self._spec,
            points=self._table(),
            model=self._model,
        )

    def _next(self) -> list[tuple[float, float]]:
        """Return the places to measure next.

        The first ones are spread over the range; some of them have the smallest biases, where the band is widest for
        many activations. Then three follow in turn: one for the edge of the band and its middle, one where the margin
        may be largest by the model, and one beside the best of those with the smallest biases, since the margin rises
        and falls once along sigma_w. A narrow band would be missed without the last two, or known at its edge alone.
        """
        low, high = self._spec.sigma_w
        level_set = self._model.level_set
        chosen = level_set.ask(1 if self._measured else level_set.initial - _ON_AXIS)
        named = [dict(zip(self._model.names, map(float, place), strict=True)) for place in chosen]
        places = [(place["sigma_w"], place.get("sigma_b", self._spec.sigma_b[0])) for place in named]
        if not self._measured:
            shares = (np.arange(_ON_AXIS) + 0.5) / _ON_AXIS
            return [*places, *((float(low * (high / low) ** share), self._spec.sigma_b[0]) for share in shares)]
        places.append(self._plane.place(*most_promising(*self._plane.margins())))
        return [*places, *self._beside_the_best()]

    def _beside_the_best(self) -> list[tuple[float, float]]:
        """Return the middle of the wider gap beside the best place with the smallest biases, unless it is narrow."""
        smallest = self._spec.sigma_b[0]
        there = {
            m.point.sigma_w: float(m.values["margin"])
            for m in self._measured
            if m.point.sigma_b == smallest and m.status != "failed"
        }
        if not there:
            return []
        best = max(there, key=lambda sigma_w: there[sigma_w])
        ends = [max((w for w in there if w < best), default=self._spec.sigma_w[0])]
        ends.append(min((w for w in there if w > best), default=self._spec.sigma_w[1]))
        end = max(ends, key=lambda sigma_w: abs(math.log(sigma_w / best)))
        return [(math.sqrt(best * end), smallest)] if abs(math.log(end / best)) > _NARROW else []

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame([row(m) for m in self._measured])

    def _point(self, sigma_w: float, sigma_b: float, number: int) -> Point:
        return Point(sigma_w, sigma_b, self._depth, self._spec.seed + number)

    def _measure(self, sigma_w: float, sigma_b: float) -> Measurement:
        """Measure a network of its own seed at a place, and tell the model."""
        (m,) = self._prober.measure([self._point(sigma_w, sigma_b, len(self._measured))])
        self._measured.append(m)
        if m.status == "failed" and all(one.status == "failed" for one in self._measured):
            raise SpecError(f"the networks cannot be measured: {m.error}")
        self._model.tell([{"margin": float("nan"), "margin_censored": False, **row(m)}])
        return m

    def _most_robust(self) -> tuple[float, float]:
        table = self._table()
        highest = table.nlargest(1, "margin").iloc[0]
        retained = None
        if highest["margin_censored"]:
            retained = self._plane.smoothed(table, table["direct_retained"].clip(0, 1))
        found = most_robust(*self._plane.margins(), float(highest["margin"]), retained)
        sigma_w, sigma_b = self._plane.place(*found)
        return float(f"{sigma_w:.{_DIGITS}g}"), float(f"{sigma_b:.{_DIGITS}g}")

    def _rival(self, there: list[Measurement], step: Callable[[], None]) -> Rival:
        """Compare networks at the recommended place, ``there``, and around it with networks that have other weights."""
        initialise = RIVALS[self._initialise]
        prober = Prober(self._prober.images, drawn_with(self._prober.settings, initialise))
        place = there[0].point
        others = [m for m in self._measured[: -len(there)] if m.status != "failed"]
        around = sorted(others, key=lambda m: self._plane.distance(m.point, place))[:_AROUND]
        pairs = []
        for one in (*there, *around):
            (other,) = prober.measure([one.point])
            pairs.append((one, other))
            step()
        return Rival(initialise, score_of([other for _, other in pairs[: len(there)]], self._spec), is_better(pairs))

    def _default(self, step: Callable[[], None]) -> tuple[list[Measurement], Sigmas]:
        """Measure networks as they are without advice, and return the sigmas of their layers."""
        custom, images = self._prober.settings.network, self._prober.images
        sigma_w, sigma_b = (ends[0] for ends in (self._spec.sigma_w, self._spec.sigma_b))
        if custom is not None:
            made = default_of(custom)
            sigmas = sigmas_of_function(made, self._point(sigma_w, sigma_b, 0), images.shape, images.classes)
            settings = replace(self._prober.settings, network=made)
        else:
            sigmas = sigmas_of_architecture(self._prober.architecture, self._depth)
            settings = replace(self._prober.settings, initialise="uniform")
            sigma_w, sigma_b = median(sigmas.sigma_w), median(sigmas.sigma_b)
        prober, measured = Prober(images, settings), []
        for number in range(_NETWORKS):
            measured += prober.measure([self._point(sigma_w, sigma_b, number)])
            step()
        return measured, sigmas

    def _code(self, sigma_w: float, sigma_b: float) -> str:
        custom: Custom | None = self._prober.settings.network
        if custom is None:
            return built_in_lines(sigma_w, sigma_b, self._initialise)
        images = self._prober.images
        arguments: dict[str, Any] = {"shape": images.shape, "classes": images.classes}
        made = custom.make(self._point(sigma_w, sigma_b, 0), self._depth, **arguments)
        return own_lines(
            custom,
            self._module,
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            depth=self._depth,
            seed=self._spec.seed,
            **arguments,
            gives_layers=made.gives_layers,
        )
