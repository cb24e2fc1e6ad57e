"""What Slurm says of all our jobs: one question for all of them, and a new one only after some seconds, whoever asks."""

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from launch.backends.slurm_queue import Job, command
from launch.errors import Refusal
from launch.record.files import publish_json, read_json

FRESH_S = 5.0  # for so long an answer, or silence, is good enough for all who ask
TIMEOUT_S = 10.0  # as long as Slurm's own commands wait (MessageTimeout)


class Answer(NamedTuple):
    """What Slurm has said, and when."""

    time: float  # Unix seconds
    jobs: dict[str, Job]  # by number; tasks of arrays by both of theirs, 12_3 and 15
    silence: str = ""  # why there is no answer, in one line


def jobs() -> Answer:
    """The state of every job of this user that is in the queue or left it a few minutes ago.

    Every process of a user shares the answer, through a file in the folder of caches, so that many who watch ask no more
    than one.
    """
    name = f"squeue-{hashlib.sha256(os.environ.get('SLURM_CONF', '').encode()).hexdigest()[:12]}"
    with contextlib.ExitStack() as held:
        try:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "rankloop"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = held.enter_context(open(folder / f"{name}.lock", "ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # while another asks, wait for its answer
        except OSError:
            return ask_all()  # there is no place to share it
        shared = folder / f"{name}.json"
        answer = _shared(shared)
        if answer is None:
            answer = ask_all()
            with contextlib.suppress(OSError):  # a full disk: the next one asks for itself
                publish_json(shared, answer._asdict())
        return answer


def ask_all() -> Answer:
    """As `jobs`, but asked now."""
    words = ["squeue", "--me", "-h", "--array", "-t", "all", "-o", "%i|%A|%T|%r|%N"]
    answer = command(words, timeout=TIMEOUT_S)
    now = time.time()
    if answer is None:
        return Answer(now, {}, f"no answer to squeue within {TIMEOUT_S:.0f} s, or no squeue here")
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or [f"squeue: exit status {answer.returncode}"]
        return Answer(now, {}, said[-1])
    found = {}
    for line in answer.stdout.splitlines():
        task, number, state, reason, nodes = line.split("|", 4)
        found[task] = found[number] = Job(state, "" if reason == "None" else reason, nodes)
    return Answer(now, found)


def _shared(path: Path) -> Answer | None:
    try:
        kept = read_json(path)
        if kept is None or not 0 <= time.time() - kept["time"] < FRESH_S:
            return None
        return Answer(kept["time"], {number: Job(*job) for number, job in kept["jobs"].items()}, kept["silence"])
    except (Refusal, KeyError, TypeError, AttributeError):  # of another version, or damaged: ask anew
        return None
