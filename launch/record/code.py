"""The state of the code that a run was started with: the commit, and what no commit has."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from launch.record import git
from launch.record.writing import publish

_TIMEOUT_S = 30
# A patch that can be applied, whatever the user has told git about how to show one.
_PLAIN = ("diff --binary --no-ext-diff --no-textconv --no-color --no-relative --submodule=short "
          "--ignore-submodules=dirty --src-prefix=a/ --dst-prefix=b/ --unified=3").split()  # fmt: skip


def keep(patch_file: Path, cwd: str) -> str | None:
    """Write what the code in a folder has that no commit has, files that git does not know yet included; return the
    commit.

    Parameters
    ----------
    patch_file : Path
        Written only if there is something: whole, so that ``git apply`` makes the code again, and for the user's eyes
        alone, as nobody can tell code from a secret in it.
    cwd : str
        A folder of the code.

    Returns
    -------
    str or None
        The commit; None where there is no git or no repository.
    """
    commit = _git(cwd, "rev-parse", "HEAD")
    index = _git(cwd, "rev-parse", "--path-format=absolute", "--git-path", "index")
    if not commit or not os.path.isfile(index.decode().strip()):
        return commit.decode().strip() or None
    # In a copy of the index, new files can be announced without touching the user's.
    copied = patch_file.with_name(".index")
    shutil.copy2(
        index.decode().strip(), copied
    )  # with its time, by which git knows files that were changed in the second of a commit
    try:
        _git(cwd, "add", "--intent-to-add", "--", "*.py", ":(exclude)**/site-packages/**", index=str(copied))
        patch = _git(cwd, *_PLAIN, "HEAD", index=str(copied))
    finally:
        copied.unlink()
    if patch:
        publish(patch_file, patch, mode=0o600)
    return commit.decode().strip()


def files(patch: str) -> dict[str, str]:
    """The part of a patch that belongs to each file."""
    parts = re.split(r'^diff --git "?a/.*? "?b/(.*?)"?$', patch, flags=re.MULTILINE)[
        1:
    ]  # name, lines, name, lines, ...
    return dict(zip(parts[::2], parts[1::2]))


def _git(cwd: str, *words: str, index: str = "") -> bytes:
    """What git says; nothing if it cannot."""
    env = git.environment() | ({"GIT_INDEX_FILE": index} if index else {})
    try:
        done = subprocess.run(["git", "-C", cwd, *words], capture_output=True, timeout=_TIMEOUT_S, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return b"" if done.returncode else done.stdout
