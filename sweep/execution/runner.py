"""Run and resume a sweep: its directory, its lock, what may be changed."""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.datasets import GIVEN, Images
from probes.own_data import is_program
from sweep.errors import SpecError, StoreError
from sweep.execution.cluster import check_local_resources
from sweep.execution.driver import measure
from sweep.measuring.memory import check_memory
from sweep.measuring.settings import given_images, sweep_images
from sweep.processes import left_as_found
from sweep.results.loading import load
from sweep.results.results import Results
from sweep.search.journal import JOURNAL, STUDY_NAME
from sweep.spec.options import changeable, local
from sweep.spec.parts import Storage
from sweep.spec.spec import SweepSpec
from sweep.storage.lock import locked
from sweep.storage.store import Store
from sweep.storage.sweep_files import SPEC_FILE, VERSIONS_FILE, SweepFiles
from sweep.text import printable
from sweep.trackers.trackers import check
from sweep.version import installed_versions

if TYPE_CHECKING:
    from sweep.execution.trainable import MakeProber

_HELD = "`out` {0!r} holds a sweep already; go on with it by `sweep resume {0}`"
_STORE_COMES_BACK = 60.0  # seconds, or a sweep cannot go on
_COMPARED = ("trainability-sweep", "torch")  # packages whose versions may change what is measured
# Clusters of this machine's choice. A spec that came from elsewhere must not say whose answers are unpickled.
_OWN_CLUSTERS = (None, "auto", "local")


@left_as_found()
def run(
    spec: SweepSpec,
    directory: str | Path,
    *,
    images: Any = None,
    quiet: bool = True,
    callbacks: Sequence[Any] = (),
    make: "MakeProber | None" = None,
    log: Sequence[str] = (),
    verbose: bool = False,
) -> Results:
    """Run a new sweep into a directory or at a URI (``s3://bucket/path``), and wait for it.

    ``images`` are data in place of the spec's: a `probes.Images`, or train_images, train_labels, test_images and
    test_labels as of `probes.images_of`. `resume` must be given them again.

    ``quiet`` says nothing of how it gets on, ``verbose`` shows what Tune and Ray say, too. ``log`` names trackers that
    get a run for every point: ``tensorboard``, ``mlflow``, ``wandb``. ``callbacks`` are Tune's: they see a result after
    every epoch of a training, with the accuracy and loss of every network in it. ``make`` makes what measures points in
    place of the probes, `sweep.measuring.rehearsal.Rehearsal` for example.

    Raises
    ------
    SpecError
        Bad input: a tracker that is not installed, the data set, a sweep that is there already, a directory that cannot
        be written.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when what had been measured is stored.
    """
    check(log)
    files = _files(directory)
    spec = _with_absolute_paths(spec, files)
    if images is None:
        images = sweep_images(spec, run_code=True)
    else:
        images = given_images(images, spec)
        spec = replace(spec, dataset=GIVEN + images.name)
    spec = replace(spec, fingerprint=images.fingerprint)
    _check_machine(spec, images)
    is_new = _make_folder(files.local)
    files.check()
    store, copies = _create_store(spec, files), files.spec_copies(spec)
    with _alone(files, spec):
        if files.read(SPEC_FILE) is not None:
            raise SpecError(_HELD.format(files.location))
        if store.read([]).seen or any(p.read(SPEC_FILE) is not None for p in copies[1:]):
            raise SpecError(f"`{_argument(spec, files)}` {copies[-1].location!r} holds the results of another sweep")
        with _undone_if_refused(files, copies, is_new):
            for copy in copies:
                copy.write_spec(spec)
                copy.write_versions()
            locations = [p.location for p in copies]
            measure(spec, files.local, images, quiet, callbacks, make, log=log, verbose=verbose, locations=locations)
    return load(directory)


def dry_run(spec: SweepSpec, directory: str | Path) -> dict[str, str]:
    """Return what `run` would do, by what of it; nothing is written, and Ray is not started.

    Raises
    ------
    SpecError
        What `run` would refuse before it writes anything.
    """
    from sweep.execution.preview import preview

    files = _files(directory)
    spec = _with_absolute_paths(spec, files)
    images = sweep_images(spec, run_code=True)
    _check_machine(spec, images)
    if files.read(SPEC_FILE) is not None:
        raise SpecError(_HELD.format(files.location))
    return preview(spec, images, Path(directory).absolute() if not files.uri else Path(files.location))


def _check_machine(spec: SweepSpec, images: Images) -> None:
    check_local_resources(spec)
    if spec.is_here:  # a cluster is not judged
        check_memory(spec, images)


def _make_folder(path: Path) -> bool:
    """Make the folder of a sweep; return whether it was not there."""
    try:
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise SpecError(f"`out` {str(path)!r} cannot be written: {getattr(error, 'strerror', error)}") from None
    return is_new


@contextmanager
def _undone_if_refused(files: SweepFiles, copies: Sequence[SweepFiles], is_new: bool) -> Iterator[None]:
    """Remove what was written where only the storage or the cluster could tell that something is wrong."""
    try:
        yield
    except SpecError:  # nothing was measured
        for copy in copies:
            copy.remove(SPEC_FILE, VERSIONS_FILE)
        for name in (JOURNAL, STUDY_NAME):
            (files.local / name).unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(files.local, ignore_errors=True)
        raise


def _files(directory: str | Path, argument: str = "out") -> SweepFiles:
    """Return a sweep's files, of which a bad name is the user's mistake."""
    try:
        return SweepFiles(directory)
    except StoreError as error:
        raise SpecError(f"`{argument}` {error}") from None


def _argument(spec: Storage, files: SweepFiles) -> str:
    """Return the name of the option that says where the results are."""
    return "storage" if spec.storage and not files.uri else "out"


def _create_store(spec: SweepSpec, files: SweepFiles) -> Store:
    """Return the store of a new sweep."""
    try:
        store = Store(spec.storage or files.location, spec.digest)
        store.create()
    except StoreError as error:
        raise SpecError(f"`{_argument(spec, files)}` {error}") from None
    return store


def _find_store(spec: SweepSpec, files: SweepFiles) -> Store:
    """Return the store of a sweep that goes on; one that is away is waited for: else all would be measured again."""
    store, end = Store(spec.storage or files.location, spec.digest), time.monotonic() + _STORE_COMES_BACK
    for wait in count(1):
        try:
            files.check_storage(spec)
            store.check()
            return store
        except StoreError as error:
            if isinstance(error.__cause__, PermissionError):
                raise SpecError(f"`{_argument(spec, files)}` {error}") from None
            if time.monotonic() + wait > end:
                raise SpecError(f"`{_argument(spec, files)}` {error}; where are the results?") from None
            logging.getLogger(__name__).warning("WAITING FOR THE STORAGE: %s", error)
            time.sleep(wait)
    raise AssertionError("unreachable")


@contextmanager
def _alone(files: SweepFiles, spec: Storage) -> Iterator[None]:
    """Hold the locks of the sweep: on this machine, and where its results are."""
    with ExitStack() as locks:
        locks.enter_context(locked(files.local, files.location))
        if spec.storage:
            locks.enter_context(locked(spec.storage))
        yield


def _with_absolute_paths(spec: SweepSpec, files: SweepFiles) -> SweepSpec:
    """Return the spec with absolute paths, so that the sweep can be resumed from anywhere."""
    storage = spec.storage and (spec.storage if "://" in spec.storage else str(Path(spec.storage).absolute()))
    if files.uri and storage:
        raise SpecError(f"`storage` must be left out where `out` is a URI, got {storage!r}")
    if storage and _files(storage, "storage") == files:
        storage = None
    is_file = spec.dataset.endswith(".npz") or is_program(spec.dataset)
    return replace(
        spec,
        dataset=str(Path(spec.dataset).absolute()) if is_file else spec.dataset,
        data_dir=str(Path(spec.data_dir).absolute()),
        storage=files.uri or storage,
    )


@left_as_found()
def resume(
    directory: str | Path,
    *,
    images: Any = None,
    quiet: bool = True,
    callbacks: Sequence[Any] = (),
    make: "MakeProber | None" = None,
    log: Sequence[str] = (),
    retry_failed: bool = False,
    verbose: bool = False,
    **changes: Any,
) -> Results:
    """Go on with the sweep in a directory or at a URI; ``changes`` are fields of its spec that may change.

    ``dataset``, ``data_dir`` and ``download`` may be given for another machine: what the spec says of downloads is not
    obeyed, nor is a program run that it names, so that a spec from elsewhere has nothing written outside of the sweep.
    ``images`` are as of `run`. ``retry_failed``: measure points that failed once more.
    ``quiet``, ``verbose``, ``callbacks``, ``make`` and ``log`` as in `run`; trackers get the points of
    before, too, if they have not had them.

    Raises
    ------
    SpecError
        No sweep there, a tracker that is not installed, another driver is at it, or a change that is not allowed.
    """
    check(log)
    files = _files(directory)
    old = files.read_spec()
    spec = _changed(old, changes)
    files.check()
    images = _images_again(spec, images, {k: changes[k] for k in local(old) if k in changes})
    check_local_resources(spec)
    _warn_of_other_versions(files)
    store = _find_store(spec, files)
    with _alone(files, spec):
        for name, reason in store.set_aside().items():
            logging.getLogger(__name__).warning("set aside: %s: %s", name, reason)
        if spec != old:
            for copy in files.spec_copies(spec):
                copy.write_spec(spec)
        locations = [p.location for p in files.spec_copies(spec)]
        measure(
            *(spec, files.local, images, quiet, callbacks, make),
            retry_failed=retry_failed,
            log=log,
            verbose=verbose,
            locations=locations,
        )
    return load(directory)


def _images_again(spec: SweepSpec, given: Any, here: dict[str, Any]) -> Images:
    """Return the data of a sweep that goes on, ``given`` or loaded, with the options of this machine in ``here``."""
    if given is not None:
        images = given_images(given, spec)
    else:
        images = sweep_images(replace(spec, **{"download": False} | here), run_code="dataset" in here)
    if spec.fingerprint is None and (given is not None or "dataset" in here):
        raise SpecError("`dataset` of a sweep that does not know the content of its data must be left out")
    if spec.fingerprint not in (None, images.fingerprint):
        name = printable(here.get("dataset", spec.dataset))
        raise SpecError(
            f"`dataset` {name!r} must hold the images and labels that this sweep measured, but holds others"
        )
    return images


def _warn_of_other_versions(files: SweepFiles) -> None:
    """Say in one line where a sweep goes on with another version of this project or of torch."""
    began, here = files.versions() or {}, installed_versions(*_COMPARED)
    other = [n for n in _COMPARED if n in began and began[n] != here.get(n)]
    if other:
        told = [f"{n} {printable(str(began[n]))[:40]} (here is {here.get(n, 'none')})" for n in other]
        logging.getLogger(__name__).warning("the sweep began with %s", ", ".join(told))


def _changed(old: SweepSpec, changes: dict[str, Any]) -> SweepSpec:
    """Return the spec of a sweep that goes on, with changes that are allowed."""
    if fixed := sorted(set(changes) - {*changeable(old), *local(old)}):
        raise SpecError(f"`{fixed[0]}` of a sweep cannot be changed; what can: {', '.join(changeable(old))}")
    spec = replace(old, **{k: v for k, v in changes.items() if k not in local(old)})
    if spec.points < old.points:
        raise SpecError(f"`points` must be at least {old.points}, the budget of this sweep, got {spec.points}")
    if spec.address not in _OWN_CLUSTERS and "address" not in changes:
        raise SpecError(f"`address` must be given again, to join the cluster at {printable(str(spec.address))!r}")
    if spec.study is not None and "study" not in changes:  # any database that this user may write to
        named = printable(spec.study)
        raise SpecError(f"`study` must be given again, to use the server at {named!r}, or as none, to go on without it")
    return spec


def default_directory() -> Path:
    """Return ``runs/<timestamp>``."""
    from datetime import datetime

    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
