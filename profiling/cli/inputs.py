"""The input of the verbs: studies and tables."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from launch.cli.names import Named
from launch.errors import Refusal
from launch.plan.figures import Scaling
from launch.record.study import is_study
from launch.submit import states
from profiling.study import runs, tables
from profiling.study import sweep as points
from profiling.study.runs import Study
from profiling.study.sweep import Sweep
from profiling.study.tables import NOTHING, Series
from profiling.tables.columns import Asked


def study(folder: Path, scaling: Scaling | None = None) -> Study:
    """Return the comparable runs of a study; those without a result are left out, with their states."""
    return runs.read(folder, _unfinished, scaling)


def sweep(folder: Path) -> Sweep:
    """Return the points of a study and the results of their runs; runs without a result have their states instead."""
    return points.read(folder, _unfinished)


@dataclass(frozen=True)
class OfTable(Named):
    """The options that supply what a table does not state itself."""

    kind: Literal["weak", "strong"] | None = None  # of a table: what is held, the work of a worker (weak) or of all
    # (strong); by default as the table says it or as follows from it
    workers_column: str | None = None  # of a table: the column of workers, by its name or its number
    time_column: tuple[str, ...] = ()  # of a table: the column of times; several are series
    throughput_column: tuple[str, ...] = ()  # of a table: the column of throughput; several are series
    unit: str | None = None  # of a table: of its times (s, ms, min ...) or of its throughput; images/s/GPU is that of
    # each GPU
    series_column: tuple[str, ...] = ()  # of a table: by which columns series are told apart; none: all rows are one
    decimal: Literal["point", "comma"] | None = None  # of a table: what 4,872 is, 4872 (point) or 4.872 (comma)

    @property
    def asked(self) -> Asked:
        """What these options state about the table."""
        return Asked(**{field.name: getattr(self, field.name) for field in fields(Asked)})


def series(
    path: Path, name: str | None, scaling: Scaling | None = None, asked: Asked = NOTHING
) -> tuple[Series, Study | None]:
    """Return one series of a table or a study and, for a study, the runs behind it."""
    if not is_study(path):
        tables.refuse_run(path)
        if scaling:
            raise Refusal(f"--scaling is for studies, and {path} is a table: say --kind")
        return tables.read(path, name, asked), None
    refuse_for_study(path, asked)
    chosen = tables.choose(study(path, scaling), name)
    return tables.of_study(chosen), chosen


def refuse_for_study(path: Path, asked: Asked) -> None:
    """Refuse options that describe a table if the input is a study."""
    if asked:
        given = next(field.name for field in fields(Asked) if getattr(asked, field.name) != field.default)
        advice = "say --scaling" if given == "kind" else "leave it out"
        raise Refusal(f"--{given.replace('_', '-')} is for tables, and {path} is a study: {advice}")


def names(path: Path) -> list[str]:
    """Return the names of the series in a table or a study."""
    return study(path).series if is_study(path) else tables.names(path)


def _unfinished(paths: Sequence[Path]) -> list[str]:
    known, _ = states.look(paths)
    reasons = [run.state + (f" ({run.reason})" if run.reason else "") for run in known]
    return ["it is done, but its result.json is gone" if reason == "done" else reason for reason in reasons]
