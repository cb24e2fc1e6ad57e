"""Submits the job of a run again from within it, for schedulers that do not put jobs back into the queue."""

import os
import subprocess
from collections.abc import Callable, Sequence

from launch.record import again
from launch.record.rundir import RunDir

_ANSWER_S = 60.0


def resubmit(run: RunDir, submission: int | None, by: Sequence[str] = (), read: Callable[[str], str] = str) -> str:
    """Submit the job again with the command that the launcher has left; return what was done.

    Parameters
    ----------
    run : RunDir
        The run, whose attempt has ended.
    submission : int or None
        Number of the job of the run.
    by : sequence of str
        Words in place of the command's first one, if any.
    read : function
        Function that gets the id from what the command prints.
    """
    words = again.command(run, submission) if submission is not None else None
    if words is None or submission is None:
        return "not submitted again: somebody is ending it, or it was submitted by hand"
    words = [*by, *words[1:]] if by else words
    # qsub and flux batch pass some of these on; they describe this job, not the next.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PBS_O_", "LAUNCH_"))}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_ANSWER_S, env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not submitted again: {error}"
    id = read((done.stdout.split() or [""])[-1])
    if done.returncode or not id:
        said = " ".join((done.stderr or done.stdout).split())[:300]
        return f"not submitted again: {words[0]} says on this node: {said}"
    again.note(run, submission, id)
    return f"submitted again, as job {id}"
