"""What git says of a folder: the repository that it lies in, its commit, and its files. Nothing of the user's is written."""

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from launch.errors import Refusal

_TIMEOUT_S = 60
# Set by git itself in its hooks, these would make any folder part of that repository.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


class Repository(NamedTuple):
    """Where a folder lies."""

    top: str  # the working tree
    commit: str | None  # None before the first
    main: str | None = None  # of a worktree, the repository that it is one of


def repository(folder: str) -> Repository | str:
    """The repository that a folder lies in, or else in words why there is none."""
    marked = _marked(folder)
    if marked is None:
        return "no git repository"
    try:
        words = ["rev-parse", "--show-toplevel", "--git-dir", "--git-common-dir", "HEAD"]
        done = _start(folder, words).communicate(timeout=_TIMEOUT_S)
    except FileNotFoundError:
        return f"{marked} is a git repository, and there is no git here to read it"
    except subprocess.TimeoutExpired:
        return f"git did not answer within {_TIMEOUT_S} s about {marked}"
    said = [os.fsdecode(line) for line in done[0].split(b"\n")]
    if len(said) < 4:
        why = done[1].decode(errors="replace")
        if "dubious ownership" in why:
            return (
                f"git refuses {marked}, as it belongs to another user; if you trust it: git config --global --add "
                f"safe.directory {marked}"
            )
        return f"git cannot read {marked} ({' '.join(why.split())[:200]})"
    top, commit = said[0], said[3]
    own, common = (os.path.realpath(os.path.join(folder, path)) for path in said[1:3])
    main = None if own == common else common.removesuffix("/.git")
    return Repository(top, commit if commit != "HEAD" else None, main)


def files(top: str, below: str = ".") -> tuple[list[str], list[str]]:
    """The files of a repository that are tracked or new, and what is ignored, folders whole; paths from its top.

    Raises
    ------
    Refusal
        If git does not say so in time.
    """
    try:
        listings = [
            _start(top, ["ls-files", "-z", "--full-name", "--exclude-standard", *which, "--", below])
            for which in (["--cached", "--others"], ["--others", "--ignored", "--directory"])
        ]
        answers = [listing.communicate(timeout=_TIMEOUT_S) for listing in listings]
    except (OSError, subprocess.TimeoutExpired):
        answers = []
    if not answers or any(listing.returncode for listing in listings):
        raise Refusal(
            f"git does not list the files of {top} within {_TIMEOUT_S} s: have it ignore folders of many files "
            "(.gitignore), or give --no-snapshot"
        )
    tracked, ignored = (sorted({os.fsdecode(name) for name in out.split(b"\0") if name}) for out, _ in answers)
    return tracked, ignored


def environment() -> dict[str, str]:
    """That of git: in English, and of no other repository than that of the folder it is asked about."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


def _start(folder: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["git", "-C", folder, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


def _marked(folder: str) -> str | None:
    """The nearest folder above that looks like the top of a repository; to ask git of every folder takes longer."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder
