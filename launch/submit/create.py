"""Makes a folder that appears whole or not at all: it is written beside its final place, and renamed once it is
complete."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from launch.errors import Refusal, command
from launch.record.study import is_study
from launch.record.writing import refuse_full_disk, to_disk


class Taken(Refusal):
    """There is a folder of that name already."""

    def __init__(self, folder: Path) -> None:
        more = f", or add to it: {command('extend', folder)} --repeats N --nodes M" if is_study(folder) else ""
        super().__init__(
            f"{folder} exists already: give another --name, or continue it: {command('resume', folder)}{more}"
        )
        self.folder = folder


@contextlib.contextmanager
def whole(folder: Path, what: str) -> Iterator[Path]:
    """Yield a hidden draft of a folder, mode 0700. After the block the draft becomes the folder; if the block fails, it
    is removed.

    The draft is flushed to the disk in one go: waiting for each of many files would take many times as long.

    Parameters
    ----------
    folder : Path
        The final place.
    what : str
        Word for the refusal: "run", "study" or "workflow".

    Raises
    ------
    Taken
        If the folder exists.
    Refusal
        If the folder cannot be made, or there is no room for it.
    """
    draft = None
    try:
        with contextlib.suppress(FileExistsError):  # a file there: the next lines report that
            folder.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(folder):
            raise FileExistsError
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield draft
        refuse_full_disk(draft)
        to_disk(draft)
        draft.rename(folder)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno == errno.ENOTEMPTY:  # raised by a rename onto a folder
            raise Taken(folder) from None
        instead = "give a folder that can be written to with --runs"
        if error.errno == errno.ENAMETOOLONG:
            instead = "give a shorter --name, or other --runs"
        raise Refusal(f"cannot make the {what} {folder} ({error.strerror}): {instead}") from None
    finally:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
