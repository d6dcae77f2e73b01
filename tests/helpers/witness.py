"""Runs a sweep whose trials write down what they see: ``python witness.py FOLDER TRIALS LATE SPEC``.

Of the processes the first ones, so many as there are TRIALS, wait for each other; each but the first takes LATE seconds
to start. SPEC is JSON.
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path

import ray

import sweep
from sweep.measuring.rehearsal import Rehearsal


class Witness(Rehearsal):
    """Takes 1 ms a layer on a share of a GPU, ten times as long without."""

    def __call__(self, images, settings, threads, gpus):
        seen = {
            "node": ray.get_runtime_context().get_node_id(),
            "process": os.getpid(),
            "gpus": ray.get_gpu_ids(),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "share": gpus,
        }
        object.__setattr__(self, "seen", seen)
        folder, trials, late = self.device
        here = Path(folder, "here")
        if os.listdir(here):
            time.sleep(late)
        (here / str(os.getpid())).touch()
        end = time.monotonic() + 60
        while len(os.listdir(here)) < trials and time.monotonic() < end:
            time.sleep(0.05)
        return self

    def probe(self, points):
        began = time.time()
        time.sleep(sum(p.depth for p in points) * (0.001 if self.seen["share"] else 0.01))
        depths = [p.depth for p in points]
        note = json.dumps({**self.seen, "from": began, "to": time.time(), "depths": depths})
        Path(self.device[0], "notes", uuid.uuid4().hex).write_text(note)
        return super().probe(points)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in ("notes", "here"):
        (folder / name).mkdir()
    spec = sweep.SweepSpec(**json.loads(sys.argv[4]))
    seen = (str(folder), int(sys.argv[2]), float(sys.argv[3]))
    sweep.run(spec, folder / "sweep", make=Witness(device=seen))
