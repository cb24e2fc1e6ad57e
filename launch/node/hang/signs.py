"""The signs of life of a rank: beats of its pulse and steps in its file, and, where these alone do not decide, CPU
time, bytes and output."""

import os
import signal
from typing import Any

from launch.node.hang import processes, pulse
from launch.record.failures import hang
from launch.record.rundir import RunDir

_USES = 0.05
"""Number of cores in use from which on a rank counts as using CPU. With Horovod this shows nothing, because its thread
uses 0.1 cores while it waits."""

_COMPUTES = 0.5
"""Number of cores in use from which on a rank counts as using CPU, whatever libraries it has loaded."""

_TURN_NS, _WANTS = 500_000, 0.2
"""A thread computes if its turns on a core last at least this long, and it runs or is ready to run for at least this
fraction of the time. This holds however many others want the cores: turns last 2.3 ms with eight processes per core,
and 0.1 ms in a thread that polls."""


_ALWAYS = 0.95
"""A thread that wants a core for at least this fraction of the time computes, however short its turns are on a very
busy node."""


class Watched:
    """A rank, as the watcher of its node sees it.

    Parameters
    ----------
    run : RunDir
        The run.
    rank : int
        Number of the rank.
    pid : int
        Id of its process, which is alive.

    Attributes
    ----------
    idle_s : float
        Seconds without a sign of life.
    steps : bool
        Whether the rank has shown steps or phases.
    strict : bool
        Whether it shows them now, so that no other sign of life counts.
    """

    def __init__(self, run: RunDir, rank: int, pid: int) -> None:
        self.rank, self.pid = rank, pid
        found = processes.stat(pid)
        self._began = found.began if found else 0
        self.alive = found is not None
        self.idle_s, self.step, self.phase = 0.0, 0, ""
        self.steps = self.strict = False
        self.state = ""
        self.at = ""  # where it is in its program, known once its stacks are kept
        self.waits = 0  # 0, 1 or 2: whether it waits for others, as its stacks show: see `stacks`
        self.tree: dict[int, processes.Stat] = {}
        self._pulse = pulse.find(pid, pulse.PULSE)
        self._count, self._cpu_s, self._bytes = 0, 0.0, 0
        self._threads: dict[int, processes.Thread] = {}
        self._lines = hang.NewLines(run.rank_steps(rank))

    def lives(self) -> bool:
        """Return whether its process is still there."""
        found = processes.stat(self.pid)
        return found is not None and found.began == self._began

    def look(self, tree: dict[int, processes.Stat], elapsed_s: float, counted_s: float, printed: bool) -> None:
        """Look for signs of life since the last look.

        Parameters
        ----------
        tree : dict
            The process of the rank and all processes that it has started.
        elapsed_s : float
            Seconds since the last look.
        counted_s : float
            Seconds to add to its idle time if there are no signs.
        printed : bool
            Whether the ranks of the node have printed anything.
        """
        self.tree = tree
        own = tree.get(self.pid)
        self.alive = own is not None and own.began == self._began
        if own is None or not self.alive:
            return
        wrong = [each.state for each in tree.values() if each.state in processes.STATES]
        self.state = own.state if own.state in processes.STATES else (wrong or [own.state])[0]
        life = self._beats() or self._new_lines()
        cpu_s = sum(each.cpu_s for each in tree.values())
        transferred = sum(map(processes.transferred, tree))
        if not self.strict:
            used = (cpu_s - self._cpu_s) / elapsed_s
            life = self._computes(used, elapsed_s) or life or printed or transferred > self._bytes
        self._cpu_s, self._bytes = cpu_s, transferred
        self.idle_s = 0.0 if life else self.idle_s + counted_s

    def _beats(self) -> bool:
        beat = pulse.read(self._pulse) if self._pulse else None
        if beat is None:
            return False
        before, self._count = self._count, beat.count
        self.step, self.strict, self.phase, self.steps = max(self.step, beat.step), beat.strict, beat.phase, True
        return beat.count != before

    def _new_lines(self) -> bool:
        steps = self._lines.steps()
        if steps:
            self.step, self.strict, self.steps = steps[-1], True, True
        return bool(steps)

    def _computes(self, used: float, elapsed_s: float) -> bool:
        before, self._threads = self._threads, {}
        for pid in self.tree:
            self._threads |= processes.threads(pid)
        if used >= _COMPUTES or used >= _USES and not any(map(processes.polls, self.tree)):
            return True
        for number, now in self._threads.items():
            ran, queued, turns = (new - old for new, old in zip(now, before.get(number, now)))
            wants = (ran + queued) / elapsed_s / 1e9
            if turns and (wants >= _WANTS and ran / turns >= _TURN_NS or wants >= _ALWAYS):
                return True
        return False

    def send(self, number: int) -> None:
        """Send a signal to its process; send SIGKILL also to all processes that it has started."""
        if not self.lives():
            return
        for pid in [self.pid, *(set(self.tree) - {self.pid} if number == signal.SIGKILL else ())]:
            found = processes.stat(pid)
            if found is not None and found.began == self.tree.get(pid, found).began:
                try:
                    os.kill(pid, number)
                except OSError:
                    pass

    def facts(self) -> dict[str, Any]:
        """Return what the other watchers are told about the rank."""
        return {
            "rank": self.rank, "alive": self.alive, "idle_s": round(self.idle_s, 2), "steps": self.steps,
            "strict": self.strict, "step": self.step, "phase": self.phase, "state": self.state, "at": self.at,
            "waits": self.waits,
        }  # fmt: skip
