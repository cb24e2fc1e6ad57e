"""Stand-ins for PBS and Flux that keep a queue of real processes: one server a session for each, left idle by each test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import launched
import pytest
from schedulers.engine import ask

_HERE = Path(__file__).parent
_COMMANDS = {
    "pbs": ("qsub", "qstat", "qdel", "qsig", "qselect", "pbsnodes", "pbs_tmrsh", "pbsdsh"),
    "flux": ("flux",),
}


@dataclass(frozen=True)
class StandIn:
    """A scheduler that answers as the real one was observed to."""

    name: str
    folder: Path
    server: subprocess.Popen

    @property
    def link(self) -> str:
        """The socket of its server."""
        return str(self.folder / "link")

    def control(self, *words: str) -> list[list]:
        """What no user can ask for: see `schedulers.engine.control`. Returns the jobs: id, name, state, why, code."""
        _, out, _ = ask(self.link, ["control", *words], {}, "/")
        return json.loads(out)

    def alive(self) -> list[str]:
        """The ids of the jobs that have not ended."""
        return [id for id, _, state, *_ in self.control("jobs") if state != "ended"]

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """The server does not answer, and does later what it was asked for."""
        self.server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running(name: str) -> Iterator[StandIn]:
    """A stand-in of its own."""
    with tempfile.TemporaryDirectory(prefix=f"stand-in-{name}-", dir="/tmp") as folder:
        place = Path(folder)
        (place / "bin").mkdir()
        for command in _COMMANDS[name]:
            (place / "bin" / command).write_text(f"#!{sys.executable} -SE\n{(_HERE / 'client.py').read_text()}")
            (place / "bin" / command).chmod(0o755)
        (place / "home").mkdir()
        # A login shell sets PATH anew, and the site's profile makes the scheduler's commands known.
        (place / "home" / ".bash_profile").write_text(f"export PATH={place / 'bin'}:$PATH\n")
        dialect = _HERE.parent / name / "dialect.py"
        server = subprocess.Popen([sys.executable, dialect, place / "link", place / "home", place / "bin"])
        try:
            while not (place / "link").exists():
                assert server.poll() is None
                time.sleep(0.02)
            yield StandIn(name, place, server)
        finally:
            server.send_signal(signal.SIGCONT)
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def pbs_server() -> Iterator[StandIn]:
    """The server of a PBS."""
    with running("pbs") as found:
        yield found


@pytest.fixture(scope="session")
def flux_server() -> Iterator[StandIn]:
    """The broker of a Flux instance."""
    with running("flux") as found:
        yield found


def use(found: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the commands that are started now what a user has, whose scheduler this is."""
    for variable in list(os.environ):
        if variable.startswith(("SLURM_", "SBATCH_", "PBS_", "FLUX_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("PATH", f"{found.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", found.link)
    monkeypatch.setenv("RANKLOOP_SITE", found.name)
    monkeypatch.setattr(launched, "COMMAND", [str(_HERE / "impatient.py")])


@contextlib.contextmanager
def _own(found: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    use(found, monkeypatch)
    yield found
    found.control("reset")
    deadline = time.monotonic() + 10
    while found.alive() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.fixture
def clean_pbs(pbs_server: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """PBS, idle, as this test's own."""
    with _own(pbs_server, monkeypatch) as found:
        yield found


@pytest.fixture
def clean_flux(flux_server: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Flux, idle, as this test's own."""
    with _own(flux_server, monkeypatch) as found:
        yield found
