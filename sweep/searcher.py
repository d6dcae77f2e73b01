"""The study as a ray.tune Searcher that suggests packs of points."""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from probes.point import Point

from .study import Row, SweepStudy

__all__ = ["PackSearcher", "Watch"]


class _NeverSaved:
    """Tune pickles what it is given, to restore a run from. We never do: the parts and the study are the state."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()


class PackSearcher(_NeverSaved, Searcher):
    """Suggests ``{"points": [(sigma_w, sigma_b, depth, seed), ...]}``; takes the rows of a finished trial.

    ``"doubtful"``, if there, are the indices of those to be trained whatever the probe says.

    Parameters
    ----------
    study:
        Asked for points, told rows.
    pack:
        Points per trial.
    record:
        Stores rows for good; called before the study is told.
    failed:
        Points and an error -> rows, for a trial that never came back.
    """

    def __init__(
        self,
        study: SweepStudy,
        pack: int,
        record: Callable[[list[dict[str, Any]]], None],
        failed: Callable[[list[Point], str], list[dict[str, Any]]],
    ) -> None:
        super().__init__()
        self._study, self._pack, self._record, self._failed = study, pack, record, failed
        self._running: dict[str, list[Point]] = {}

    @property
    def in_progress(self) -> int:
        """Points under way."""
        return sum(len(points) for points in self._running.values())

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # FINISHED is a str
        """The next pack, or the end."""
        points = self._study.ask(self._pack)
        if not points:
            return Searcher.FINISHED
        self._running[trial_id] = points
        doubtful = [i for i, p in enumerate(points) if self._study.doubtful(p)]
        return {"points": [astuple(p) for p in points], **({"doubtful": doubtful} if doubtful else {})}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Store the rows, then tell the study.

        A trial that was stopped before it had a result is nobody's failure: its points stay under way in the
        study, for the next time. One that failed is left to `give_up`, which knows why.
        """
        if result and (rows := result.get("rows")):
            del self._running[trial_id]
            self._take(rows)

    def give_up(self, trial_id: str, error: str) -> None:
        """Store the points of a trial that failed for good as rows with its error."""
        if points := self._running.pop(trial_id, []):
            self._take(self._failed(points, error))

    def _take(self, rows: list[dict[str, Any]]) -> None:
        self._record(rows)
        self._study.tell(list[Row](rows))

    def save(self, checkpoint_path: str) -> None:
        """Nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing."""


class Watch(_NeverSaved, Callback):
    """Keeps the progress fresh, and gives up trials that failed for good."""

    def __init__(self, searcher: PackSearcher, refresh: Callable[[], None]) -> None:
        self._searcher, self._refresh = searcher, refresh

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called several times a second."""
        self._refresh()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called when there are no retries left."""
        self._searcher.give_up(trial.trial_id, _last_error(trial))


def _last_error(trial: Any) -> str:
    """What Tune noted of the last failure; its own accessor looks where nothing has been copied to yet."""
    try:
        text = Path(trial.error_file).read_text()
    except (OSError, TypeError):
        return "the trial failed and left no word why"
    return text.rpartition("Failure # ")[2].partition("\n")[2]
