"""Whether the folder of a run is still the one in which an attempt began. While the attempt is under way, somebody may
remove the folder and start another run of that name, whose record the attempt must leave alone."""

from pathlib import Path

from launch.record.files import Unreadable
from launch.record.rundir import RunDir

_began: dict[Path, float] = {}  # by folder, when the attempt of this process began


def begun(run: RunDir) -> None:
    """Remember the last attempt that has begun: it is the one of this process."""
    for event in run.events("started")[-1:]:
        _began[run.path] = event["time"]


def is_replaced(run: RunDir, job: str | None = None) -> bool:
    """Return whether a run knows nothing of the attempt that began in its folder.

    Parameters
    ----------
    run : RunDir
        The run.
    job : str, optional
        The scheduler's name of the job that has made the attempt, if another process of that job has begun it.
    """
    began = _began.get(run.path)
    if began is None and job is None:
        return False
    try:
        events = run.events("started")
    except (Unreadable, OSError):  # nothing shows that it is another run, and this may be asked to record an error
        return False
    return not any(event["time"] == began or began is None and event.get("job") == job for event in events)
