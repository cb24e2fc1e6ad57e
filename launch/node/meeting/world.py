"""Records how many ranks a program's own library has met, at the end of a program that ran in the rank's process."""

import contextlib
import sys
from typing import Any

from launch.node.rank import Rank
from launch.record.rundir import RunDir
from launch.record.writing import publish_json


def note(run: RunDir, rank: Rank, attempt: int) -> None:
    """Record the number that the library of rank 0 reports, if the library is still active.

    Parameters
    ----------
    run : RunDir
        The run.
    rank : Rank
        The rank of this process.
    attempt : int
        Number of the attempt.
    """
    if not rank.is_chief or rank.size == 1:
        return
    for name, ask in _ASK.items():
        module = sys.modules.get(name)
        with contextlib.suppress(Exception):  # whatever error the library raises here, the program has ended well
            if module is not None and (size := ask(module)):
                publish_json(run.world_json, {"attempt": attempt, "by": name.partition(".")[0], "size": int(size)})
                return


def _mpi(module: Any) -> int | None:
    return module.COMM_WORLD.Get_size() if module.Is_initialized() and not module.Is_finalized() else None


def _horovod(module: Any) -> int | None:
    return module.size() if module.is_initialized() else None


def _torch(module: Any) -> int | None:
    return module.get_world_size() if module.is_available() and module.is_initialized() else None


def _jax(module: Any) -> int | None:
    return module.global_state.num_processes if module.global_state.client is not None else None


_ASK = {
    "mpi4py.MPI": _mpi,
    "horovod.tensorflow": _horovod,
    "horovod.tensorflow.keras": _horovod,
    "horovod.torch": _horovod,
    "torch.distributed": _torch,
    "jax._src.distributed": _jax,
}
