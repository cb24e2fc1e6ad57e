"""Kill launchers at every point of what they do, on a real Slurm, and look what became of their jobs.

    SLURM_CONF=DIR/slurm.conf PYTHONPATH=tests/slurm:tests/launch python tests/slurm/kills.py FOLDER [SCENARIO ...]

A scenario is a verb, a shape and how the controller behaves, as launch-array-silent; without one, all are tried. Each prints a
line of figures when its last point was met, and the whole ends with exit status 1 if anything was lost, doubled, removed or hung.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from launched import ROOT, environment, launch, until

KILLED_AT = Path(__file__).with_name("killed_at.py")
CLUSTER = Path(__file__).with_name("cluster")
SHAPES = {"run": (), "array": ("--repeats=2",), "pack": ("--repeats=2", "--pack"), "workflow": ()}
TROUBLES = ("answers", "silent", "slow", "down", "wrapped")
SCENARIOS = (
    *(f"launch-{shape}-{trouble}" for trouble in TROUBLES for shape in SHAPES if (shape, trouble) != ("pack", "wrapped")),
    *(f"{verb}-{shape}-answers" for verb in ("recover", "resume", "cancel") for shape in SHAPES),
    *(f"{verb}-run-{trouble}" for verb in ("recover", "resume", "cancel") for trouble in ("silent", "slow", "down")),
)  # fmt: skip
WITHIN_S = 180  # a command that takes longer hangs

PROGRAM = """
import os, sys, time
folder = FOLDER  # and not that of the script, which runs from a snapshot
note = os.open(f"{folder}/started", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.write(note, f"{os.environ['LAUNCH_RUN']} {os.environ['LAUNCH_ATTEMPT']}\\n".encode())
if os.environ["LAUNCH_ATTEMPT"] == "1" and sys.argv[1] == "stops":
    from launch.node import stop
    stop.install()
    sys.exit(stop.STOPPED)
while sys.argv[1] == "waits" and not os.path.exists(f"{folder}/go"):
    time.sleep(0.1)
"""
WORKFLOW = """
[job]
time = 5
[[stage]]
name = "a"
workload = "PROGRAM"
arguments = ["MODE"]
job.repeats = 2
[[stage]]
name = "b"
after = ["a"]
workload = "PROGRAM"
arguments = ["ends"]
"""


class Fault(AssertionError):
    """Something is not as it has to be; the first word says of which kind: lost, twice, hung, removed or wrong."""


@dataclass
class Figures:
    """Of a scenario."""

    scenario: str
    kills: int = 0
    seconds: float = 0.0
    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """As it is printed."""
        kinds = Counter(fault.partition(" ")[0] for fault in self.faults)
        names = ("taken", "not taken", "resumed", "cancelled")
        counts = "  ".join(f"{name} {self.counts[name]}" for name in names)
        bad = "  ".join(f"{name} {kinds[name]}" for name in ("lost", "twice", "removed", "hung", "wrong"))
        return f"{self.scenario:24} kills {self.kills:3}  {counts}  {bad}  {self.seconds:.0f} s"


class Trial:
    """A launcher that is killed at a point, and what is done afterwards.

    Parameters
    ----------
    folder : Path
        Of the trial, not there yet.
    scenario : str
        VERB-SHAPE-TROUBLE.
    then : str
        What is done after the kill: "resume", to the end; or "cancel", of jobs that Slurm holds back, and then resume.
    quick : bool
        Count the points from the first job folder on, and do not wait for the program's end: all jobs are held back.
    """

    def __init__(self, folder: Path, scenario: str, then: str, quick: bool = False) -> None:
        self.verb, self.shape, self.trouble = scenario.split("-")
        self.folder, self.then = folder, then
        self.quick = quick
        self.path = folder / "runs" / "x"
        folder.mkdir(parents=True)
        held = ["--sbatch-arg=--hold"] if quick or then == "cancel" and self.verb != "resume" else []
        mode = "stops" if self.verb == "resume" else "waits" if self.verb == "cancel" and not held else "ends"
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM.replace("FOLDER", repr(str(folder))))
        site = folder / "site.toml"
        site.write_text("patience_s = 40\n")
        self.words = ["--detach", f"--site={site}", *held, "--runs", str(folder / "runs"), "--name=x", "--time=5"]
        self.words += SHAPES[self.shape]
        if self.shape == "workflow":
            file = folder / "workflow.toml"
            file.write_text(WORKFLOW.replace("PROGRAM", str(self.program)).replace("MODE", mode))
            self.words += [str(file)]
        else:
            self.words += [str(self.program), mode]
        self.held = bool(held)
        self.mine: list[Path] = []
        if jobs := self.jobs():
            raise SystemExit(f"Slurm remembers jobs of {folder} ({', '.join(jobs)}): give another folder")

    # What a user does

    def launch(self, *words: object) -> subprocess.CompletedProcess:
        """Run a command; one that hangs or ends in a traceback is a fault."""
        try:
            done = launch(*words, wait=WITHIN_S)
        except subprocess.TimeoutExpired as error:
            raise Fault(f"hung {words}: {error.stdout!r} {error.stderr!r}") from None
        if "Traceback" in done.stderr:
            raise Fault(f"wrong {words}: {done.stderr}")
        return done

    def prepare(self) -> None:
        """Bring the run to where the verb that is killed begins."""
        if self.verb == "recover":
            self.killed(self.words, "answered", "answers", {})
            if not self.jobs():
                raise Fault("wrong no job was taken from the first launcher")
        elif self.verb != "launch":
            done = self.launch(*self.words)
            if done.returncode:
                raise Fault(f"wrong {done.stderr}")
            if self.verb == "cancel" and not self.held:
                until(lambda: self.started(), WITHIN_S)
            if self.verb == "resume":
                until(lambda: not self.live() and self.started(), WITHIN_S)
        self.leave_files()

    def leave_files(self) -> None:
        """Files of the user's own, beside what is in the folder of each run."""
        for path in [self.path, *self.runs()] if self.path.is_dir() else []:
            mine = path / "mine.txt"
            mine.write_text("mine")
            self.mine.append(mine)

    def kill(self, point: int) -> bool:
        """Have the verb killed at a point; whether it was."""
        words = {"launch": self.words, "cancel": ["cancel", str(self.path)]}.get(
            self.verb, ["resume", str(self.path), "--detach"]
        )
        more = {}
        if self.quick or self.trouble != "answers" and self.verb != "recover":
            more["KILLED_AT_FIRST"] = "scancel" if self.verb == "cancel" else "job"
        if point % 4 == 3:
            more["KILLED_AT_GROUP"] = "1"
        return self.killed(words, point, self.trouble, more)

    def killed(self, words: list[str], point: int | str, trouble: str, more: dict[str, str]) -> bool:
        """Run killed_at.py while the controller behaves as it is told to."""
        controller = _controller()
        if trouble in ("silent", "down"):
            number = signal.SIGSTOP if trouble == "silent" else signal.SIGTERM
            more["KILLED_AT_TROUBLE"] = f"{int(number)}:{controller}"
        if trouble == "wrapped":
            more["PATH"] = f"{self._wrapper()}:{os.environ['PATH']}"
        log = self.folder / "killed.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, KILLED_AT, str(point), *words],
                cwd=ROOT, env=environment(**more), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        try:
            with contextlib.suppress(AssertionError):  # until it is killed, or has met the trouble for long enough
                patience_s = 15 if self.verb == "cancel" else 60
                until(lambda: process.poll() is not None or "does not answer" in log.read_text(), patience_s)
            if trouble == "silent" and process.poll() is not None and int(point) % 5 == 0:
                self.ask_in_silence()
        finally:
            if trouble == "silent":
                os.kill(controller, signal.SIGCONT)
            if trouble == "down":
                subprocess.run([CLUSTER, "revive", _cluster()], check=True, capture_output=True)
        try:
            status = process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Fault(f"hung {words}: {log.read_text()}") from None
        refused = status == 2 and (trouble != "answers" or self.verb == "recover")  # as it runs, or nobody answers
        if status not in (-signal.SIGKILL, 0) and not refused:
            raise Fault(f"wrong exit status {status} of {words}: {log.read_text()}")
        return status == -signal.SIGKILL

    def ask_in_silence(self) -> None:
        """Nothing hangs, nothing is begun or called cancelled while nobody answers."""
        if not self.path.exists():
            return
        self.status()
        for words in (["resume", self.path, "--detach"], ["cancel", self.path]):
            done = self.launch(*words)
            if done.returncode not in (2, 3) and "not running" not in done.stdout:
                raise Fault(f"wrong {words} in silence: {done.stdout} {done.stderr}")

    def _wrapper(self) -> Path:
        """A site's own sbatch, which takes its time before and after."""
        wrapper = self.folder / "bin" / "sbatch"
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(f'#!/bin/bash\nsleep 1; {shutil.which("sbatch")} "$@"; status=$?; sleep 1; exit $status\n')
        wrapper.chmod(0o755)
        return wrapper.parent

    # What can be seen

    def jobs(self, live: bool = False) -> dict[str, str]:
        """The jobs of the trial that Slurm has or had, by number, and their folders."""

        def asked() -> list[str] | None:
            words = ["squeue", "-a", "-h", "-t", "all", "-o", "%F|%T|%Z"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=120)
            return None if done.returncode else done.stdout.splitlines()

        lines = [line.split("|", 2) for line in _answered(asked)]
        over = ("COMPLETED", "COMPLETING", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        return {
            number: where
            for number, state, where in lines
            if f"{where}/".startswith(f"{self.path}/") and not (live and state in over)
        }

    def live(self) -> dict[str, str]:
        """Those that are in the queue or run."""
        return self.jobs(live=True)

    def runs(self) -> list[Path]:
        """Those of the trial."""
        return sorted(path.parent for path in self.path.rglob("run.json"))

    def started(self) -> list[str]:
        """A line for each start of the program."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "started").read_text().splitlines()
        return []

    def status(self) -> dict[Path, str]:
        """What is known of each run."""
        done = self.launch("status", "--json", self.path)
        if done.returncode:
            raise Fault(f"wrong status: {done.stderr}")
        return {Path(one["path"]): one["state"] for one in json.loads(done.stdout)}

    def all_is_known(self) -> dict[Path, str]:
        """No job in the queue whose runs are said not to be under way."""
        before = self.live()
        known = self.status() if self.path.exists() else {}
        there = set(self.live()) & set(before)
        for number in there:
            for path in _runs_of(Path(before[number])):
                if known.get(path) not in ("queued", "running", "done"):
                    if number in self.live() and not self._over(path):
                        raise Fault(f"lost job {number} is there, and {path} is {known.get(path)}")
        return known

    def _over(self, run: Path) -> bool:
        """Whether the attempt that a run makes in a job that is still there has noted its end."""
        with contextlib.suppress(FileNotFoundError):
            events = (run / "events.jsonl").read_text()
            return events.count('"started"') == events.count('"ended"') > (self.verb == "resume")
        return False

    def one_each(self, jobs: dict[str, str], expected: int) -> None:
        """As many jobs as there have to be for the run, the study, or each stage."""
        holders = Counter(where.partition("/jobs/")[0] for where in jobs.values())
        if any(count > expected for count in holders.values()):
            raise Fault(f"twice {jobs}")

    # What is done afterwards

    def make_good(self) -> Counter:
        """Do what the user does who finds that a launcher was killed; check all; return what was found and done."""
        found = Counter()
        self.leave_files()
        self.all_is_known()
        self.one_each(self.live(), 1)
        before = int(self.verb == "resume")  # jobs before the verb that was killed
        found["taken" if len(self.jobs()) > before else "not taken"] += 1
        most = before + 1  # jobs, and attempts
        if self.then == "cancel" or self.verb == "cancel":
            most += 1
            self.cancel()
            found["cancelled"] += 1
        submissions = len(self.jobs())
        if self.quick:
            self._patiently("resume", self.path, "--detach")
            if len(self.live()) != 1 or {"queued"} != {*self.all_is_known().values()}:
                raise Fault(f"lost or twice: {self.live()}, {self.status()}")
            return found
        self.to_the_end()
        found["resumed"] += len(self.jobs()) > submissions
        if self.trouble == "down":  # without a controller srun cannot begin, and the attempt has failed
            most += max((run / "events.jsonl").read_text().count('"failed"') for run in self.runs())
        self.one_each(self.jobs(), most)
        lines = Counter(self.started())
        if again := [line for line, count in lines.items() if count > 1]:
            raise Fault(f"twice {again}")
        for run in self.runs():
            numbers = sorted(int(line.split()[-1]) for line in lines if line.startswith(f"{run} "))
            if not numbers or numbers[-1] > most:  # one that was cancelled may not have come to the program
                raise Fault(f"wrong attempts of {run}: {numbers}")
        if gone := [path for path in self.mine if not path.exists()]:
            raise Fault(f"removed {gone}")
        return found

    def cancel(self) -> None:
        """Cancel all; afterwards nothing is in the queue, and nothing is said to be."""
        if not self.path.exists():
            return
        self._patiently("cancel", self.path)
        try:
            until(lambda: not self.live(), 20)  # a run that has its result is not running, and its script may yet be
        except AssertionError:
            raise Fault(f"lost {self.live()} after cancel") from None
        (self.folder / "go").touch()  # what was cancelled had to be running
        if bad := {path: state for path, state in self.status().items() if state in ("queued", "running")}:
            raise Fault(f"wrong {bad} after cancel")

    def to_the_end(self) -> None:
        """Resume until all has its result, releasing what is held."""
        deadline, asked = time.monotonic() + WITHIN_S, False
        while not self.runs() or not all((run / "result.json").exists() for run in self.runs()):
            if time.monotonic() > deadline:
                raise Fault(f"hung {self.status()} {self.live()}")
            if not self.path.exists():
                self._patiently(*self.words)
            elif not self.live() or self.then == "resume" and not asked:  # also once while it is under way
                self._patiently("resume", self.path, "--detach")
                asked = True
            self.one_each(self.live(), 1)
            if self.held:
                for number in self.live():
                    subprocess.run(["scontrol", "release", number], capture_output=True)
            time.sleep(0.3)
        done = self._patiently("resume", self.path)
        if "is finished" not in done.stderr:
            raise Fault(f"wrong resume of what is done: {done.stdout} {done.stderr}")

    def _patiently(self, *words: object) -> subprocess.CompletedProcess:
        """A command, again while the sbatch of the launcher that was killed is at work."""

        def answer() -> subprocess.CompletedProcess | None:
            done = self.launch(*words)
            waits = "is still submitting" in done.stderr or "try again later" in done.stderr
            return None if done.returncode == 2 and waits else done

        done = _answered(answer)
        if done.returncode not in (0, 2) or (done.returncode and done.stderr.count("\n") != 1):
            raise Fault(f"wrong {words}: exit status {done.returncode}, {done.stdout} {done.stderr}")
        return done


def _runs_of(folder: Path) -> list[Path]:
    """The runs of the job that works in a folder: that of the run, or that of the job."""
    if folder.parent.name != "jobs":
        return [folder]
    return [folder.parent.parent / run for run in json.loads((folder / "job.json").read_text())["runs"]]


def _answered(ask: Callable) -> object:
    try:
        return until(lambda: (answer := ask()) is not None and (answer,), WITHIN_S, every=0.5)[0]
    except AssertionError:
        raise Fault("hung nobody answers") from None


def _cluster() -> Path:
    return Path(os.environ["SLURM_CONF"]).parent


def _controller() -> int:
    return int((_cluster() / "slurmctld.pid").read_text())


@contextlib.contextmanager
def slow(controller: int) -> Iterator[None]:
    """A controller that is at work a fifth of the time."""
    ended = threading.Event()

    def alternate() -> None:
        while not ended.is_set():
            os.kill(controller, signal.SIGSTOP)
            ended.wait(1.2)
            os.kill(controller, signal.SIGCONT)
            ended.wait(0.3)

    thread = threading.Thread(target=alternate)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def tried(folder: Path, scenario: str, quick: bool = False) -> Figures:
    """Kill at every point of a scenario, and afterwards resume or cancel in turn; return the figures."""
    thens = ("resume", "cancel")
    figures, began = Figures(scenario), time.monotonic()
    folder.mkdir(parents=True)
    point, killed = 0, True
    while killed:
        point, killed = point + 1, False
        trial = Trial(folder / str(point), scenario, thens[point % len(thens)], quick)
        try:
            trial.prepare()
            with slow(_controller()) if trial.trouble == "slow" else contextlib.nullcontext():
                killed = trial.kill(point)
                figures.kills += killed
                figures.counts += trial.make_good()
        except (Fault, AssertionError) as fault:
            figures.faults.append(f"{fault} [{scenario}, point {point}, then {trial.then}]")
            print(figures.faults[-1], file=sys.stderr, flush=True)
    figures.seconds = time.monotonic() - began
    return figures


def main(argv: list[str]) -> int:
    """Try scenarios, and print a line for each and one for all."""
    folder, *names = argv
    every = []
    for name in names or SCENARIOS:
        every.append(tried(Path(folder).absolute() / name, name))
        print(every[-1].line, flush=True)
    total = Figures("all", sum(each.kills for each in every), sum(each.seconds for each in every))
    for each in every:
        total.counts += each.counts
        total.faults += each.faults
    print(total.line)
    return int(bool(total.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
