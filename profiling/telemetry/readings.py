"""Readings of a run: their schema, the lines of a sampler, the Parquet files that they become, a view of both.

While a node is read, each reading is a line of JSON; when its ranks have ended the lines become one Parquet file, in a
tenth of the room. What a kill has left as lines is read as well as the rest.
"""

import contextlib
import functools
import glob
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from launch.errors import Refusal
from launch.record.files import Unreadable, open_file
from launch.record.writing import replacing
from profiling.telemetry.records import Field

if TYPE_CHECKING:
    import duckdb

READING = (
    Field("time_ms", int, "ms", "Unix time; the same for all that a node reads at once"),
    Field("node", int, "", "index of the node within the run"),
    Field("attempt", int, "", "start of the run, counted from 1"),
    Field(
        "rank",
        int,
        "",
        "whose process and GPU it is; absent where it is the node, or another GPU than the first of a rank",
    ),
    Field("device", str, "", "UUID of the GPU; absent where there is none"),
    Field("gpu_utilization", int, "%", "part of the last sample period (1/6 to 1 s) in which a kernel ran"),
    Field("memory_utilization", int, "%", "part of that period in which the GPU's memory was read or written"),
    Field("memory_bytes", int, "bytes", "GPU memory in use, what the driver keeps included"),
    Field("power_mw", int, "mW", "of the GPU, at this instant"),
    Field("power_average_mw", int, "mW", "of the GPU, over the last second"),
    Field(
        "power_usage_mw",
        int,
        "mW",
        "where the card has neither: at this instant on GA100 and older, else as the average",
    ),
    Field("energy_mj", int, "mJ", "counter of the GPU (Volta and newer)"),
    Field("integrated_energy_mj", int, "mJ", "where the card has no counter: its power, integrated between readings"),
    Field("temperature_c", int, "degrees Celsius", "of the GPU"),
    Field("memory_temperature_c", int, "degrees Celsius", "of its memory"),
    Field("sm_clock_mhz", int, "MHz", "of its multiprocessors"),
    Field("memory_clock_mhz", int, "MHz", "of its memory"),
    Field("throttle_reasons", int, "", "why clocks are lowered now: bits nvmlClocksEventReason* of nvml.h"),
    Field("throttled_power_ms", int, "ms", "counter: time of clocks lowered to hold the power limit"),
    Field("throttled_thermal_ms", int, "ms", "counter: to stay below a temperature"),
    Field("throttled_sync_boost_ms", int, "ms", "counter: to stay with the other GPUs of a group"),
    Field("throttled_board_limit_ms", int, "ms", "counter: for the board's limits"),
    Field("throttled_reliability_ms", int, "ms", "counter: for the limits of voltage"),
    Field(
        "pcie_tx_mib",
        int,
        "MiB",
        "counter: sent over PCIe; of 32 bits in bytes, so less than is true above 4 GiB a reading",
    ),
    Field("pcie_rx_mib", int, "MiB", "counter: received over PCIe; likewise"),
    Field("nvlink_tx_mib", int, "MiB", "counter: data sent over all NVLinks"),
    Field("nvlink_rx_mib", int, "MiB", "counter: data received over all NVLinks"),
    Field("ecc_corrected", int, "", "counter: memory errors that were corrected, since the driver was loaded"),
    Field("ecc_uncorrected", int, "", "counter: memory errors that were not"),
    Field("cpu_ms", int, "ms", "counter: time of cores that the rank and its children have used"),
    Field("rss_bytes", int, "bytes", "resident memory of the rank and its children"),
    Field("host_cpu_ms", int, "ms", "counter: time of cores that all processes of the node have used"),
    Field("host_available_bytes", int, "bytes", "memory of the node that can still be had"),
    Field("network_tx_kib", int, "KiB", "counter: sent over the node's network interfaces"),
    Field("network_rx_kib", int, "KiB", "counter: received over them"),
    Field("infiniband_tx_kib", int, "KiB", "counter: sent over its InfiniBand ports, RDMA included"),
    Field("infiniband_rx_kib", int, "KiB", "counter: received over them"),
    Field("package_energy_mj", int, "mJ", "counter: of the processors (RAPL)"),
    Field("dram_energy_mj", int, "mJ", "counter: of the memory (RAPL)"),
    Field("sampler_cpu_ms", int, "ms", "counter: time of cores that reading itself has used"),
    Field("sampling_us", int, "us", "how long the node's last reading took"),
)
"""Every column of a reading, in its order. All but time_ms, node and attempt may be absent; absent is never 0."""

WORTH_BYTES = 2**16
"""Lines below this stay lines: the footer of a Parquet file of these columns is as large as ten seconds of them."""

# In DuckDB the encoding by differences is of version 2, and only for columns that are no dictionary.
FORM = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 6, DICTIONARY_SIZE_LIMIT 1000"
"""How Parquet files are written, as SQL."""

_ROOM = "600MB"  # for the memory of a query; what sorts more goes to the disk


class ReadingWriter:
    """Appends readings as lines, in whole lines and at most once a second.

    Parameters
    ----------
    path : Path
        The file; made with its folder if absent.
    """

    INTERVAL = 1.0  # seconds

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self._lines: list[str] = []
        self._flushed = time.monotonic()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Record what was read at once."""
        self._lines += (json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        if time.monotonic() - self._flushed >= self.INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Hand the waiting lines to the operating system."""
        data = "".join(self._lines).encode()
        self._lines.clear()
        self._flushed = time.monotonic()
        while data:  # a write is cut short only by a full disk, and then the next one raises
            data = data[os.write(self._descriptor, data) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.flush()
        os.close(self._descriptor)


def compact(lines: Path) -> Path:
    """Make a Parquet file of a file of lines, and take that away; a kill leaves the one or the other.

    Sorted by rank, a column is a series in time, of which Parquet keeps the differences.

    Parameters
    ----------
    lines : Path
        Ends in .jsonl.

    Returns
    -------
    Path
        The file that holds the readings now: the lines themselves, where they are few or DuckDB is not installed.
    """
    if lines.stat().st_size < WORTH_BYTES or find_spec("duckdb") is None:
        return lines
    made = lines.with_suffix(".parquet")
    with replacing(made) as temporary, contextlib.closing(_database(threads=1)) as database:
        database.execute(
            f"COPY (SELECT * FROM {_lines([lines])} ORDER BY rank, device, time_ms) TO {_quoted(str(temporary))} "
            f"({FORM})"
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
    damaged: list[Path]  # cut short, as a node that loses its power can leave them


def parquet(folder: Path) -> Parquet:
    """The Parquet files of a folder, told apart by whether both ends have the mark of the format."""
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
    """A database with one table, ``reading``: all readings in a folder, by the columns of `READING`.

    Parameters
    ----------
    folder : Path
        ``readings`` of a run.
    threads : int
        For the queries.

    Returns
    -------
    duckdb.DuckDBPyConnection or None
        None where nothing was read. Close it.
    """
    found = rows(folder)
    if found is None:
        return None
    database = cursor(threads)
    database.execute(f"CREATE TEMP VIEW reading AS {found}")
    return database


def rows(folder: Path) -> str | None:
    """All readings in a folder as SQL, for `view`; None where nothing was read, or nothing can read it."""
    files = parquet(folder).whole
    compacted = {path.stem for path in files}
    waiting = sorted(
        path for path in folder.glob("node*-attempt*.jsonl") if path.stem not in compacted and os.path.isfile(path)
    )
    parts = [f"SELECT * FROM {_lines(waiting)}"] if waiting else []
    if files:
        parts.append(f"SELECT * FROM read_parquet([{_listed(files)}])")
    return " UNION ALL BY NAME ".join(parts) if parts and _can_be_read() else None


@functools.cache  # one line says it for all runs
def _can_be_read() -> bool:
    if find_spec("duckdb"):
        return True
    print(f"readings are left out, as duckdb is not installed: {sys.executable} -m pip install duckdb", file=sys.stderr)
    return False


@contextlib.contextmanager
def unharmed(folders: Iterable[Path]) -> Iterator[None]:
    """Within it readings of some folders are asked for: what is damaged in its middle is seen only then.

    Raises
    ------
    Refusal
        Which file cannot be read, and why.
    """
    import duckdb

    kinds = (duckdb.Error, UnicodeDecodeError)  # the second: a name that is no text any more
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
    """A database without tables. Close it."""
    return _shared(threads).cursor()


@functools.cache
def _shared(threads: int) -> "duckdb.DuckDBPyConnection":
    """One for all: to open one takes as long as to read a small run. Each cursor has temporary views of its own."""
    return _database(threads)


def _database(threads: int) -> "duckdb.DuckDBPyConnection":
    # The sampler, which lives beside the ranks, imports it only when they have ended.
    import duckdb

    # Made only when needed; nobody can have made it before, as its name cannot be guessed.
    spill = os.path.join(tempfile.gettempdir(), f"readings-{os.urandom(16).hex()}")
    options = {
        "threads": threads,
        "memory_limit": _ROOM,
        "temp_directory": spill,
        "autoinstall_known_extensions": False,
    }
    database = duckdb.connect(config=options)
    # A progress bar would stand amidst what is printed. In Jupyter without ipywidgets it is off and cannot be set.
    if database.execute("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        database.execute("SET enable_progress_bar = false")
    return database


def _lines(paths: Sequence[Path]) -> str:
    """The rows of files of lines, as SQL; a line that a kill has cut short is none."""
    kinds = {int: "BIGINT", str: "VARCHAR"}
    columns = ", ".join(f"{field.name}: '{kinds[field.type]}'" for field in READING)
    return (
        f"(SELECT * FROM read_json([{_listed(paths)}], format='newline_delimited', columns={{{columns}}}, "
        "ignore_errors=true) WHERE time_ms IS NOT NULL)"
    )


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(_quoted(glob.escape(str(path))) for path in paths)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
