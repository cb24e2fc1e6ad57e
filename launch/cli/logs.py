"""python -m launch logs RUN [--rank K | --node K | --job] [--lines N] [--follow]: what the ranks of a run have
printed."""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.record.files import Unreadable, open_file
from launch.record.rundir import RunDir
from launch.submit import states

_BLOCK = 65536  # bytes that are searched first for the last lines
_STATE_S = 2.0  # pause between two looks at the state of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """Which lines to print."""

    rank: int | None = None  # show only this rank, without labels; by default all ranks, each line labelled
    node: int | None = None  # show only the ranks of this node
    job: bool = False  # show what the job script has printed
    lines: int | None = field(default=None, metadata={"flags": ("-n",)})  # show only the last N lines of each node
    follow: bool = field(default=False, metadata={"flags": ("-f",)})  # keep printing new lines until the run ends


def main(argv: list[str]) -> int:
    """Print the lines; return 0.

    Raises
    ------
    Refusal
        If there is no such run, or no such rank or node in it.
    """
    chosen, words = options.with_words(Options, argv, "logs")
    if len(words) != 1:
        raise Refusal(f"logs needs one run, and {len(words)} are given: {command('logs RUN')}")
    run = RunDir.open(chosen.path(words[0]))
    logs = _logs(run, chosen)
    if chosen.lines is not None:
        for log in logs:
            log.rewind(chosen.lines)
    printed = False
    while True:
        # Read the state first, so that everything written before the end is read after it.
        over = not (chosen.follow and states.look([run.path])[0][0].under_way)
        until = time.monotonic() + _STATE_S
        while True:
            said = [_say(log, over) for log in logs]
            printed = printed or any(said)
            if over or time.monotonic() > until:
                break
            if not any(said):
                time.sleep(0.2)
        if over:
            break
    if not printed and not any(log.unreadable for log in logs):
        state = states.look([run.path])[0][0].state
        print(f"launch: nothing has been printed so far; the run is {state}", file=sys.stderr)
    return 0


class Log:
    """A growing file of lines, of all ranks or of one.

    Parameters
    ----------
    path : Path
        The file; it need not be there yet.
    rank : int or None
        Rank whose lines are read, without their label; None for all ranks.
    """

    def __init__(self, path: Path, rank: int | None = None) -> None:
        self._path, self._place = path, 0
        self.unreadable = ""
        self._label = re.compile(rb"" if rank is None else rb"\s*%d: ?" % rank)

    def rewind(self, count: int) -> None:
        """Go to where the last ``count`` lines begin, searching from the end: a log can be long."""
        window = _BLOCK
        while file := self._open():
            found: deque[int] = deque(maxlen=count)
            with file:
                self._place = begin = max(0, file.seek(0, os.SEEK_END) - window)
                file.seek(begin)
                if begin:
                    self._place += len(file.readline())  # skip the rest of a line
                for line in file:
                    if self._label.match(line):
                        found.append(self._place)
                    self._place += len(line)
            if len(found) == count or begin == 0:
                self._place = found[0] if found else self._place
                return
            window *= 4

    def more(self, over: bool) -> Iterator[bytes]:
        """Yield the lines since the last call; once ``over``, also a last line without a line end."""
        if (file := self._open()) is None:
            return
        with file:
            file.seek(self._place)
            for line in file:
                if not (over or line.endswith(b"\n")):
                    return
                self._place += len(line)
                if label := self._label.match(line):
                    yield line[label.end() :]

    def _open(self) -> BinaryIO | None:
        """Return the file, if it exists. If it cannot be read, say why once, and show the others."""
        try:
            return open_file(self._path)
        except FileNotFoundError:
            return None
        except Unreadable as error:
            if self.unreadable != str(error):
                print(f"launch: {error}", file=sys.stderr)
            self.unreadable = str(error)
            return None


def _logs(run: RunDir, chosen: Options) -> list[Log]:
    plan = run.record()
    nodes, each = plan["nodes"], plan["ranks_per_node"]
    given = [name for name in ("rank", "node", "job") if getattr(chosen, name) not in (None, False)]
    if len(given) > 1:
        raise Refusal(f"--{given[0]} and --{given[1]} contradict each other: give one of them")
    for name, value, count in (("rank", chosen.rank, nodes * each), ("node", chosen.node, nodes)):
        if value is not None and not 0 <= value < count:
            raise Refusal(f"--{name} {value}: the {name}s of {run.path} are 0 to {count - 1}")
    if chosen.lines is not None and chosen.lines < 1:
        raise Refusal(f"--lines {chosen.lines}: give 1 or more")
    if chosen.job:
        return [Log(run.job_log)]
    if chosen.rank is not None:
        return [Log(run.node_log(chosen.rank // each), chosen.rank)]
    return [Log(run.node_log(node)) for node in (range(nodes) if chosen.node is None else [chosen.node])]


def _say(log: Log, over: bool) -> bool:
    said = False
    for line in log.more(over):
        sys.stdout.buffer.write(line if line.endswith(b"\n") else line + b"\n")
        said = True
    if said:
        sys.stdout.buffer.flush()
    return said
