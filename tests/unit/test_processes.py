"""What ends a process or is gone around it: signals, and the working directory."""

import contextlib
import io
import os
import signal
import sys
import threading

import pytest
from click.testing import CliRunner

from sweep import processes
from sweep.cli.main import main
from sweep.processes import interrupt_again, restores_process_state, terminated_is_interrupted


@pytest.fixture
def handled(request):
    """Set the handler of SIGHUP for the test."""
    old = signal.signal(signal.SIGHUP, request.param)
    yield
    signal.signal(signal.SIGHUP, old)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), restores_process_state(), terminated_is_interrupted():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_signal_that_a_library_swallows_is_not_lost(monkeypatch):
    with pytest.raises(KeyboardInterrupt), terminated_is_interrupted():
        with contextlib.suppress(BaseException), terminated_is_interrupted():
            signal.raise_signal(signal.SIGTERM)
        interrupt_again()  # what was to end may still be ending
        monkeypatch.setattr(processes, "_SWALLOWED_AFTER_S", 0.0)
        interrupt_again()
    with terminated_is_interrupted():  # of another sweep
        interrupt_again()


@pytest.mark.parametrize("handled", [signal.SIG_DFL], indirect=True)
def test_a_second_hangup_does_not_interrupt_the_tidying_up(handled):
    tidied = False
    with pytest.raises(KeyboardInterrupt), terminated_is_interrupted():
        try:
            with terminated_is_interrupted():
                signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGHUP)
            tidied = True
    assert tidied


@pytest.mark.parametrize("handled", [signal.SIG_IGN], indirect=True)
def test_a_hangup_is_ignored_where_nohup_says_so(handled):
    with terminated_is_interrupted():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_threads_leave_signals_alone():
    def work():
        with restores_process_state(), terminated_is_interrupted():
            seen.append(signal.getsignal(signal.SIGTERM))

    before, seen = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_working_directory_that_was_removed(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "x")])
    assert refused.exit_code == 2 and "the working directory does not exist any more" in refused.stderr
    with pytest.raises(FileNotFoundError, match="does not exist any more; change"), restores_process_state():
        pass
    monkeypatch.undo()


def test_a_working_directory_that_is_removed_meanwhile(monkeypatch, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with restores_process_state():
        os.chdir(tmp_path)
        folder.rmdir()


@pytest.mark.parametrize("closed", [True, False])
def test_streams_that_a_program_has_closed(monkeypatch, closed):
    """A daemon may have closed its standard streams, or have none."""
    stream = io.StringIO() if closed else None
    if closed:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with restores_process_state():
        print("a word", file=sys.stderr)
        print("a word")
        assert sys.stdout.fileno() > 2 and not sys.stderr.isatty()
    assert sys.stdout is sys.stderr is stream
