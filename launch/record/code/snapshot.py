"""The code of a run as submitted: a copy of its files, from which the ranks run, and what has changed since.

The first code is in the folder of the run or of the study, whose runs share it, under the name ``code``; a later one is
``code-2``. It consists of the record code.json, and of the hidden folder .code with a copy of each tree and
files.jsonl, the list of the files. What git ignores is there as links. For code that is only watched, there is only the
list.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch import HOME
from launch.errors import Refusal, command
from launch.record.contents import CodeRecord, TreeRecord
from launch.record.files import Unreadable, read_object
from launch.record.rundir import RunDir
from launch.record.study import holder_of
from launch.record.writing import as_text, publish

if TYPE_CHECKING:
    from launch.record.code.sources import Sources
    from launch.record.code.tree import Tree


FIRST = "code"
"""The name of the code that a run or study was submitted with."""

MOST_MIB = 256.0
"""The default limit for the size of the copy of the code."""

LIST = "files.jsonl"


def write(holder: Path, name: str, sources: "Sources", copied: bool, most_mib: float = MOST_MIB) -> CodeRecord:
    """Keep the code of a run or study in its folder, which may still be a draft; return the record.

    Parameters
    ----------
    holder : Path
        The folder.
    name : str
        Name of the code; there is no code of that name yet.
    sources : Sources
        The code.
    copied : bool
        Whether to copy the code; else it is only listed.
    most_mib : float
        The size limit, recorded for the next copy; the caller has already checked this one.
    """
    from launch.record.code import copying, patch  # imported late, here and below: no rank needs it
    from launch.record.code.tree import within

    copied = copied and sources.copied
    folder = place(holder, name)
    folder.mkdir(mode=0o700)
    (folder / ".gitignore").write_text("*\n")  # git must not list the copy as new code of a repository around it
    trees: list[TreeRecord] = []
    lines: list[list[Any]] = []
    for tree, own in zip(sources.trees, _names(sources.trees)):
        entries = list(copying.copied(tree, folder / own) if copied else copying.seen(tree))
        lines += [[own, *entry] for entry in entries]
        kept = TreeRecord(root=tree.root, folder=own, what=tree.what, files=len(entries), notes=list(tree.notes))
        kept["bytes"] = sum(entry[1] for entry in entries)
        if tree.commit:
            kept["commit"] = tree.commit
        trees.append(kept)
    for tree in sources.trees if copied else ():
        if not within(tree.root, HOME):  # the toolkit is found where it is
            copying.link_beside(tree, folder)
    (folder / LIST).touch(mode=0o600)
    (folder / LIST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    first = sources.trees[0] if sources.trees else None
    if first and first.commit:
        patch.keep(holder / f"{name}.patch", first.root)
    record: CodeRecord = {
        "snapshot": copied,
        "limit": most_mib,
        "time": round(time.time(), 3),
        "hash": hash_of((f"{own}/{path}", digest) for own, path, _, _, digest in lines),
        "trees": trees,
        "notes": list(sources.notes),
    }
    if first and first.commit:
        record["commit"] = first.commit
    publish(holder / f"{name}.json", as_text(record), mode=0o600)
    return record


def place(holder: Path, name: str) -> Path:
    """Return the folder of the copy."""
    return holder / f".{name}"


def name_of(run: RunDir) -> str:
    """Return the name of the code that the next attempt of a run uses."""
    return str(next((event.get("code") for event in reversed(run.events("code"))), None) or FIRST)


def next_name(holder: Path) -> str:
    """Return a name for further code of a run or study."""
    numbers = [
        int(match[1]) for path in holder.iterdir() if (match := re.fullmatch(r"\.?code-(\d+)(\..*)?", path.name))
    ]
    return f"{FIRST}-{max(numbers, default=1) + 1}"


def record_of(run: RunDir) -> CodeRecord | None:
    """Return the record of the code that the next attempt of a run uses; None for a run of an older version."""
    return read_object(holder_of(run) / f"{name_of(run)}.json", CodeRecord)


def patch_of(run: RunDir) -> Path:
    """Return the patch from the commit to that code; the file need not exist."""
    return holder_of(run) / f"{name_of(run)}.patch"


def copies(run: RunDir) -> list[tuple[str, str]]:
    """Return each folder of code, and the copy of it that the next attempt of a run uses.

    Raises
    ------
    Refusal
        If a copy is gone.
    """
    record = record_of(run) or {}
    if not record.get("snapshot"):
        return []
    folder = place(holder_of(run), name_of(run))
    pairs = [(tree["root"], str(folder / tree["folder"])) for tree in record.get("trees", ())]
    if gone := next((copy for _, copy in pairs if not os.path.isdir(copy)), None):
        with contextlib.suppress(Unreadable):  # the run is still to be made
            plan = run.record()
            if plan.get("kind") == "script" and not os.path.isfile(plan["workload"]):
                raise Refusal(f"the snapshot of the code, {gone}, is gone, and so is {plan['workload']}: put that back")
        raise Refusal(
            f"the snapshot of the code, {gone}, is gone: continue with the code as it is now: "
            + command("resume", run.path, "--code", "current")
        )
    return pairs


def has(holder: Path, path: str) -> bool:
    """Return whether the code that a run or study was submitted with holds a copy of a file."""
    from launch.record.code.tree import within

    record = read_object(holder / f"{FIRST}.json", CodeRecord) or {}
    return bool(record.get("snapshot")) and any(
        within(path, tree["root"])
        and os.path.isfile(place(holder, FIRST) / tree["folder"] / os.path.relpath(path, tree["root"]))
        for tree in record.get("trees", ())
    )


def described(record: CodeRecord) -> str:
    """Return the text that says which code it is, and when it was kept."""
    trees = record.get("trees", [])
    what = " and ".join(tree["what"] for tree in trees) or "; ".join(record.get("notes", [])) or "code"
    commit = f", commit {record['commit'][:8]}" if "commit" in record else ""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.get("time", 0)))
    if record.get("snapshot"):
        return f"the snapshot of {what} of {at}{commit}"
    return f"{what} as it is now; it was noted at {at}{commit}"


def some(names: list[str], most: int = 5) -> str:
    """Return a few of several names, as text."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _names(trees: tuple["Tree", ...]) -> list[str]:
    """Return a name for the copy of each tree: the tree's own name if no other tree has it."""
    names: list[str] = []
    for tree in trees:
        own = os.path.basename(tree.root).lstrip(".") or "code"
        names.append(own if own not in (*names, LIST) else f"{own}-{len(names) + 1}")
    return names


def hash_of(digests: Iterable[tuple[str, str]]) -> str:
    """Return one hash for all files, from the name and the hash of each."""
    import hashlib

    whole = hashlib.sha256()
    for name, digest in sorted(digests):
        whole.update(f"{name}\0{digest}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()
