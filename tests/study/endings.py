"""What it would have saved, and which outcomes it would have changed, to end the trainings of a set early."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pandas as pd

from probes.training.ending import AUTO_LOSS_FALL, AUTO_PARTS, MIN_AUTO_PATIENCE, has_stalled, is_over
from probes.training.settings import AUTO_PATIENCE, TrainingSettings
from tests.study.sets import STUDIES, studies_for, trained

SELECTION = [study.name for study in studies_for("selection")]
# What was chosen from: parts of a training, and relative falls of the loss.
CANDIDATES = [(parts, fall) for parts in (4, 5, 6, 7, 8) for fall in (0.001, 0.003, 0.01, 0.03)]
CHOSEN = (AUTO_PARTS, AUTO_LOSS_FALL)

# Whether a training is over: from accuracy and loss after each epoch so far, and the number of epochs.
Rule = Callable[[Sequence[float], Sequence[float], int], bool]


@dataclass(frozen=True)
class Endings:
    """The outcome of ending trainings by a rule.

    Attributes
    ----------
    networks, changed:
        Number of networks, and of those whose outcome changes.
    epochs, run:
        Number of epochs of the networks that are not trained at the end of all epochs, and of those that are run.
    """

    networks: int = 0
    changed: int = 0
    epochs: int = 0
    run: int = 0

    def __add__(self, other: "Endings") -> "Endings":
        sums = {name: value + getattr(other, name) for name, value in vars(self).items()}
        return replace(self, **sums)

    @property
    def share(self) -> float:
        """Share of the epochs of untrainable networks that are run."""
        return self.run / self.epochs


def auto(accuracy: Sequence[float], loss: Sequence[float], epochs: int) -> bool:
    """Return whether a training with patience ``auto`` is over."""
    return is_over(accuracy, loss, TrainingSettings(patience=AUTO_PATIENCE), epochs)


def candidate(parts: int, fall: float) -> Rule:
    """Return the rule that patience ``auto`` would be with other constants."""

    def rule(accuracy: Sequence[float], loss: Sequence[float], epochs: int) -> bool:
        return has_stalled(accuracy, loss, max(MIN_AUTO_PATIENCE, math.ceil(epochs / parts)), fall)

    return rule


@cache
def curves(name: str) -> dict[int, tuple[list[float], list[float]]]:
    """Return accuracy and loss after each epoch of every network of a set, by the network's seed."""
    table = pd.read_parquet(STUDIES[name].curves_file).sort_values(["seed", "epoch"])
    return {seed: (of["accuracy"].tolist(), of["loss"].tolist()) for seed, of in table.groupby("seed")}


def endings(name: str, rule: Rule) -> Endings:
    """Return what becomes of the trainings of a set that a rule ends."""
    whole = curves(name)
    epochs = max(len(loss) for _, loss in whole.values())
    run = {
        seed: next((n for n in range(1, len(loss)) if rule(accuracy[:n], loss[:n], epochs)), len(loss))
        for seed, (accuracy, loss) in whole.items()
    }
    table = pd.DataFrame(
        {
            "epochs": [len(loss) for _, loss in whole.values()],
            "run": run.values(),
            "trained": trained(pd.DataFrame({"accuracy": [max(a) for a, _ in whole.values()]})),
            "trained_then": trained(pd.DataFrame({"accuracy": [max(a[: run[s]]) for s, (a, _) in whole.items()]})),
        }
    )
    hopeless = table[~table["trained"]]
    changed = (table["trained"] != table["trained_then"]).sum()
    return Endings(len(table), int(changed), int(hopeless["epochs"].sum()), int(hopeless["run"].sum()))


@cache
def of_candidate(name: str, parts: int, fall: float) -> Endings:
    """Return `endings` by a candidate."""
    return endings(name, candidate(parts, fall))


def together(names: Iterable[str], parts: int, fall: float) -> Endings:
    """Return `endings` by a candidate on some sets."""
    return sum((of_candidate(name, parts, fall) for name in names), Endings())


def best_without(name: str) -> tuple[int, float]:
    """Return the candidate with the fewest changes on all other sets for selection, and then the fewest epochs."""
    others = [other for other in SELECTION if other != name]

    def cost(one: tuple[int, float]) -> tuple[int, int]:
        found = together(others, *one)
        return found.changed, found.run

    return min(CANDIDATES, key=cost)
