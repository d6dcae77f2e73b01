"""The columns of a measurement, computed from what the probes saw of a network."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from probes import entropy
from probes.cascade import Cascade
from probes.direct import Profile
from probes.meanfield import applies_to, mean_field
from probes.networks import Network
from probes.point import Measurement
from probes.settings import ProbeSettings

Values = dict[str, float | int | bool]
Profiles = dict[str, np.ndarray]


@dataclass
class Observation:
    """The results of the probes for one network so far."""

    network: Network
    profile: Profile | None = None
    seconds: float = 0.0  # that the direct probe took
    cascade: Cascade | None = None

    @property
    def diverged(self) -> bool:
        """Whether the activations of a layer up to the depth left the finite range."""
        ended = [s.ended for s in (self.profile, self.cascade) if s is not None and s.ended is not None]
        return bool(ended) and min(ended) <= self.network.point.depth


class Evaluator:
    """Computes measurements from the results of the probes.

    Parameters
    ----------
    settings:
        Of the probes.
    images:
        Training images ``[N, pixels]``.
    targets:
        Test images ``[M, pixels]`` that cascades reconstruct.
    """

    def __init__(self, settings: ProbeSettings, images: torch.Tensor, targets: torch.Tensor) -> None:
        self._settings, self._targets = settings, targets
        mean = images.mean(0).expand_as(targets)
        # What always answering the mean training image scores, in nats: the zero of retained information.
        # Kept above 0: images that differ only in brightness have nothing in which to be ignorant.
        self._ignorance = max(1e-12, float(entropy.relative_entropy(targets, mean).mean()))

    def measurement(self, seen: Observation) -> Measurement:
        """Return the measurement of a network.

        Raises
        ------
        ArithmeticError
            A statistic that is not finite.
        """
        point = seen.network.point
        values: Values = {}
        profiles: Profiles = {}
        if applies_to(self._settings.architecture):
            theory = mean_field(point.sigma_w, point.sigma_b, self._settings.activation)
            values["chi_1"], values["xi_c"] = theory.chi_1, theory.xi_c
        if seen.profile is not None:
            curve = seen.profile.curve(point.depth)
            profiles["direct_retained"] = np.array(curve)
            values["direct_retained"] = curve[-1]
            values["direct_horizon"] = seen.profile.horizon
            values["direct_horizon_censored"] = seen.profile.censored
            values["direct_images"] = seen.profile.images
        if seen.cascade is not None:
            self._judge_cascade(seen.cascade, values, profiles)
        self._judge_margin(point.depth, values)
        if not all(math.isfinite(v) for k, v in values.items() if k != "xi_c"):
            raise ArithmeticError(f"a statistic is not finite: {values}")
        return Measurement(point, "diverged" if seen.diverged else "ok", "", values, profiles)

    def _judge_margin(self, depth: int, values: Values) -> None:
        settings = self._settings
        statistic = float(values[settings.statistic])
        if settings.by_horizon:
            values["margin"] = settings.definition.margin(settings.statistic, statistic, depth)
            values["margin_censored"] = values[settings.statistic + "_censored"]
        else:
            values["margin"] = statistic - settings.threshold_of(settings.statistic)
            values["margin_censored"] = False

    def _judge_cascade(self, cascade: Cascade, values: Values, profiles: Profiles) -> None:
        depth, known = cascade.network.point.depth, len(cascade.decoders)
        loss = np.full((depth, len(self._targets)), self._ignorance)
        spread = np.full(depth, -math.inf)
        if known:
            r = cascade.reconstructions()
            for layer in range(known):  # one after another: in float64 they are large
                loss[layer] = entropy.relative_entropy(self._targets, r[layer]).cpu().numpy()
                spread[layer] = float(entropy.differential_entropy(r[layer]))
        else:
            same = torch.ones(2, 1, dtype=torch.float64)
            spread[0] = float(entropy.differential_entropy(same))
        spread[known:] = spread[max(known - 1, 0)]
        curve = loss.mean(1)
        retained = 1 - curve / self._ignorance
        profiles["cascade_relative_entropy"] = curve
        profiles["cascade_retained"] = retained
        profiles["differential_entropy"] = spread
        for name in ("cascade_relative_entropy", "cascade_retained", "differential_entropy"):
            values[name] = float(profiles[name][-1])
        values["cascade_horizon"], values["cascade_horizon_censored"] = entropy.horizon(
            range(1, depth + 1), retained.tolist(), self._settings.threshold_of("cascade_horizon")
        )
        # The published code leaves its narrower last layer out.
        alike = loss[: depth - 1] if self._settings.architecture == "published" and depth > 1 else loss
        relative = alike / np.maximum(alike[-1], 1e-300)
        values["cascade_cutoff"] = entropy.cutoff(np.median(relative, axis=1))
