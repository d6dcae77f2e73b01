"""Running and resuming sweeps: their directories and locks, and what may be changed."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.custom.function import Custom
from probes.datasets import FROM_PYTHON_PREFIX, Images
from probes.programs import is_program
from probes.settings import ProbeSettings
from sweep.errors import SpecError, StoreError, UnavailableError
from sweep.execution.cluster import check_local_resources
from sweep.execution.driver import measure
from sweep.measuring.memory import check_memory, largest
from sweep.measuring.own_network import named, own_network, prepared, sent
from sweep.measuring.settings import given_images, probe_settings, sweep_images
from sweep.processes import restores_process_state
from sweep.results.loading import load
from sweep.results.results import Results
from sweep.search.journal import JOURNAL, STUDY_NAME
from sweep.spec.options import changeable, local
from sweep.spec.parts import Storage
from sweep.spec.spec import SweepSpec
from sweep.storage.heartbeat import WAITING_FOR_STORAGE
from sweep.storage.lock import locked
from sweep.storage.store import Store
from sweep.storage.sweep_files import SPEC_FILE, VERSIONS_FILE, SweepFiles
from sweep.text import printable
from sweep.trackers.trackers import check
from sweep.version import installed_versions

if TYPE_CHECKING:
    from sweep.execution.trainable import MakeProber

_HOLDS_A_SWEEP = "`out` {0!r} holds a sweep already; go on with it by `sweep resume {0}`"
_STORAGE_TIMEOUT_S = 60.0  # how long `resume` waits for a storage that cannot be reached
_COMPARED_PACKAGES = ("trainability-sweep", "torch")  # whose versions may change what is measured
# Addresses that are used without being given again. Answers of a cluster are unpickled, so that a spec which somebody
# else has written must not be able to name one.
_TRUSTED_ADDRESSES = (None, "auto", "local")


@restores_process_state()
def run(
    spec: SweepSpec,
    directory: str | Path,
    *,
    images: Any = None,
    network: Callable[..., Any] | Custom | None = None,
    quiet: bool = True,
    callbacks: Sequence[Any] = (),
    make: "MakeProber | None" = None,
    log: Sequence[str] = (),
    verbose: bool = False,
) -> Results:
    """Run a new sweep, and return its results when it is done.

    Parameters
    ----------
    spec:
        The specification of the sweep.
    directory:
        The directory for the results, which must not hold a sweep yet, or a URI such as ``s3://bucket/path``.
    images:
        The data, in place of ``spec.dataset``: a `probes.Images`, or the four arrays train_images, train_labels,
        test_images and test_labels that `probes.images_of` takes. Such data has to be given to `resume`, too.
    network:
        Function of yours that makes the networks, or a `probes.Custom`, in place of a program that ``spec.network``
        names; see `probes.custom`. It has to be given to `resume`, too.
    quiet:
        Do not show the progress on standard error.
    callbacks:
        Callbacks for Ray Tune. They get a result after every epoch of training, with the accuracy and loss of every
        network that is being trained.
    make:
        Function that makes what measures points in place of the probes, for example a `Rehearsal`.
    log:
        Trackers that get a run for every point: ``tensorboard``, ``mlflow``, ``wandb``.
    verbose:
        Show the output of Ray and Tune, too.

    Returns
    -------
    Results
        The results of the sweep. Points that failed are rows with their error.

    Raises
    ------
    SpecError
        The input is not valid: for example, the data set cannot be loaded, a tracker is not installed, or the directory
        holds a sweep already or cannot be written.
    KeyboardInterrupt
        The sweep was interrupted by Ctrl-C or SIGTERM, or its time limit was reached. What had been measured is stored,
        and `resume` goes on with it.
    """
    check(log)
    files = _files(directory)
    spec = _new(named(_with_absolute_paths(spec, files), network))
    if images is None:
        images = sweep_images(spec, run_code=True)
    else:
        images = given_images(images, spec)
        spec = replace(spec, dataset=FROM_PYTHON_PREFIX + images.name)
    with own_network(spec, network) as custom:
        spec, custom = prepared(replace(spec, fingerprint=images.fingerprint), custom, images)
        settings = probe_settings(spec, sent(custom))
        _check_machine(spec, settings, images)
        is_new = _make_folder(files.local)
        files.check()
        store, copies = _create_store(spec, files), files.spec_copies(spec)
        with _locks_held(files, spec):
            if files.read(SPEC_FILE) is not None:
                raise SpecError(_HOLDS_A_SWEEP.format(files.location))
            if store.read([]).seen or any(p.read(SPEC_FILE) is not None for p in copies[1:]):
                raise SpecError(
                    f"`{_results_option(spec, files)}` {copies[-1].location!r} holds the results of another sweep"
                )
            with _removed_if_refused(files, copies, store, is_new):
                for copy in copies:
                    copy.write_spec(spec)
                    copy.write_versions()
                measure(
                    *(spec, files.local, settings, images, quiet, callbacks, make),
                    log=log,
                    verbose=verbose,
                    locations=[p.location for p in copies],
                )
    return load(directory)


def dry_run(spec: SweepSpec, directory: str | Path) -> dict[str, str]:
    """Return a description of what `run` would do: a text for each topic, see `preview`.

    Nothing is written, and Ray is not started.

    Raises
    ------
    SpecError
        `run` would refuse the spec, the data or the directory before it writes anything.
    """
    from sweep.execution.preview import preview

    files = _files(directory)
    spec = _new(_with_absolute_paths(spec, files))
    images = sweep_images(spec, run_code=True)
    with own_network(spec) as custom:
        spec, custom = prepared(spec, custom, images)
        settings = probe_settings(spec, sent(custom))
        _check_machine(spec, settings, images)
        if files.read(SPEC_FILE) is not None:
            raise SpecError(_HOLDS_A_SWEEP.format(files.location))
        return preview(spec, settings, images, Path(files.location) if files.uri else Path(files.location).absolute())


def _new(spec: SweepSpec) -> SweepSpec:
    """Return a spec without what is known of data and code that may have changed since it was made."""
    return replace(spec, fingerprint=None, code=None, nested=False)


def _check_machine(spec: SweepSpec, settings: ProbeSettings, images: Images) -> None:
    check_local_resources(spec)
    if spec.is_here:  # the memory of a cluster's nodes is not known yet
        import torch

        on_gpu = torch.cuda.is_available() and spec.gpus_per_trial != 0  # where the prober halves packs that do not fit
        largest_settings = largest(settings, images, spec)
        check_memory(largest_settings, images, spec.depth[1], pack=1 if on_gpu else spec.pack or 1)


def _make_folder(path: Path) -> bool:
    """Make the folder of a sweep, and return whether it is new."""
    try:
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise SpecError(f"`out` {str(path)!r} cannot be written: {getattr(error, 'strerror', error)}") from None
    return is_new


@contextmanager
def _removed_if_refused(files: SweepFiles, copies: Sequence[SweepFiles], store: Store, is_new: bool) -> Iterator[None]:
    """Remove the files of a new sweep again if the ``with`` block fails before anything is measured.

    Some errors show only when the storage or the cluster is used.
    """
    try:
        yield
    except (SpecError, UnavailableError):
        if _holds_points(store):  # whatever failed afterwards
            raise
        for copy in copies:
            copy.remove(SPEC_FILE, VERSIONS_FILE)
        for name in (JOURNAL, STUDY_NAME):
            (files.local / name).unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(files.local, ignore_errors=True)
        raise


def _holds_points(store: Store) -> bool:
    """Return whether a store holds points, or cannot be read and may hold some."""
    try:
        return bool(store.read([]).seen)
    except StoreError:
        return True


def _files(directory: str | Path, argument: str = "out") -> SweepFiles:
    """Return the files of a sweep; a name that is not valid is an error in ``argument``."""
    try:
        return SweepFiles(directory)
    except (SpecError, StoreError) as error:
        raise _named(argument, error) from None


def _named(argument: str, error: SpecError | StoreError) -> Exception:
    """Return an error of the argument that says where results are to be stored."""
    kind = UnavailableError if isinstance(error, UnavailableError) else SpecError
    return kind(f"`{argument}` {error}")


def _results_option(spec: Storage, files: SweepFiles) -> str:
    """Return the name of the option that says where the results are stored."""
    return "storage" if spec.storage and not files.uri else "out"


def _create_store(spec: SweepSpec, files: SweepFiles) -> Store:
    """Make and return the store of a new sweep."""
    try:
        store = Store(spec.storage or files.location, spec.digest, spec.further_names)
        store.create()
    except StoreError as error:
        raise _named(_results_option(spec, files), error) from None
    return store


def _find_store(spec: SweepSpec, files: SweepFiles) -> Store:
    """Return the store of a sweep that is resumed, and wait up to a minute if it cannot be reached.

    A store that is missing is never made anew, since all points would then be measured again.
    """
    store = Store(spec.storage or files.location, spec.digest, spec.further_names)
    end = time.monotonic() + _STORAGE_TIMEOUT_S
    for wait in count(1):
        try:
            files.check_storage(spec)
            store.check()
            return store
        except StoreError as error:
            if isinstance(error.__cause__, PermissionError):
                raise _named(_results_option(spec, files), error) from None
            if time.monotonic() + wait > end:
                text = f"`{_results_option(spec, files)}` {error}; make the results available again"
                raise UnavailableError(text) from None
            logging.getLogger(__name__).warning("%s: %s", WAITING_FOR_STORAGE, error)
            time.sleep(wait)
    raise AssertionError("unreachable")


@contextmanager
def _locks_held(files: SweepFiles, spec: Storage) -> Iterator[None]:
    """Hold the locks of a sweep within a ``with`` block: on this machine, and where its results are stored."""
    with ExitStack() as locks:
        locks.enter_context(locked(files.local, files.location))
        if spec.storage:
            locks.enter_context(locked(spec.storage))
        yield


def _with_absolute_paths(spec: SweepSpec, files: SweepFiles) -> SweepSpec:
    """Return the spec with absolute paths, so that the sweep can be resumed from any working directory."""
    storage = spec.storage and (spec.storage if "://" in spec.storage else str(Path(spec.storage).absolute()))
    if files.uri and storage:
        raise SpecError(f"`storage` must be left out where `out` is a URI, got {storage!r}")
    if storage and _files(storage, "storage") == files:
        storage = None
    is_file = spec.dataset.endswith(".npz") or is_program(spec.dataset)
    return replace(
        spec,
        dataset=str(Path(spec.dataset).absolute()) if is_file else spec.dataset,
        network=str(Path(spec.network).absolute()) if spec.network and is_program(spec.network) else spec.network,
        data_dir=str(Path(spec.data_dir).absolute()),
        storage=files.uri or storage,
    )


@restores_process_state()
def resume(
    directory: str | Path,
    *,
    images: Any = None,
    network: Callable[..., Any] | Custom | str | None = None,
    quiet: bool = True,
    callbacks: Sequence[Any] = (),
    make: "MakeProber | None" = None,
    log: Sequence[str] = (),
    retry_failed: bool = False,
    verbose: bool = False,
    **changes: Any,
) -> Results:
    """Go on with a sweep, and return its results when it is done.

    Parameters
    ----------
    directory:
        The directory of the sweep, or its URI.
    images:
        The data, as in `run`; needed where `run` was given data.
    network:
        The function that makes the networks, or the name of its program, ``FILE.py:FUNCTION``; needed where the sweep
        has one. Its code has to be what it was.
    quiet, callbacks, make, verbose:
        As in `run`.
    log:
        Trackers, as in `run`; they also get the points that were measured before, unless they have logged them already.
    retry_failed:
        Measure points again that have failed.
    **changes:
        New values for fields of the spec that may change, such as ``points``. ``dataset``, ``data_dir``, ``download``
        and ``layout`` may be given for another machine. For safety, the spec's own ``download`` is taken to be false,
        and a program that it names, for its data or its networks, is run only if it is given here: a spec that somebody
        else has written can therefore write nothing outside of the sweep.

    Returns
    -------
    Results
        The results of the whole sweep.

    Raises
    ------
    SpecError
        The input is not valid: for example, there is no sweep, a tracker is not installed, a change is not allowed, or
        the sweep is being run by another process.
    KeyboardInterrupt
        As in `run`.
    """
    check(log)
    files = _files(directory)
    old = files.read_spec()
    spec = _changed_spec(old, changes)
    files.check()
    images = _images_to_resume(spec, images, {k: changes[k] for k in local(old) if k in changes})
    with _network_to_resume(spec, network, images) as custom:
        settings = probe_settings(spec, sent(custom))
        _check_machine(spec, settings, images)
        _warn_of_other_versions(files)
        store = _find_store(spec, files)
        with _locks_held(files, spec):
            for name, reason in store.set_aside().items():
                logging.getLogger(__name__).warning("set aside: %s: %s", name, reason)
            if spec != old:
                for copy in files.spec_copies(spec):
                    copy.write_spec(spec)
            measure(
                *(spec, files.local, settings, images, quiet, callbacks, make),
                retry_failed=retry_failed,
                log=log,
                verbose=verbose,
                locations=[p.location for p in files.spec_copies(spec)],
            )
    return load(directory)


def _images_to_resume(spec: SweepSpec, given: Any, local_options: dict[str, Any]) -> Images:
    """Return the data of a sweep that is resumed, and refuse data that the sweep has not measured.

    ``given`` is what the user gave as ``images``, None to load the data set; ``local_options`` are the options that the
    user gave for this machine: ``dataset``, ``data_dir``, ``download`` and ``layout``.
    """
    here = replace(spec, **{"download": False} | local_options)
    if given is not None:
        images = given_images(given, here)
    else:
        images = sweep_images(here, run_code="dataset" in local_options)
    if spec.fingerprint is None and (given is not None or "dataset" in local_options):
        raise SpecError(
            "`dataset` must be left out: this sweep of an older version has no record of its data to compare"
        )
    return images


@contextmanager
def _network_to_resume(
    spec: SweepSpec, given: Callable[..., Any] | Custom | str | None, images: Images
) -> Iterator[Custom | None]:
    """Give the function of the user that a sweep goes on with, and refuse one whose code has changed since.

    A program is run only if the user has named it: a spec may be somebody else's.
    """
    if spec.network is None and given is not None:
        raise SpecError("`network` must be left out: the networks of this sweep are made by no function")
    if spec.network is not None and given is None:
        raise SpecError(f"`network` must be given again, to run the program {printable(spec.network)!r}")
    here = replace(spec, network=given) if isinstance(given, str) else spec
    with own_network(here, None if isinstance(given, str) else given) as custom:
        yield prepared(here, custom, images)[1]


def _warn_of_other_versions(files: SweepFiles) -> None:
    """Log a warning if a sweep was begun with another version of this project or of torch."""
    first, installed = files.versions() or {}, installed_versions(*_COMPARED_PACKAGES)
    other = [n for n in _COMPARED_PACKAGES if n in first and first[n] != installed.get(n)]
    if other:
        versions = [f"{n} {printable(str(first[n]))[:40]} (installed: {installed.get(n, 'none')})" for n in other]
        logging.getLogger(__name__).warning("the sweep began with %s", ", ".join(versions))


def _changed_spec(old: SweepSpec, changes: dict[str, Any]) -> SweepSpec:
    """Return the spec of a sweep with the user's changes, and refuse those that are not allowed."""
    if fixed := sorted(set(changes) - {*changeable(old), *local(old)}):
        raise SpecError(
            f"`{fixed[0]}` cannot be changed in a sweep that has begun; options that can: {', '.join(changeable(old))}"
        )
    spec = replace(old, **{k: v for k, v in changes.items() if k not in local(old)})
    if spec.points < old.points:
        raise SpecError(f"`points` must be at least {old.points}, the budget of this sweep, got {spec.points}")
    if spec.address not in _TRUSTED_ADDRESSES and "address" not in changes:
        raise SpecError(f"`address` must be given again, to join the cluster at {printable(str(spec.address))!r}")
    # A spec that somebody else has written must not choose a database that this user may write to.
    if spec.study is not None and "study" not in changes:
        server = printable(spec.study)
        raise SpecError(
            f"`study` must be given again, to use the server at {server!r}, or as none, to go on without it"
        )
    return spec


def default_directory() -> Path:
    """Return the directory of a sweep for which the user has named none: ``runs/<timestamp>``."""
    from datetime import datetime

    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
