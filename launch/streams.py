"""Standard output and error of a command. Neither what is printed nor a reader that stops reading may end the
command."""

import io
import os
import sys
from typing import TextIO


def escape() -> None:
    """Open standard streams that are closed, and escape characters that their encoding lacks. Warnings that the user
    has asked Python for (PYTHONWARNINGS, PYTHONWARNDEFAULTENCODING) concern their program."""
    if sys.warnoptions or sys.flags.warn_default_encoding:
        import warnings

        warnings.simplefilter("ignore")
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # the next opened file would take its place
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def outlive_readers() -> None:
    """Drop output that can no longer be written: a closed terminal or pipe must not end a run."""
    if sys.stdout is sys.__stdout__:
        sys.stdout.flush()
        sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def drop_output() -> None:
    """Write nothing more to standard output, not even what is still buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def takes_output() -> bool:
    """Return whether standard output can be written to, without writing more than is buffered."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"")
        return True
    except OSError:
        return False


class _Lasting(io.FileIO):
    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _lasting(stream: TextIO) -> io.TextIOWrapper:
    file = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        file, stream.encoding, "backslashreplace", line_buffering=getattr(stream, "line_buffering", True)
    )
