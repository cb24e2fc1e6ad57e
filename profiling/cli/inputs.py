"""The input of the verbs: studies and tables."""

from collections.abc import Sequence
from pathlib import Path

from launch.errors import Refusal
from launch.plan.figures import Scaling
from launch.record.rundir import is_study
from launch.submit import states
from profiling.study import runs, tables
from profiling.study import sweep as points
from profiling.study.runs import Study
from profiling.study.sweep import Sweep
from profiling.study.tables import Series


def study(folder: Path, scaling: Scaling | None = None) -> Study:
    """The runs of a study that can be compared; those without a result are left out with their states."""
    return runs.read(folder, _unfinished, scaling)


def sweep(folder: Path) -> Sweep:
    """The points of a study and the results of their runs; for runs without a result, their states."""
    return points.read(folder, _unfinished)


def series(path: Path, name: str | None, scaling: Scaling | None = None) -> tuple[Series, Study | None]:
    """One series of a table or of a study; for a study also the runs behind it."""
    if not is_study(path):
        if scaling:
            raise Refusal(f"--scaling is for studies, and the rows of the table {path} say their kind: leave it out")
        return tables.read(path, name), None
    chosen = tables.choose(study(path, scaling), name)
    return tables.of_study(chosen), chosen


def names(path: Path) -> list[str]:
    """The names of the series in a table or a study."""
    return study(path).series if is_study(path) else tables.names(path)


def _unfinished(paths: Sequence[Path]) -> list[str]:
    known, _ = states.look(paths)
    reasons = [run.state + (f" ({run.reason})" if run.reason else "") for run in known]
    return ["it is done, but its result.json is gone" if reason == "done" else reason for reason in reasons]
