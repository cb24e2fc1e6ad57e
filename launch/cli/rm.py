"""python -m launch rm RUN|STUDY|WORKFLOW ... [--force] [--yes]: remove finished runs and studies, after a look at what
goes.

It removes the folders of runs, and what the toolkit has put beside them in the folders of studies and workflows.
Everything else there stays, and links are not followed. Queued or running runs are refused: cancel them first.
"""

import contextlib
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.cli import resume
from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.record import removing, sizes
from launch.record.code import compare, snapshot
from launch.record.rundir import RunDir
from launch.record.study import INDEX, PREDICTIONS, entries_of, holder_of, is_study
from launch.record.table import aligned
from launch.submit import lock, states
from launch.submit.workflow import stages

_BESIDE = (
    "jobs", "report", "code.patch", "code.json", PREDICTIONS, lock.FILE, lock.ORDERS, "workflow.log", INDEX,
    stages.INDEX,
)  # fmt: skip
"""What the toolkit puts into the folder of a study or workflow. The index comes last: without it the folder would be
one of single runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """What may be removed."""

    force: bool = False  # also remove runs without a result, and those that may still be running
    yes: bool = False  # remove without asking
    dry_run: bool = False  # only list what would be removed


def main(argv: list[str]) -> int:
    """List what goes, ask, and remove it; return 0, or 1 if the answer was no.

    Raises
    ------
    Refusal
        If something named is none of these, is a link, is under way, or has no result and --force is not given; nothing
        is then removed. Also if there is no terminal on which to ask.
    """
    chosen, words = options.with_words(Options, argv, "rm")
    if not words:
        raise Refusal(f"rm needs a run or study: {command('rm RUN|STUDY ...')}")
    if not chosen.dry_run:
        words = [word for word in words if not (word and removing.finished(Path(word), chosen.folder / word))]
    folders = _distinct([_removable(chosen.path(word)) for word in words])
    _refuse_of_others(folders)
    _refuse_mounted(folders)
    _refuse_unfinished(folders, chosen.force)
    if not folders:
        return 0
    print("\n".join([_listed(folders), *_written(folders)]), flush=True)
    if chosen.dry_run:
        return 0
    if not chosen.yes and not _agreed():
        print("nothing was removed")
        return 1
    with contextlib.ExitStack() as locks:  # all locks before the first removal
        for outermost in dict.fromkeys(resume.outermost(folder).resolve() for folder in folders):
            locks.enter_context(lock.alone(outermost))
        _refuse_unfinished(folders, chosen.force)  # one may have been resumed since
        for folder in folders:
            _remove(folder)
            print(f"removed: {folder}" if not os.path.lexists(folder) else _left(folder), flush=True)
    return 0


def _removable(path: Path) -> Path:
    if path.is_symlink():
        raise Refusal(f"{path} is a link, which rm does not follow: name what it leads to")
    folder = path.absolute() if ".." not in path.parts else path.resolve()  # it must have its name once others are gone
    if os.path.lexists(folder / "run.json") or is_study(folder) or stages.is_workflow(folder):
        return folder
    what = "is not a run or study"
    if folder.is_dir():
        what = "is a folder, but neither a run nor a study: name those in it"
        if not os.access(folder, os.X_OK):
            what = "is a folder that you cannot look into: see who owns it"
    raise Refusal(f"{path} {what}; rm removes nothing else")


def _distinct(folders: Sequence[Path]) -> list[Path]:
    """Return each folder once, however it is spelled, without folders whose runs are removed with another named
    folder."""
    spelled = list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]
    runs = {folder: {run.resolve() for run in _runs([folder])} for folder in spelled}
    return [
        folder
        for folder in spelled
        if not any(
            other.resolve() in folder.resolve().parents and runs[folder] <= runs[other]
            for other in spelled
            if other != folder
        )
    ]


def _refuse_of_others(folders: Sequence[Path]) -> None:
    for path in [*folders, *_runs(folders)]:
        with contextlib.suppress(FileNotFoundError):
            if (owner := os.lstat(path).st_uid) != os.geteuid():
                raise Refusal(
                    f"{path} belongs to user {owner}, and you are {os.geteuid()}: ask them to remove it; nothing was "
                    "removed"
                )


def _refuse_mounted(folders: Sequence[Path]) -> None:
    """Refuse runs in which something is mounted. Like the target of a link, that belongs to somebody else, but its path
    does not show it."""
    with contextlib.suppress(FileNotFoundError), open("/proc/self/mountinfo", "rb") as lines:  # not Linux
        mounted = [re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]) for line in lines]
        for folder in folders:
            for place in map(Path, map(os.fsdecode, mounted)):
                if place.is_relative_to(folder.resolve()):
                    raise Refusal(
                        f"something is mounted at {place}, in what is to go: unmount it first; nothing was removed"
                    )


def _refuse_unfinished(folders: Sequence[Path], force: bool) -> None:
    known, silence = states.look(_runs(folders), fresh=True)
    for one in known:
        if one.state in ("queued", "running") and not (silence and force):
            end = f"end it first: {command('cancel', one.path)}"
            if silence:
                last = f"and that was its last word, as the scheduler does not answer ({silence})"
                end = f"{last}: --force removes it all the same"
            raise Refusal(f"{one.path} is {one.state}{', ' if silence else ': '}{end}; nothing was removed")
    bad = [one for one in known if one.state not in ("done", "missing")]
    if bad and not force:
        more = f", and {len(bad) - 1} more have none" if len(bad) > 1 else ""
        state = f"unknown: {bad[0].reason}" if bad[0].state == "unknown" else bad[0].state
        raise Refusal(
            f"{bad[0].path} has no result ({state}){more}: nothing was removed; --force removes such runs too"
        )


def _runs(folders: Sequence[Path]) -> list[Path]:
    """Return the runs that are removed, without runs in the folder of a study that are not part of the study."""
    found: list[Path] = []
    for folder in folders:
        if stages.is_workflow(folder):
            found += _runs([stage.folder for stage in stages.read(folder)])
        elif is_study(folder):
            found += [folder / entry["run"] for entry in entries_of(folder)]
        elif os.path.lexists(folder / "run.json"):
            found.append(folder)
    return found


def _listed(folders: Sequence[Path]) -> str:
    rows, total = [("what goes", "runs", "size")], 0
    for folder in folders:
        runs = _runs([folder])
        size = sum((sizes.of_run(run, []) for run in runs), Counter()).total()
        if runs != [folder]:
            size += sizes.of_study(folder, runs, []).total()
        total += size
        study = folder.parent
        of = f" (of the study {study}, which lacks it then)" if is_study(study) and study not in folders else ""
        rows.append((f"{folder}{of}", str(len(runs)), sizes.text(size)))
    return aligned([*rows, ("total", str(len(_runs(folders))), sizes.text(total))], "<>>")


def _written(folders: Sequence[Path]) -> list[str]:
    """Return what programs wrote beside their code, and so into the copy that is removed: the user may look for it
    elsewhere."""
    found: dict[Path, str] = {}
    for folder in folders:
        for run in map(RunDir, _runs([folder])):
            holder = holder_of(run)
            if holder not in found and holder.is_relative_to(folder):
                found[holder] = ""
                with contextlib.suppress(Refusal, OSError):  # the copy may be gone
                    if new := compare.written(run):
                        found[holder] = f"with what was written beside the code: {snapshot.some(new)}"
    return [line for line in found.values() if line]


def _agreed() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refusal("there is no terminal on which to ask: give --yes; nothing was removed")
    with contextlib.suppress(EOFError):
        return input("remove this? [y/N] ").strip().lower() in ("y", "yes")
    return False


def _remove(folder: Path) -> None:
    """Remove a run at once; remove a study or workflow from its runs to its index, so that rm can complete a removal
    that was killed."""
    if os.path.lexists(folder / "run.json"):
        removing.remove(folder)
        return
    inner = [stage.folder for stage in stages.read(folder)] if stages.is_workflow(folder) else _runs([folder])
    for path in inner:
        removing.finished(path)
        if path.is_symlink():
            continue
        if is_study(path):
            _remove(path)
        elif path.is_dir():
            removing.remove(path)
    if any(os.path.lexists(path) for path in inner):
        return
    copies = [name for name in os.listdir(folder) if re.fullmatch(r"\.code(-\d+)?|code-\d+\.(json|patch)", name)]
    for name in (*copies, *_BESIDE):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # files of the user's are still in it
        folder.rmdir()


def _left(folder: Path) -> str:
    names = sorted(os.listdir(folder))
    return f"removed, but for what is not of the toolkit: {folder} ({', '.join(names[:5])}{', ...' * (len(names) > 5)})"
