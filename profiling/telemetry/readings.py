"""Readings of a run: the lines of its samplers, the Parquet files that they become, and a view of both.

While a node is being read, each reading is a line of JSON. When its ranks have ended, the lines become one Parquet
file, which takes a tenth of the space. Lines that a kill has left are read like the rest.
"""

import contextlib
import functools
import glob
import json
import os
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from launch.errors import Refusal
from launch.record.files import Unreadable, open_file
from launch.record.writing import replacing
from profiling.telemetry.reading_lines import READING

if TYPE_CHECKING:
    import duckdb

WORTH_BYTES = 2**16
"""Size below which lines stay lines: the footer of a Parquet file of these columns takes as much as ten seconds."""

# DuckDB encodes by differences only in version 2, and only columns that are not dictionaries.
FORM = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 6, DICTIONARY_SIZE_LIMIT 1000"
"""How Parquet files are written, as SQL."""

CLOCK = "time_ms - coalesce(clock_set_ms, 0)"
"""SQL for the time by a clock that nobody sets, for lengths of time; earlier releases did not record it."""

_ROOM = "600MB"  # memory limit of a query; larger sorts use the disk


def compact(lines: Path) -> Path:
    """Convert a file of lines to a Parquet file and remove it; a kill leaves one of the two.

    Sorted by rank, a column is a time series, of which Parquet stores the differences.

    Parameters
    ----------
    lines : Path
        File of lines, which ends in .jsonl.

    Returns
    -------
    Path
        File that holds the readings now: the lines themselves, if they are few or DuckDB is not installed.
    """
    if lines.stat().st_size < WORTH_BYTES or find_spec("duckdb") is None:
        return lines
    made = lines.with_suffix(".parquet")
    with replacing(made) as temporary, contextlib.closing(_database(threads=1)) as database:
        database.execute(
            f"COPY (SELECT * EXCLUDE filename FROM {_lines([lines])} ORDER BY rank, device, time_ms) "
            f"TO {quoted(temporary)} ({FORM})"
        )
    _to_disk(lines.parent)  # the new name, before the old file goes
    lines.unlink()
    return made


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Parquet(NamedTuple):
    """The Parquet files of a folder."""

    whole: list[Path]
    damaged: list[Path]  # cut short, as a node that loses power can leave them


def parquet(folder: Path) -> Parquet:
    """Sort the Parquet files of a folder by whether both ends have the mark of the format."""
    found = Parquet([], [])
    for path in sorted(folder.glob("node*.parquet")):
        begins = ends = b""
        with contextlib.suppress(Unreadable), open_file(path) as file:
            begins = file.read(4)
            file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
            ends = file.read()
        (found.whole if begins == ends == b"PAR1" else found.damaged).append(path)
    return found


def view(folder: Path, threads: int = 2) -> "duckdb.DuckDBPyConnection | None":
    """Open a database with one table, ``reading``: all readings of a folder, by the columns of `reading_lines.READING`,
    and ``clock_ms``, which is `CLOCK`.

    Parameters
    ----------
    folder : Path
        Folder ``readings`` of a run.
    threads : int
        Number of threads for the queries.

    Returns
    -------
    duckdb.DuckDBPyConnection or None
        Database, which the caller closes; None if nothing was read.
    """
    found = rows(files(folder))
    if found is None:
        return None
    database = cursor(threads)
    database.execute(f"CREATE TEMP VIEW reading AS SELECT *, {CLOCK} AS clock_ms FROM ({found})")
    return database


def files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold its readings: whole Parquet files, and lines that have not become one."""
    found = parquet(folder).whole
    compacted = {path.stem for path in found}
    waiting = sorted(
        path for path in folder.glob("node*-attempt*.jsonl") if path.stem not in compacted and os.path.isfile(path)
    )
    return found + waiting


def rows(paths: Sequence[Path], columns: Collection[str] | None = None) -> str | None:
    """Return SQL for all readings in some `files`, with their ``filename``; None if none are there or can be read.

    ``columns`` are those that are wanted; by default all.
    """
    waiting = [path for path in paths if path.suffix == ".jsonl"]
    compacted = [path for path in paths if path.suffix == ".parquet"]
    parts = [f"SELECT * FROM {_lines(waiting, columns)}"] if waiting else []
    if compacted:
        # Files of an earlier release lack newer columns; those of one attempt have the same, and take half the memory.
        different = len({(path.parent, path.stem.partition("-")[2]) for path in compacted}) > 1
        none = (f"NULL::{kind} AS {name}" for name, kind in _kinds(columns).items())
        parts.append(f"SELECT * FROM read_parquet([{_listed(compacted)}], union_by_name={different}, filename=true)")
        parts.append(f"SELECT {', '.join(none)} WHERE false")
    return " UNION ALL BY NAME ".join(parts) if parts and can_be_read() else None


@functools.cache  # one line says it for all runs
def can_be_read() -> bool:
    """Return whether DuckDB is installed; if not, say so once on standard error."""
    if find_spec("duckdb"):
        return True
    print(f"readings are left out, as duckdb is not installed: {sys.executable} -m pip install duckdb", file=sys.stderr)
    return False


@contextlib.contextmanager
def unharmed(folders: Iterable[Path]) -> Iterator[None]:
    """Name a damaged file if a query within this context fails. Only a query finds damage in the middle of a file.

    Raises
    ------
    Refusal
        If a file cannot be read; the message says which, and why.
    """
    import duckdb

    kinds = (duckdb.Error, UnicodeDecodeError)  # the second: a name that is no longer text
    try:
        yield
    except kinds:
        for path in (path for folder in folders for path in parquet(folder).whole):
            try:
                with cursor() as database:
                    database.execute(f"SELECT max(COLUMNS(*)) FROM read_parquet({_listed([path])})").fetchall()
            except kinds as error:
                why = str(error).partition("\n")[0]
                raise Refusal(f"{path} is damaged ({why}): move it away, and all else is read without it") from None
        raise


def cursor(threads: int = 2) -> "duckdb.DuckDBPyConnection":
    """Return a database without tables, which the caller closes."""
    return _shared(threads).cursor()


@functools.cache
def _shared(threads: int) -> "duckdb.DuckDBPyConnection":
    """Return the one database for all: opening one takes as long as reading a small run. Cursors have own views."""
    return _database(threads)


def _database(threads: int) -> "duckdb.DuckDBPyConnection":
    # The sampler runs beside the ranks and imports DuckDB only when they have ended.
    import duckdb

    # Created only when needed; nobody can have created it before, because its name cannot be guessed.
    spill = os.path.join(tempfile.gettempdir(), f"readings-{os.urandom(16).hex()}")
    options = {
        "threads": threads,
        "memory_limit": _ROOM,
        "temp_directory": spill,
        "autoinstall_known_extensions": False,
    }
    database = duckdb.connect(config=options)
    # A progress bar would mix with the output. In Jupyter without ipywidgets it is off and cannot be set.
    if database.execute("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        database.execute("SET enable_progress_bar = false")
    return database


def _lines(paths: Sequence[Path], wanted: Collection[str] | None = None) -> str:
    """Return the rows of files of lines, as SQL; a line that a kill has cut short is skipped.

    For many small files this takes a third of the time that read_json with columns does.
    """
    form = json.dumps(_kinds(wanted))
    return (
        f"(SELECT filename, unnest(reading) FROM (SELECT filename, json_transform(json, '{form}') AS reading "
        f"FROM read_json_objects([{_listed(paths)}], format='newline_delimited', ignore_errors=true, "
        "filename=true)) WHERE reading.time_ms IS NOT NULL)"
    )


def _kinds(wanted: Collection[str] | None) -> dict[str, str]:
    """Return the columns, or those that are wanted, with their types in SQL."""
    kinds = {int: "BIGINT", str: "VARCHAR"}
    return {field.name: kinds[field.type] for field in READING if wanted is None or field.name in wanted}


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(quoted(glob.escape(str(path))) for path in paths)


def quoted(text: str | Path) -> str:
    """Quote a text for SQL."""
    return "'" + str(text).replace("'", "''") + "'"
