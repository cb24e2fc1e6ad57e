"""Records the failure of a rank in the run directory, before its end makes other ranks fail."""

import os
import socket
import sys
import time
from typing import Any

from launch.node.rank import Rank
from launch.record.rundir import RunDir
from launch.record.writing import append_line


def note(run: RunDir, rank: Rank, attempt: int, error: str, trace: str = "", refused: bool = False) -> None:
    """Add a line to failures/, as `launch.record.contents.FirstFailure` says."""
    line: dict[str, Any] = {
        "time": round(time.time(), 3),
        "attempt": attempt,
        "rank": rank.rank,
        "node": rank.node,
        "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),  # the name by which Slurm can exclude it
        "error": error,
        "traceback": trace,
        "refused": refused,
    }
    try:
        append_line(run.failures / f"node{rank.node}.jsonl", line)
    except OSError as failed:  # a full disk: the error itself is still to be printed
        print(f"launch: the following failure could not be written to {run.failures}: {failed}", file=sys.stderr)
