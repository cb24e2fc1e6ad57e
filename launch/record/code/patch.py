"""The state of the code that a run was started with: the commit, and changes that are in no commit."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from launch.record.code import git
from launch.record.writing import publish

_TIMEOUT_S = 30
# Options for a patch that can be applied, whatever format the user has configured in git.
_PLAIN = ("diff --binary --no-ext-diff --no-textconv --no-color --no-relative --submodule=short "
          "--ignore-submodules=dirty --unified=3").split()  # fmt: skip

_NEW = ("--", "*.py", ":(exclude)**/site-packages/**")


def keep(patch_file: Path, cwd: str) -> str | None:
    """Write the uncommitted changes of the code in a folder, including new files that git does not track, and those of
    the repositories within it; return the commit.

    Parameters
    ----------
    patch_file : Path
        Written only if there are changes. It is complete, so that ``git apply`` restores the code, and readable only by
        the user, as it may contain secrets.
    cwd : str
        A folder of the code.

    Returns
    -------
    str or None
        The commit; None without git or a repository.
    """
    commit = _git(cwd, "rev-parse", "HEAD").decode().strip()
    if commit and (patch := _changes(cwd, "", patch_file.with_name(".index"))):
        publish(patch_file, patch, mode=0o600)
    return commit or None


def _changes(cwd: str, prefix: str, copied: Path) -> bytes:
    """Return the patch of a repository and of those within it. Paths in it begin with the prefix, so that all apply in
    the outermost one."""
    index = _git(cwd, "rev-parse", "--path-format=absolute", "--git-path", "index").decode().strip()
    top = _git(cwd, "rev-parse", "--show-toplevel").decode().strip()
    if not os.path.isfile(index):
        return b""
    # New files are added to a copy of the index, which leaves the user's index alone.
    # It keeps its time, by which git recognises files that were changed in the second of a commit.
    shutil.copy2(index, copied)
    try:
        if _git(
            cwd, "ls-files", "--others", "--exclude-standard", *_NEW
        ):  # else git would write an object all the same
            _git(cwd, "add", "--intent-to-add", *_NEW, index=str(copied))
        sides = (f"--src-prefix=a/{prefix}", f"--dst-prefix=b/{prefix}")
        patch = _git(cwd, *_PLAIN, *sides, "HEAD", index=str(copied))
    finally:
        copied.unlink()
    for inner in git.within_it(top, cwd):
        patch += _changes(os.path.join(top, inner), f"{prefix}{inner}/", copied)
    return patch


def files(patch: str) -> dict[str, str]:
    """Return the part of a patch that belongs to each file."""
    parts = re.split(r'^diff --git "?a/.*? "?b/(.*?)"?$', patch, flags=re.MULTILINE)[
        1:
    ]  # name, lines, name, lines, ...
    return dict(zip(parts[::2], parts[1::2]))


def _git(cwd: str, *words: str, index: str = "") -> bytes:
    """Return the output of git; empty if git fails."""
    env = git.environment() | ({"GIT_INDEX_FILE": index} if index else {})
    try:
        done = subprocess.run(["git", "-C", cwd, *words], capture_output=True, timeout=_TIMEOUT_S, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return b"" if done.returncode else done.stdout
