"""A study -> its comparable runs with one throughput each, and the runs that were left out, with reasons."""

import dataclasses
import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.errors import Refusal, command
from launch.plan.figures import Scaling
from launch.record.files import Unreadable
from launch.record.performance.figures import of_ranks
from launch.record.rundir import RunDir
from launch.record.study import Entry, StudyIndex, read_index, strangers
from profiling import text
from profiling.progress import through
from profiling.study import programs, steps
from profiling.study.run import Run, finished
from profiling.telemetry import readings


@dataclass(frozen=True)
class Study:
    """The runs of a study, or of one of its series."""

    folder: Path
    index: StudyIndex
    runs: tuple[Run, ...]
    left_out: dict[str, str]  # runs that are not in the table -> why

    @property
    def series(self) -> list[str]:
        """Names of the series: one per combination of the axes, ignoring seeds."""
        return list(dict.fromkeys(run.series for run in self.runs))

    @property
    def unit(self) -> str:
        """Unit of the throughput of its runs."""
        return self.runs[0].unit

    @property
    def whole(self) -> bool:
        """Whether the runs have no steps."""
        return any(run.steps.whole for run in self.runs)

    @functools.cached_property
    def by_ranks(self) -> dict[int, list[Run]]:
        """The repeats by number of ranks, in rising order."""
        sizes = sorted({run.ranks for run in self.runs})
        return {ranks: [run for run in self.runs if run.ranks == ranks] for ranks in sizes}

    def only(self, series: str) -> "Study":
        """Return one series of the study."""
        entries = [entry for entry in self.index["runs"] if _series(self.index, entry) == series]
        names = {entry["run"] for entry in entries}
        return dataclasses.replace(
            self,
            index=self.index | {"runs": entries},
            runs=tuple(run for run in self.runs if run.series == series),
            left_out={name: why for name, why in self.left_out.items() if name in names},
        )


def read(
    folder: Path, states: Callable[[Sequence[Path]], Sequence[str]] | None = None, scaling: Scaling | None = None
) -> Study:
    """Return the runs of a study that have finished and can be compared.

    ``states`` says why runs have no result; it is called once for all of them. ``scaling`` is used for programs that do
    not report their work; by default it is what the study was asked for.

    Raises
    ------
    Refusal
        If there are no such runs: none in the index, or none that has finished and can be timed.
    """
    found = read_index(folder)
    if not found or not found["runs"]:
        raise Refusal(f"{folder} is a study without runs: make one with {command('--nodes 1,2,4 WORKLOAD')}")
    index: StudyIndex = {**found, "scaling": scaling or found.get("scaling", "weak")}
    runs: list[Run] = []
    why: dict[str, str] = {}
    unfinished: dict[str, Path] = {}
    for entry in through(index["runs"], "runs read"):
        path = folder / entry["run"]
        try:
            if run := finished(RunDir(path), _series(index, entry), entry, index.get("scaling", "weak")):
                runs.append(run)
            else:
                unfinished[entry["run"]] = path
        except steps.Unusable as reason:
            why[entry["run"]] = str(reason)
        except Unreadable as error:
            why[entry["run"]] = error.reason
    paths = list(unfinished.values())
    why |= zip(unfinished, states(paths) if states and paths else ["it has no result"] * len(paths))
    for series in dict.fromkeys(run.series for run in runs):
        why |= _unlike([run for run in runs if run.series == series])
    left_out = {entry["run"]: why[entry["run"]] for entry in index["runs"] if entry["run"] in why}
    runs = programs.by_work([run for run in runs if run.name not in why])
    if not runs:
        some = "; ".join(f"{name}: {reason}" for name, reason in itertools.islice(left_out.items(), 3))
        advice = f": resume it: {command('resume', folder)}" if unfinished else ""
        raise Refusal(f"no run of {folder} can be timed ({some}){advice}")
    return Study(folder, index, tuple(runs), left_out)


def kind(study: Study) -> str:
    """Decide between weak and strong, from what the runs of a series did and not from what the study was called.

    Raises
    ------
    Refusal
        If neither the work per rank nor that of all ranks is constant.
    """
    works = [run.work for run in study.runs if run.work is not None]
    if len(works) < len(study.runs):
        return study.index.get("scaling", "weak")
    if programs.alike(work / run.ranks for work, run in zip(works, study.runs)):
        return "weak"
    if programs.alike(works):
        return "strong"
    some = "; ".join(f"{run.name}: {run.work:.15g} on {text.plural(run.ranks, 'rank')}" for run in study.runs[:6])
    raise Refusal(f"{study.folder} holds neither the work per rank (weak scaling) nor that of all (strong): {some}")


def crowded(study: Study) -> list[str]:
    """Return lines that say at which sizes ranks outnumber the cores or the GPUs that they run on."""
    at: dict[str, list[int]] = defaultdict(list)
    for ranks, runs in study.by_ranks.items():
        for shared in dict.fromkeys(shared for run in runs for shared in run.crowded):
            at[shared].append(ranks)
    return [
        f"at {', '.join(map(str, counts))} ranks, ranks outnumber what they run on: they share the {shared}, and the "
        "table shows that sharing too"
        for shared, counts in at.items()
    ]


def notes(study: Study) -> list[str]:
    """Return notes on the runs behind a table: what was timed, and what was left out and why."""
    timed = sum(len(run.steps.number) for run in study.runs)
    left = sum((Counter(run.steps.left_out) for run in study.runs), Counter())
    training = all(run.training for run in study.runs)
    extent = "from the wait for the batch to the update of the weights" if training else "as the program recorded them"
    counted = f": {', '.join(f'{count} {reason}' for reason, count in left.items())}" if left else ""
    runs = text.plural(len(study.runs), "run")
    lines = [f"{timed} steps of {runs} are timed, {extent}; {left.total()} are left out{counted}"]
    if study.whole:
        lines = [
            f"{runs} without records of steps are timed as a whole: from the start of the ranks, start-up included, to "
            "the end"
        ]
    if any(run.printed for run in study.runs):
        lines[:1] = [programs.printed_note(study), *lines[: not study.whole]]
    if any(run.work is None for run in study.runs):
        lines.append(programs.scaling_note(study))
    elif study.index.get("scaling") == "strong" and kind(study) == "weak":
        lines.append(
            "weak scaling, although strong was asked for: by the work that the runs report, that of a rank is the same "
            "at all sizes, and --scaling is for programs that report none"
        )
    if (differs := max(map(_otherwise, study.runs))) > text.ONE_NUMBER:
        lines.append(
            f"launch, status and table show throughputs that differ by up to {text.number(100 * differs, 2)}% from "
            "those here: they are of other steps, as warm-up or compiled ones count there"
        )
    lines += crowded(study)
    if apart := programs.cooperation_note(study):
        lines.append(apart)
    doubtful: dict[str, list[str]] = defaultdict(list)
    for run in study.runs:
        for doubt in (*run.steps.doubts, *of_ranks(run.plan.get("fom") or {}, run.result)):
            doubtful[doubt].append(run.name)
    lines += [f"{', '.join(names)}: {doubt}" for doubt, names in doubtful.items()]
    lines += [f"{run.name}: not known: {trouble}" for run in study.runs for trouble in run.result.get("troubles", [])]
    lines += [
        f"{run.name}: readings/{path.name} is damaged and left out"
        for run in study.runs
        for path in readings.parquet(run.directory.readings).damaged
    ]
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in study.left_out.items():
        reasons[why].append(name)
    lines += [f"left out: {', '.join(names)}: {why}" for why, names in reasons.items()]
    lines += [f"{name} is not a part of the study and does not count" for name in strangers(study.folder)]
    planned = Counter(entry["nodes"] for entry in study.index["runs"])
    timed_runs = Counter(run.nodes for run in study.runs)
    lines += [
        f"{text.plural(nodes, 'node')}: {timed_runs[nodes]} of {text.plural(count, 'repeat')} are in the table"
        for nodes, count in planned.items()
        if timed_runs[nodes] < count
    ]
    return lines


def _otherwise(run: Run) -> float:
    """Return by what part the throughput in a run's result differs from that of its timed steps."""
    said = run.result.get("throughput_examples_per_s") if run.unit == steps.UNIT and not run.printed else None
    return abs(said / run.throughput - 1) if said else 0.0


def _series(index: StudyIndex, entry: Entry) -> str:
    workload = Path(index.get("workload", "")).name  # the name of a script, without its folder
    values = ", ".join(f"{name}={value}" for name, value in entry["values"].items() if name != "seed")
    return f"{workload} {values}".strip()


def _unlike(runs: Sequence[Run]) -> dict[str, str]:
    """Return the runs of a series that were made with other software or hardware than most: name -> why."""
    usual = dict(Counter(tuple(sorted(run.made_with.items())) for run in runs).most_common(1)[0][0])
    unlike = {}
    for run in runs:
        differs = [
            f"{name} {run.made_with.get(name, 'absent')}, others {usual.get(name, 'absent')}"
            for name in sorted({*run.made_with, *usual})
            if run.made_with.get(name) != usual.get(name)
        ]
        if run.unit != usual["throughput in"] and (troubles := run.result.get("troubles")):
            unlike[run.name] = f"its throughput is not known: {'; '.join(troubles)}"
        elif differs:
            unlike[run.name] = f"made with something else than most of the runs: {'; '.join(differs)}"
    return unlike
