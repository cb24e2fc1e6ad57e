"""python killed_at.py POINT WORDS...: python -m launch WORDS, killed at the POINT-th thing that it does from its first job on.

What counts is what others can see: a file or folder of the run that is opened, made, renamed or removed, and a command that is
started. Exit status -9 says that it was killed; any other, that it had come to its end before that point.
"""

import os
import runpy
import signal
import sys

POINT = int(sys.argv[1])
RUNS = sys.argv[sys.argv.index("--runs") + 1]
SEEN = {"open", "os.mkdir", "os.rename", "os.remove", "os.truncate", "subprocess.Popen"}
done = 0
begun = False


def at_each(event: str, arguments: tuple) -> None:
    """Count what is done; kill this process at the point."""
    global done, begun
    if event not in SEEN:
        return
    if event != "subprocess.Popen":
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        begun = begun or "/jobs/" in path
        if RUNS not in path:
            return
    if begun:
        done += 1
        if done == POINT:
            os.kill(os.getpid(), signal.SIGKILL)


sys.path[0] = os.getcwd()
sys.argv = ["launch", *sys.argv[2:]]
sys.addaudithook(at_each)
runpy.run_module("launch", run_name="__main__", alter_sys=True)
