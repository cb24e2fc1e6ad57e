"""python killed_at.py POINT WORDS...: python -m launch WORDS, killed at the POINT-th thing that it does.

What counts is what others can see: a file or folder below --runs, or below the folder that is named, that is made, opened to be
written, written, renamed or removed; and a command that is started, before it and after it, unless it only asks. What lies
between two points leaves no trace. POINT "answered" is the first one after sbatch has ended. Exit status -9 says that it was
killed; any other, that it came to its end before the point.

Variables: KILLED_AT_FIRST=job counts from the first job folder on, KILLED_AT_FIRST=scancel from that command; KILLED_AT_GROUP=1
kills the commands that it has started too; KILLED_AT_TROUBLE=SIGNAL:PID sends the controller a signal at the first point.
"""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import time

POINT = sys.argv[1]
BELOW = os.path.abspath(sys.argv[sys.argv.index("--runs") + 1] if "--runs" in sys.argv else sys.argv[3])
SEEN = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
ASKING = ("squeue", "sinfo", "git", "ping", "show")
FIRST = os.environ.pop("KILLED_AT_FIRST", "")
begun = not FIRST
group = os.environ.pop("KILLED_AT_GROUP", "")
trouble = os.environ.pop("KILLED_AT_TROUBLE", "")
done = 0
answered = False
last = ""  # the path that was opened last, if nothing was done since


def point() -> None:
    """Count what is done; kill this process at the point."""
    global done, last
    last = ""
    if begun:
        if trouble:
            make_trouble()
        done += 1
        if str(done) == POINT or answered and POINT == "answered":
            os.killpg(0, signal.SIGKILL) if group else os.kill(os.getpid(), signal.SIGKILL)


def make_trouble() -> None:
    """Stop or end the controller; return when that is so."""
    global trouble
    number, pid = map(int, trouble.split(":"))
    trouble = ""
    os.kill(pid, number)
    while number != signal.SIGSTOP and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.01)


def is_done(event: str, path: str, arguments: tuple) -> bool:
    """Whether something will be there, or gone, after an event that was not before."""
    if event == "open":  # which is announced twice where it is done by an opener
        return last != path and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if event == "os.mkdir":
        return os.path.isdir(os.path.dirname(path)) and not os.path.exists(path)
    return os.path.lexists(path)


def at_each(event: str, arguments: tuple) -> None:
    """See what is done to files."""
    global begun, last
    if event not in SEEN or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.fsdecode(arguments[0])
    if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), path)
    path = os.path.abspath(path)
    if not path.startswith(BELOW) or not is_done(event, path, arguments):
        return
    begun = begun or FIRST == "job" and "/jobs" in path
    point()
    last = path if event == "open" else ""


def counted(write):
    """A function that writes to a descriptor, with a point before it: the file is there, and what is written is not."""

    def function(descriptor, *arguments):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith(BELOW):
                point()
        return write(descriptor, *arguments)

    return function


class Popen(subprocess.Popen):
    """A command, with a point before it and one while it is at work."""

    def __init__(self, words, *arguments, **more):
        global answered, begun
        changes = not any(word in ASKING for word in words[:2])
        begun = begun or FIRST == words[0]
        if changes:
            point()
        super().__init__(words, *arguments, **more)
        if changes:
            point()
        answered = answered or "sbatch" in words[:1]


if group:
    os.setpgid(0, 0)
os.write, os.pwrite, subprocess.Popen = counted(os.write), counted(os.pwrite), Popen
sys.path[0] = os.getcwd()
sys.argv = ["launch", *sys.argv[2:]]
sys.addaudithook(at_each)
runpy.run_module("launch", run_name="__main__", alter_sys=True)
