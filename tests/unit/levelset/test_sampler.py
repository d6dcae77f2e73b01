import pickle

import numpy as np
import optuna
import pytest

from sweep import BoundarySampler
from sweep.levelset.level_set import LevelSet

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 0.01, 1, log=True)
    return x**2 + np.log10(y) + 1


def test_refines_the_boundary_in_a_plain_study():
    study = optuna.create_study(sampler=BoundarySampler(seed=1))
    study.optimize(objective, n_trials=50)
    values = np.abs([t.value for t in study.trials])
    assert np.median(values[20:]) < 0.4 * np.median(values[:8])


def test_conditional_and_categorical_parameters_are_sampled_independently():
    def conditional(trial):
        kind = trial.suggest_categorical("kind", ["a", "b"])
        x = trial.suggest_float("x", 0, 1)
        return x - 0.5 + (trial.suggest_float("only_b", 0, 1) if kind == "b" else 0)

    study = optuna.create_study(sampler=BoundarySampler(seed=0))
    study.optimize(conditional, n_trials=25)
    assert len(study.trials) == 25 and {t.params["kind"] for t in study.trials} == {"a", "b"}


def test_steps_and_integers_are_respected():
    def stepped(trial):
        n, x = trial.suggest_int("n", 2, 20, step=3), trial.suggest_float("x", 0, 1, step=0.25)
        assert n in range(2, 21, 3) and x in (0, 0.25, 0.5, 0.75, 1)
        return n / 10 - x

    optuna.create_study(sampler=BoundarySampler(seed=0)).optimize(stepped, n_trials=30)


def test_running_trials_count_as_pending():
    space = {
        "x": optuna.distributions.FloatDistribution(0, 1),
        "y": optuna.distributions.FloatDistribution(0, 1),
    }
    study = optuna.create_study(sampler=BoundarySampler(search_space=space, seed=0))
    for _ in range(16):
        trial = study.ask(space)
        study.tell(trial, trial.params["x"] - 0.5)
    points = np.array([list(study.ask(space).params.values()) for _ in range(8)])
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(8)
    assert distances.min() > 0.005


def test_failed_pruned_and_nan_trials_are_survived():
    def shaky(trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.number % 5 == 1:
            raise optuna.TrialPruned
        if trial.number % 5 == 2:
            return float("nan")
        if trial.number % 5 == 3:
            raise RuntimeError
        return x - 0.3

    study = optuna.create_study(sampler=BoundarySampler(seed=0))
    study.optimize(shaky, n_trials=30, catch=(RuntimeError,))
    assert len(study.trials) == 30


def test_several_workers_on_one_study():
    study = optuna.create_study(sampler=BoundarySampler(seed=0))
    study.optimize(objective, n_trials=24, n_jobs=2)
    assert len({tuple(t.params.values()) for t in study.trials}) == 24


def test_fixed_parameters_are_left_out():
    space = {
        "x": optuna.distributions.FloatDistribution(1, 1),
        "y": optuna.distributions.IntDistribution(3, 3),
    }
    study = optuna.create_study(sampler=BoundarySampler(search_space=space))
    assert study.ask(space).params == {"x": 1, "y": 3}


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_trials(seed):
    def trials():
        study = optuna.create_study(sampler=BoundarySampler(seed=seed))
        study.optimize(objective, n_trials=20)
        return [t.params for t in study.trials]

    assert trials() == trials()


def test_a_batch_is_handed_out_one_by_one_until_a_result_comes_in():
    space = {n: optuna.distributions.FloatDistribution(0, 1) for n in "xy"}
    study = optuna.create_study(sampler=BoundarySampler(search_space=space, seed=0, batch=4))
    asked = 0
    real = LevelSet.ask

    def counting(self, count, pending=None):
        nonlocal asked
        asked += 1
        return real(self, count, pending)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LevelSet, "ask", counting)
        trials = [study.ask(space) for _ in range(4)]
        assert asked == 1 and len({tuple(t.params.values()) for t in trials}) == 4
        study.tell(trials[0], 0.1)
        study.ask(space)
        assert asked == 2


def test_another_workers_trial_is_respected_by_points_thought_of_before():
    space = {n: optuna.distributions.FloatDistribution(0, 1) for n in "xy"}
    study = optuna.create_study(sampler=BoundarySampler(search_space=space, seed=0, batch=4))
    for _ in range(12):
        trial = study.ask(space)
        study.tell(trial, trial.params["x"] - trial.params["y"])
    ours = BoundarySampler(search_space=space, seed=0, batch=4)
    theirs = BoundarySampler(search_space=space, seed=0, batch=4)
    points = []
    for sampler in (ours, theirs, ours, theirs):
        study.sampler = sampler
        points.append(tuple(study.ask(space).params.values()))
    assert len(set(points)) == 4


def test_several_levels_censored_and_noisy_values():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("variance", 0.01)
        trial.set_user_attr("censored", x > 0.7)
        return min(x, 0.7)

    study = optuna.create_study(sampler=BoundarySampler(levels=[0.2, 0.5], seed=0))
    study.optimize(objective, n_trials=30)
    model = study.sampler.model(study)
    mean = model.mean_and_deviation(np.array([[0.2], [0.5], [0.95]]))[0]
    assert np.abs(mean[:2] - [0.2, 0.5]).max() < 0.08 and mean[2] > 0.6
    x = np.array([t.params["x"] for t in study.trials[8:]])
    assert np.sum(np.minimum(np.abs(x - 0.2), np.abs(x - 0.5)) < 0.1) > 10


def test_features_and_the_ridge():
    sampler = BoundarySampler(aim="ridge", along="x", features=lambda p: [p["y"], p["x"] * p["y"]], seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda t: -((t.suggest_float("x", 0, 1) - 0.3 - 0.4 * t.suggest_float("y", 0, 1)) ** 2), n_trials=40)
    off = [abs(t.params["x"] - 0.3 - 0.4 * t.params["y"]) for t in study.trials[10:]]
    assert np.median(off) < 0.1


def test_a_model_needs_trials():
    study = optuna.create_study(sampler=BoundarySampler())
    with pytest.raises(ValueError, match="`study` must hold"):
        study.sampler.model(study)


def test_a_sampler_can_be_pickled():
    study = optuna.create_study(sampler=BoundarySampler(seed=0, batch=2, features=len))
    study.optimize(objective, n_trials=14)
    again = pickle.loads(pickle.dumps(study.sampler))
    assert len(again.model(study)) == 14
    study.sampler = again
    study.optimize(objective, n_trials=2)
    assert len({tuple(t.params.values()) for t in study.trials}) == 16


@pytest.mark.parametrize("kind", ["pruned", "infinite", "variance"])
def test_trials_that_say_nothing_are_not_repeated(kind):
    def shaky(trial):
        x = trial.suggest_float("x", 0, 1)
        if x > 0.5 and kind == "pruned":
            raise optuna.TrialPruned
        if x > 0.5 and kind == "variance":
            trial.set_user_attr("variance", float("nan"))
        return float("inf") if x > 0.5 and kind == "infinite" else x - 0.3

    study = optuna.create_study(sampler=BoundarySampler(seed=0))
    study.optimize(shaky, n_trials=30)
    assert len({t.params["x"] for t in study.trials}) == 30


def test_one_objective_only():
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=BoundarySampler(seed=0))
    with pytest.raises(ValueError, match="one objective"):
        study.optimize(lambda t: (t.suggest_float("x", 0, 1), 1.0), n_trials=3)
