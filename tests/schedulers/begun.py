"""Runs that mostly wait, for a time limit or as they hang, in a queue of their own: other tests go on meanwhile."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hangs import WAYS, words
from launched import Launched
from schedulers.fixtures import StandIn, running, use
from schedulers.test_pbs_and_flux import SLEEP
from schedulers.test_schedulers import LEAVES

from launch.record.rundir import RunDir

QUEUE = next(way for way in WAYS if way.name == "queue")


class Begun:
    """Runs by name, each with a launcher that waits for its end."""

    def __init__(self, scheduler: StandIn, folder: Path) -> None:
        self.scheduler, self._folder = scheduler, folder
        for name, text in (("leaves", LEAVES), ("sleeps", SLEEP)):
            (folder / f"{name}.py").write_text(text)
        given = {
            "again": ("--time", "0:24", "--warn", 14, "--max-attempts", 2, folder / "leaves.py"),
            "late": ("--time", "0:16", folder / "sleeps.py"),
            "hangs": ("--time=5", "--sample-hz=0", "--max-attempts=2", *words(QUEUE, folder)),
        }
        self._launched = {
            name: Launched("-N", 2, "--runs", folder, "--name", name, *more) for name, more in given.items()
        }

    def of(self, name: str, status: int) -> RunDir:
        """A run, once its launcher has ended, with this status."""
        run = RunDir(self._folder / name)
        found, said = self._launched[name].wait()
        assert found == status, said + (run.job_log.read_text() if run.job_log.exists() else "")
        return run

    def end(self) -> None:
        """End the launchers that nobody has waited for."""
        for launched in self._launched.values():
            launched.process.kill()


@contextlib.contextmanager
def begun_under(name: str, folder: Path) -> Iterator[Begun]:
    """The runs, under a stand-in of their own."""
    with running(name) as scheduler:
        with pytest.MonkeyPatch.context() as patch:
            use(scheduler, patch)
            found = Begun(scheduler, folder)
        try:
            yield found
        finally:
            found.end()
            scheduler.control("reset")
