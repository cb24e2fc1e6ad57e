"""The Slurm cluster that tests run on: one a session, left idle by each test; see tests/slurm/cluster."""

import contextlib
import fcntl
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("cluster")
_PREFIX = "emulated-slurm-"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "unshare", "flock")
_CLIENT_VARIABLES = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_", "SCANCEL_", "PMI_", "PMIX_", "OMPI_")
_ADVICE = "tests/slurm/install.sh installs Slurm, as root on Debian"
_failed = pytest.StashKey[bool]()


@dataclass(frozen=True)
class Cluster:
    """A running cluster of emulated nodes.

    Attributes
    ----------
    directory : pathlib.Path
        Its configuration, logs and pid files: `slurm.conf`, `slurmctld.log`, `node<k>.log`, `slurmctld.pid`.
    nodes : int
        Number of nodes; they are called node1, node2, ...
    """

    directory: Path
    nodes: int

    @property
    def own_hosts(self) -> bool:
        """Whether each node has a host name, /etc/hosts, /dev/shm and network of its own (this needs root)."""
        return "NodeHostname=node1 " in (self.directory / "slurm.conf").read_text()

    def control(self, command: str, *arguments: str) -> str:
        """Run `tests/slurm/cluster COMMAND DIR ARGUMENTS` (on-node, crash-node, start-node, reset, report); return its output.

        Raises
        ------
        RuntimeError
            With what the script said, if it fails.
        """
        done = subprocess.run(
            [_SCRIPT, command, self.directory, *arguments],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"cluster {command} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout + done.stderr

    @property
    def controller(self) -> int:
        """The pid of slurmctld: to stop it, kill it and let it go on. `reset` revives it after the test."""
        return int((self.directory / "slurmctld.pid").read_text())


def queue() -> list[str]:
    """The numbers of the jobs that wait or run; one that is cancelled may show for some seconds more, as completing."""
    words = ["squeue", "-h", "-t", "PD,R", "-o", "%F"]
    return sorted(set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()))


def _end_orphans() -> None:
    """Stop the clusters of test sessions that were killed: nobody holds their lock any more."""
    for folder in Path("/tmp").glob(f"{_PREFIX}{os.getuid()}-*"):
        lock = folder / "owner.lock"
        if not lock.exists():  # just being made, or being deleted
            continue
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            subprocess.run([_SCRIPT, "stop", folder], check=False, timeout=60)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A real Slurm of 16 emulated nodes; most tests want `clean_slurm`.

    Where Slurm is not installed the test is skipped, and the summary says so; with RANKLOOP_REQUIRE_SLURM=1 it fails.
    """
    _require(_PROGRAMS)
    with started(16) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def accounting() -> Iterator[Cluster]:
    """A Slurm of 2 emulated nodes with slurmdbd, that enforces associations, limits and QOS; found while the module's tests run.

    User and account are those of the tests; QOS ``brief`` allows 10 minutes, ``few`` two jobs in the queue and one that runs.
    """
    _require((*_PROGRAMS, "slurmdbd", "mariadbd", "sacctmgr"))
    with started(2, "--accounting") as cluster, pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_CLIENT_VARIABLES):
                patch.delenv(name)
        patch.setenv("SLURM_CONF", str(cluster.directory / "slurm.conf"))
        for words in (
            "qos brief MaxWall=10 Flags=DenyOnLimit",
            "qos few MaxSubmitJobsPerUser=2 MaxJobsPerUser=1",
            "account science",
            f"user {getpass.getuser()} account=science qos=normal,brief,few defaultqos=normal",
            f"user {getpass.getuser()} account=root qos=normal,brief,few",
        ):
            subprocess.run(["sacctmgr", "-Q", "-i", "add", *words.split()], check=False, capture_output=True)
        yield cluster


def _require(programs: Sequence[str]) -> None:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if missing := [name for name in programs if not shutil.which(name, path=path)]:
        reason = f"no {', '.join(missing)} here: {_ADVICE}"
        if os.environ.get("RANKLOOP_REQUIRE_SLURM") == "1":
            pytest.fail(f"RANKLOOP_REQUIRE_SLURM=1, but there is {reason}")
        pytest.skip(reason)


@contextlib.contextmanager
def started(nodes: int, *options: str) -> Iterator[Cluster]:
    """A cluster of so many nodes, for as long as this context lasts."""
    _end_orphans()
    # Not under the checkout nor $TMPDIR: the path of munge's socket must fit into 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-", dir="/tmp"))
    with (directory / "owner.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the kernel, however this session ends
        cluster = Cluster(directory, nodes)
        try:
            cluster.control("start", str(nodes), *options)
            yield cluster
        finally:
            cluster.control("stop")


@pytest.fixture
def clean_slurm(slurm: Cluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, idle and all its nodes well, as this test's own: only during it do Slurm's commands find it.

    Afterwards all jobs are cancelled, and daemons and nodes revived. If the test failed, the state is in its output.
    """
    for name in list(os.environ):
        if name.startswith(_CLIENT_VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(slurm.directory / "slurm.conf"))
    yield slurm
    if request.node.stash.get(_failed, False):
        print(slurm.control("report"))
    slurm.control("reset")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember for `clean_slurm` that the test failed."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Say loudly, after all the rest, that the Slurm tests did not run."""
    yield
    skipped = (report.longrepr for report in terminalreporter.getreports("skipped"))
    reasons = [why[2] for why in skipped if isinstance(why, tuple) and why[2].endswith(_ADVICE)]
    if reasons:
        terminalreporter.write_sep("!", "SLURM TESTS SKIPPED", yellow=True, bold=True)
        terminalreporter.write_line(reasons[0].removeprefix("Skipped: "), yellow=True)
