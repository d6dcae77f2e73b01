import fcntl
import time
from dataclasses import dataclass
from pathlib import Path

from probes import load_images
from sweep.execution.calibrate import best_trials_per_gpu
from sweep.measuring.rehearsal import Rehearsal
from sweep.measuring.settings import probe_settings
from sweep.spec.spec import SweepSpec


@dataclass(frozen=True)
class OneAtATime(Rehearsal):
    """A device that a single trial keeps busy."""

    lock: str = ""

    def probe(self, points):
        with Path(self.lock).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            time.sleep(self.seconds)
        return []


def test_a_gpu_is_shared_as_long_as_that_helps(tmp_path):
    import ray

    ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        spec, images = SweepSpec(points=100), load_images("noise", resize=2)
        settings = probe_settings(spec)
        assert best_trials_per_gpu(spec, settings, images, OneAtATime(0.4, lock=str(tmp_path / "lock")), 4) == 1
        assert best_trials_per_gpu(spec, settings, images, Rehearsal(0.2), 4) == 4
        assert best_trials_per_gpu(spec, settings, images, Rehearsal(0.2), 3) == 2
        end = time.monotonic() + 20
        while ray.available_resources().get("GPU") != 1:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        ray.shutdown()
