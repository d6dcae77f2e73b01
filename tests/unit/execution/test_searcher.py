import pytest
from ray.tune.search import Searcher

from probes import Measurement, Point
from sweep.errors import StoreError
from sweep.execution.capacity import Capacity
from sweep.execution.deadline import Deadline
from sweep.execution.packing import Packer
from sweep.execution.recorder import Recorder
from sweep.execution.searcher import PackSearcher
from sweep.search.planner import Planner
from sweep.search.study import SweepStudy
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import made_up

NODE = "ActorDiedError: The actor died because its node has died. Node Id: 0123"


class Parts(list):
    """A store in memory, for a searcher."""

    def write(self, rows):
        self.append(rows)

    @property
    def rows(self):
        return [r for part in self for r in part]


@pytest.fixture
def parts():
    return Parts()


@pytest.fixture
def make(tmp_path, parts):
    made = []

    def make(retries=1, nodes=((1, 0),), **spec):
        spec = SweepSpec(**{"points": 10, "pack": 4, **spec})
        capacity = Capacity(spec, lambda: nodes)
        packer = Packer(spec, lambda point: point.depth, dict.fromkeys(capacity.kinds, 100.0))
        planner = Planner(SweepStudy(spec, tmp_path), lambda: 4, lambda: capacity.slots)
        recorder = Recorder(parts, lambda rows: None)
        made.append((planner, recorder))
        return PackSearcher(planner, packer, capacity, recorder, retries, Deadline())

    yield make
    for planner, recorder in made:
        planner.close()
        assert recorder.close(10) == 0


def points(config):
    return [Point(*p) for p in config["points"]]


def measured(config, failed=()):
    measurements = [Measurement(p, "failed", "bad luck") if p in failed else made_up(p) for p in points(config)]
    return {"rows": [row(m, pack=4) for m in measurements], "seconds": 1.0}


def drain(searcher, fail=lambda config: ()):
    """Run trials one after another to the end, and return the sizes of their packs."""
    sizes = []
    while (config := searcher.suggest(f"t{len(sizes)}")) != Searcher.FINISHED:
        assert config is not None
        searcher.on_trial_complete(f"t{len(sizes)}", result=measured(config, fail(config)))
        sizes.append(len(config["points"]))
    searcher._recorder.flush()
    return sizes


def test_suggests_packs_until_the_budget_is_spent(make, parts):
    assert drain(make()) == [4, 4, 2]
    assert [len(p) for p in parts] == [4, 4, 2] and all(r["finished"] > 1e9 for r in parts.rows)


def test_no_more_trials_than_there_is_room_for(make):
    searcher = make(nodes=((2, 0),))
    assert searcher.suggest("t0") and searcher.suggest("t1")
    assert searcher.suggest("t2") is None and sum(r.points for r in searcher.running()) == 8


def test_what_tune_keeps_of_a_result_holds_no_rows(make):
    searcher = make()
    result = measured(searcher.suggest("t0"))
    searcher.on_trial_complete("t0", result=result)
    assert result["rows"] == []


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_point_that_fails_is_measured_again_then_is_a_row_with_its_error(make, parts, retries):
    searcher, attempts = make(retries), []

    def fail(config):
        bad = [p for p in points(config) if p.seed == 2]
        attempts.extend(len(config["points"]) for _ in bad)
        return bad

    drain(searcher, fail)
    assert attempts == [4] + [1] * retries
    status = {r["seed"]: r["status"] for r in parts.rows}
    assert len(parts.rows) == len(status) == 10
    assert [s for s, st in status.items() if st == "failed"] == [2]
    assert next(r for r in parts.rows if r["seed"] == 2)["error"] == "bad luck"


def test_a_point_that_fails_once_is_measured_in_the_end(make, parts):
    seen = set()

    def fail(config):
        bad = [p for p in points(config) if p.seed == 2 and p not in seen]
        seen.update(bad)
        return bad

    drain(make(), fail)
    assert len(parts.rows) == 10 and all(r["status"] == "ok" for r in parts.rows)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_point_that_kills_its_worker_takes_nobody_with_it(make, parts, retries):
    searcher, number, deaths = make(retries), 0, 0
    while (config := searcher.suggest(f"t{number}")) != Searcher.FINISHED:
        if any(p.seed == 1 for p in points(config)):
            deaths += 1
            searcher.on_trial_complete(f"t{number}", error=True)
            searcher.give_up(f"t{number}", "WorkerCrashedError:\nthe worker died")
        else:
            searcher.on_trial_complete(f"t{number}", result=measured(config))
        number += 1
    searcher._recorder.flush()
    assert deaths == 1 + 1 + retries  # with its pack, then alone
    failed = [r for r in parts.rows if r["status"] == "failed"]
    assert len(parts.rows) == 10 and [r["seed"] for r in failed] == [1]
    assert failed[0]["error"] == "WorkerCrashedError: the worker died"


def test_a_node_that_dies_is_nobodys_fault(make, parts):
    searcher = make(retries=0)
    config = searcher.suggest("t0")
    for i in range(1, 6):
        searcher.on_trial_complete(f"t{i - 1}", error=True)
        searcher.give_up(f"t{i - 1}", NODE)
        again = searcher.suggest(f"t{i}")
        assert again["points"] == config["points"]
    searcher.on_trial_complete("t5", result=measured(again))
    assert sum(drain(searcher)) == 6 and all(r["status"] == "ok" for r in parts.rows)


def test_a_point_that_takes_every_node_with_it_is_given_up(make, parts):
    searcher = make(points=1, sigma_w=(1, 1), sigma_b=(0, 0), depth=(5, 5))
    number = 0
    while searcher.suggest(f"t{number}") != Searcher.FINISHED:
        searcher.give_up(f"t{number}", NODE)
        number += 1
    assert number == 21
    searcher._recorder.flush()
    assert [r["status"] for r in parts.rows] == ["failed"] and "node has died" in parts.rows[0]["error"]


def test_a_trial_that_was_stopped_leaves_its_points_for_resume(make, parts, tmp_path):
    searcher = make()
    suggested = searcher.suggest("t0")["points"]
    searcher.on_trial_complete("t0")
    assert not parts
    searcher._planner.close()
    again = SweepStudy(SweepSpec(points=10), tmp_path)
    assert [(p.sigma_w, p.sigma_b, p.depth, p.seed) for p in again.ask(4)] == suggested


def test_waits_for_a_storage_that_takes_nothing(make, parts, monkeypatch):
    def write(rows):
        if not shown:
            raise StoreError("away")
        parts.append(rows)

    shown, running = [], []
    searcher = make(points=400, search="sobol")
    searcher._show = lambda points, trouble: shown.append(trouble)
    searcher._recorder._first_wait = 0.1
    monkeypatch.setattr(parts, "write", write)
    config = searcher.suggest("t0")
    for i in range(1, 7):
        running.append(searcher._recorder.backlog)
        searcher.on_trial_complete(f"t{i - 1}", result=measured(config))
        config = searcher.suggest(f"t{i}")  # the last one waits until it works again
    assert max(running) <= 5 and "away" in str(shown[0])
    assert searcher._recorder.flush(10) and len(parts.rows) == 24


def test_nodes_without_a_gpu_take_what_is_small(make):
    searcher = make(nodes=((4, 1), (2, 0)), pack=None, points=400, search="sobol", depth=(1, 400))
    kinds = []
    while config := searcher.suggest(f"t{len(kinds)}"):
        kinds.append((config["kind"], max(p.depth for p in points(config))))
    assert [k for k, _ in kinds] == ["gpu"] * 4 + ["cpu"] * 2


def test_what_runs_where(make):
    """A worker's node is asked for once, and not waited for."""
    searcher = make(nodes=((2, 0),), retries=1)
    searcher.suggest("t1"), searcher.suggest("t2")
    assert searcher.running() == [("", "cpu", 2, 8)]

    class Worker:
        def __init__(self, name):
            self._actor_id = name

    class Trial:
        def __init__(self, trial_id, info):
            self.trial_id, self._default_result_or_future = trial_id, info
            self.temporary_state = type("State", (), {"ray_actor": Worker("worker")})

    searcher.started(Trial("t1", {"hostname": "node-a"}))
    assert sorted(searcher.running()) == [("", "cpu", 1, 4), ("node-a", "cpu", 1, 4)]
    searcher.started(Trial("t2", None))  # the same worker
    assert searcher.running() == [("node-a", "cpu", 2, 8)]
    searcher.started(Trial("unknown", None))
    searcher._running["t1"].tune_trial = object()  # another version of Tune
    assert sorted(searcher.running()) == [("", "cpu", 1, 4), ("node-a", "cpu", 1, 4)]
