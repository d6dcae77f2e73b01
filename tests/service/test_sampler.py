"""`BoundarySampler` where others drive it: several processes on one storage, and Ray Tune."""

import subprocess
import sys

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweep import BoundarySampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

WORKER = """
import optuna, sys
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweep import BoundarySampler
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
study = optuna.load_study(study_name="s", storage=storage, sampler=BoundarySampler(seed=0))
study.optimize(lambda t: t.suggest_float("x", -1, 1) ** 2 - t.suggest_float("y", 0, 1), n_trials=12)
"""


def test_several_processes_on_one_storage(tmp_path):
    path = str(tmp_path / "journal")
    study = optuna.create_study(study_name="s", storage=JournalStorage(JournalFileBackend(path)))
    # The same seed: the worst case.
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, path], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    trials = study.get_trials()
    assert len(trials) == 24 and len({tuple(t.params.values()) for t in trials}) >= 18


def test_within_ray_tunes_optuna_search():
    """Without a cluster: the calls that Tune makes."""
    from ray.tune.search.optuna import OptunaSearch

    space = {"x": optuna.distributions.FloatDistribution(0, 1), "y": optuna.distributions.FloatDistribution(0, 1)}
    search = OptunaSearch(space=space, metric="value", mode="max", sampler=BoundarySampler(seed=0, search_space=space))
    points = []
    for i in range(0, 48, 4):
        configs = {f"t{j}": search.suggest(f"t{j}") for j in range(i, i + 4)}
        for name, config in configs.items():
            points.append((config["x"], config["y"]))
            search.on_trial_complete(name, {"value": config["x"] ** 2 + config["y"] - 0.6})
    late = np.array(points[12:])
    assert len(set(points)) == 48 and np.median(np.abs(late[:, 0] ** 2 + late[:, 1] - 0.6)) < 0.1
