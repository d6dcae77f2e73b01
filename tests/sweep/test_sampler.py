import numpy as np
import optuna
import pytest

from sweep import BoundarySampler

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
    assert distances.min() > 0.02


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
