"""The values and profiles of a measurement, computed from the results of the probes."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from probes import entropy
from probes.cascade import Cascade
from probes.definition import HORIZONS, MIN_BEST, TRAINABLE_DEPTH
from probes.direct import Profile
from probes.gradients import Gradients
from probes.meanfield import applies_to, mean_field
from probes.networks import Decodable, Network
from probes.point import Measurement
from probes.settings import ProbeSettings

Values = dict[str, float | int | bool]
Profiles = dict[str, np.ndarray]


@dataclass
class Observation:
    """The results of the probes for one network so far.

    Attributes
    ----------
    network:
        Network that is measured.
    gradients, gradient_seconds:
        Gradients of the network, and the time that they took.
    profile:
        Result of the direct probe; None unless it has run.
    seconds:
        Time that the direct probe took, in seconds.
    cascade:
        Cascade of the network; None unless there is one.
    """

    network: Decodable
    gradients: Gradients
    gradient_seconds: float
    profile: Profile | None = None
    seconds: float = 0.0
    cascade: Cascade | None = None

    @property
    def diverged(self) -> bool:
        """Whether the activations of a layer up to the depth are not finite or too large."""
        results = (self.gradients, self.profile, self.cascade)
        ended = [r.diverged_at for r in results if r is not None and r.diverged_at is not None]
        return bool(ended) and min(ended) <= self.network.point.depth


class Evaluator:
    """An evaluator computes measurements from the results of the probes.

    Parameters
    ----------
    settings:
        Settings of the probes.
    images:
        Training images ``[N, pixels]``.
    targets:
        Test images ``[M, pixels]`` that cascades reconstruct.
    """

    def __init__(self, settings: ProbeSettings, images: torch.Tensor, targets: torch.Tensor) -> None:
        self._settings, self._targets = settings, targets
        mean = images.mean(0).expand_as(targets)
        # Relative entropy of the images and the mean training image, in nats: here retained information is 0. It would
        # be 0 itself for images that differ in brightness alone, and is a divisor.
        self._mean_image_entropy = max(1e-12, float(entropy.relative_entropy(targets, mean).mean()))

    def measurement(self, observed: Observation) -> Measurement:
        """Return the measurement of a network.

        Raises
        ------
        ArithmeticError
            A statistic is not finite.
        """
        point = observed.network.point
        values: Values = {}
        profiles: Profiles = {}
        if isinstance(observed.network, Network) and applies_to(self._settings.architecture):
            theory = mean_field(point.sigma_w, point.sigma_b, self._settings.activation)
            values["chi_1"], values["xi_c"] = theory.chi_1, theory.xi_c
        profiles["gradient_norm"] = observed.gradients.profile
        values["gradient_norm"], values["gradient_ratio"] = observed.gradients.norm, observed.gradients.ratio
        horizon, censored = observed.gradients.horizon(self._settings.threshold_of("gradient_horizon"))
        values["gradient_horizon"], values["gradient_horizon_censored"] = horizon, censored
        if observed.profile is not None:
            curve = observed.profile.curve(point.depth)
            profiles["direct_retained"] = np.array(curve)
            values["direct_retained"] = curve[-1]
            values["direct_horizon"] = observed.profile.horizon
            values["direct_horizon_censored"] = observed.profile.censored
            values["direct_images"] = observed.profile.images
            definition = self._settings.definition
            values[TRAINABLE_DEPTH] = definition.trainable_depth(observed.profile.horizon, horizon)
            values[f"{TRAINABLE_DEPTH}_censored"] = censored and observed.profile.censored
        if observed.cascade is not None:
            self._add_cascade(observed.cascade, values, profiles)
        self._add_margin(point.depth, values)
        if not all(math.isfinite(v) for k, v in values.items() if k != "xi_c"):
            raise ArithmeticError(f"a statistic is not finite: {values}")
        return Measurement(point, "diverged" if observed.diverged else "ok", "", values, profiles)

    def _add_margin(self, depth: int, values: Values) -> None:
        """Add the margin to the values, which hold the statistic that it is computed from."""
        settings = self._settings
        statistic = float(values[settings.statistic])
        if settings.by_horizon:
            values["margin"] = settings.definition.margin(settings.statistic, statistic, depth)
            values["margin_censored"] = values[settings.statistic + "_censored"]
            return
        threshold = settings.threshold_of(settings.statistic)
        by_gradient = settings.by_gradient
        values["margin"] = (
            settings.definition.gradient_margin(statistic, threshold) if by_gradient else statistic - threshold
        )
        values["margin_censored"] = False

    def _add_cascade(self, cascade: Cascade, values: Values, profiles: Profiles) -> None:
        """Add the statistics of a trained cascade to the values and profiles.

        From the layer on in which the network diverged, the mean training image counts as the reconstruction, the
        differential entropy stays at its last value, and there is no loss of a decoder. Of layers before it that were
        left out of the cascade, nothing is known: the profiles are NaN there, and the values those of the others.
        """
        depth, decoded = cascade.network.point.depth, len(cascade.decoders)
        reached = depth if cascade.diverged_at is None else cascade.diverged_at - 1
        known = np.array([*(number - 1 for number in cascade.numbers), *range(reached, depth)])
        relative = np.full((depth, len(self._targets)), self._mean_image_entropy)
        differential = np.full(depth, -math.inf)
        correlation, loss = np.zeros(depth), np.full(depth, math.nan)
        if decoded:
            r = cascade.reconstructions()
            loss[known[:decoded]] = cascade.losses()
            for layer, seen in zip(known, r, strict=False):  # one at a time, because they are large in float64
                relative[layer] = entropy.relative_entropy(self._targets, seen).cpu().numpy()
                differential[layer] = float(entropy.differential_entropy(seen))
                correlation[layer] = float(entropy.squared_correlation(self._targets, seen))
        else:
            identical = torch.ones(2, 1, dtype=torch.float64, device="cpu")
            differential[known[0]] = float(entropy.differential_entropy(identical))
        differential[reached:] = differential[known[max(decoded - 1, 0)]]
        for profile in (relative, differential, correlation):
            profile[np.setdiff1d(np.arange(depth), known)] = math.nan
        profiles["cascade_relative_entropy"] = relative.mean(1)
        profiles["cascade_retained"] = 1 - profiles["cascade_relative_entropy"] / self._mean_image_entropy
        profiles["cascade_correlation"] = correlation
        profiles["differential_entropy"] = differential
        profiles["cascade_loss"] = loss
        for name in ("cascade_relative_entropy", "cascade_retained", "cascade_correlation", "differential_entropy"):
            values[name] = float(profiles[name][known[-1]])
        for name in ("cascade_horizon", "cascade_correlation_horizon"):
            curve, threshold = profiles[HORIZONS[name]][known].tolist(), self._settings.threshold_of(name)
            if self._settings.definition.relative(name):
                threshold *= max(MIN_BEST, *curve)
            values[name], values[f"{name}_censored"] = entropy.horizon((known + 1).tolist(), curve, threshold)
        # The published code leaves out its narrower last layer, and divides the curve of each image by its last value.
        known = known[: depth - 1] if self._settings.architecture == "published" and depth > 1 else known
        kept = relative[known]
        normalised = kept / np.maximum(kept[-1], 1e-300)
        cutoff = entropy.cutoff(np.median(normalised, axis=1))
        values["cascade_cutoff"] = int(known[cutoff] if cutoff < len(known) else known[-1] + 1)
