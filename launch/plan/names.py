"""The names of runs, studies and workflows, and the paths that they may have."""

import datetime
import re
from pathlib import Path

from launch.errors import Refusal

_LONGEST = 200  # characters of a name, to which runs of a study and temporary files add theirs


def default_name(words: str, now: datetime.datetime) -> str:
    """Return the name of a run, study or workflow from words and the time, to the microsecond if microseconds are
    given."""
    words = re.sub(r"[^A-Za-z0-9._+-]", "_", words).lstrip("._+-")[:100]
    return f"{words or 'run'}-{now:%Y%m%d-%H%M%S}" + (f"-{now:%f}" if now.microsecond else "")


def refuse_bad_name(name: str) -> str:
    """Return the name of a run or study, checked to be valid for a folder and a job."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise Refusal(
            f"--name {name!r}: a run's name has letters, digits, '.', '_', '+' and '-', and begins with one of the "
            "first two"
        )
    if len(name) > _LONGEST:
        raise Refusal(f"--name has {len(name)} characters: give a shorter --name, of {_LONGEST} at most")
    return name


def refuse_path(runs: Path) -> None:
    """Refuse a folder for runs whose path has characters that Slurm replaces or drops in the paths of a job's output.

    Raises
    ------
    Refusal
        If there is a ``%``, a backslash or a control character in its path.
    """
    if bad := re.search(r"[%\\\x00-\x1f\x7f]", str(runs.absolute())):
        raise Refusal(
            f"--runs {str(runs.absolute())!r}: Slurm gives {bad[0]!r} in a path a meaning of its own: give a folder "
            "without it"
        )
