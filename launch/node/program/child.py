"""Runs a program that is not Python, or brings its own Python, as a child of the rank that stands in for it.

The program has the rank's descriptors, streams and environment, and gets the signals that the rank gets. The rank ends
as the program ends.
"""

import contextlib
import ctypes
import faulthandler
import os
import resource
import shutil
import signal
import subprocess
import sys
from typing import NoReturn

from launch.errors import Refusal
from launch.node import stop
from launch.plan.target import elf, executable

_SCRIPT = 2**16  # bytes of a script that are read

_PASSED_ON = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGXCPU, signal.SIGWINCH,
}  # fmt: skip


class Ended(Exception):
    """The program was ended by a signal.

    Parameters
    ----------
    number : int
        The signal.
    asked : bool
        Whether the rank itself was sent a signal to end, which the program has only obeyed.
    """

    def __init__(self, number: int, asked: bool) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number, self.asked = number, asked


def run(words: list[str], cwd: str, alone: bool) -> None:
    """Run a program to its end.

    Parameters
    ----------
    words : list of str
        Path of the program or its name on PATH, and its arguments.
    cwd : str
        The folder to work in.
    alone : bool
        Whether signals reach only the rank's process. Slurm and mpirun send them to its whole process group.

    Raises
    ------
    Refusal
        If it cannot be started on this machine.
    SystemExit
        If the program's exit status is not 0; raised with that status.
    Ended
        If a signal has ended it.
    """
    os.chdir(cwd)
    if why := executable.unrunnable(words[0]):
        raise Refusal(why)
    traps = _names_the_warning(words)
    parent, libc = (
        os.getpid(),
        ctypes.CDLL(None),
    )  # loaded here: between fork and exec, loading could wait for a lock for ever
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON | {signal.SIGCHLD})

    def prepare() -> None:
        libc.prctl(stop.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        if traps:
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        program = subprocess.Popen(words, close_fds=False, preexec_fn=prepare)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise Refusal(f"{words[0]} cannot be started here: {error.strerror}") from None
    asked = False
    while program.poll() is None:
        sent = signal.sigwaitinfo(_PASSED_ON | {signal.SIGCHLD})
        if sent.si_signo == signal.SIGCHLD or sent.si_pid == parent:
            continue  # a signal passed on to the group comes back to the rank
        ignored = signal.getsignal(sent.si_signo) is signal.SIG_IGN
        asked = asked or not ignored and sent.si_signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
        if alone and not ignored:
            os.killpg(0, sent.si_signo)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if program.returncode < 0:
        raise Ended(-program.returncode, asked)
    if program.returncode:
        raise SystemExit(program.returncode)


def _names_the_warning(words: list[str]) -> bool:
    """Return whether a script, or text for a shell, has SIGUSR2 in it. A shell can set no trap for a signal that is
    ignored when it starts."""
    if any("USR2" in word for word in words):
        return True
    for path in filter(os.path.isfile, [shutil.which(words[0]) or words[0], *words[1:]]):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            head = file.read(_SCRIPT)
            if b"USR2" in head and not head.startswith(elf.MAGIC):
                return True
    return False


def end_by(number: int) -> NoReturn:
    """End this process by a signal, without the traces that a crash of its own would leave."""
    sys.stdout.flush()
    sys.stderr.flush()
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)
