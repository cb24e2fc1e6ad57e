"""What runs used at most, by their readings, for the launcher's advice:   profiling.telemetry.used RUN ...

It prints a JSON object: for each run that has readings what they say.
"""

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any

from launch.record.files import read_lines
from launch.record.rundir import RunDir
from profiling.telemetry import readings

WINDOW_S = 30
"""Seconds over which the use of cores is averaged: what is busy for less than that can wait."""

_FULL = 0.95  # share of a node's cores from which on all count as busy

# Only the node's free memory shows processes that are not below a rank, and files in memory.
_MEMORY = """
    SELECT greatest(
        (SELECT max(bytes) FROM (SELECT sum(rss_bytes) AS bytes FROM reading WHERE rank IS NOT NULL
                                 GROUP BY node, attempt, time_ms)),
        (SELECT max(bytes) FROM (SELECT arg_min(host_available_bytes, clock_ms) - min(host_available_bytes) AS bytes
                                 FROM reading GROUP BY node, attempt)))"""

# Cores used by each rank, and by each node under the rank NULL, in each stretch of time.
_CORES = f"""
    SELECT rank IS NULL, max(cores) FROM (
        SELECT rank, (max(ms) - min(ms)) / (max(clock_ms) - min(clock_ms)) AS cores
        FROM (SELECT *, CASE WHEN rank IS NULL THEN host_cpu_ms ELSE cpu_ms END AS ms FROM reading)
        WHERE ms IS NOT NULL GROUP BY node, attempt, rank, clock_ms // {WINDOW_S * 1000}
        HAVING max(clock_ms) - min(clock_ms) >= {WINDOW_S * 500})
    GROUP BY ALL"""

_GPUS = """
    SELECT node, device, max(rank), max(gpu_utilization), max(memory_bytes), count(gpu_utilization) FROM reading
    WHERE device IS NOT NULL GROUP BY node, device ORDER BY ALL"""


def of_run(run: RunDir) -> dict[str, Any] | None:
    """Return what a run used at most.

    Parameters
    ----------
    run : RunDir
        Run whose readings are used.

    Returns
    -------
    dict or None
        ``node_memory_bytes``, of the fullest node at one moment: the resident memory of its ranks, or by how much the
        memory fell that could still be had there, whichever is more; ``rank_cores``, of the busiest rank in its busiest
        `WINDOW_S`; ``all_busy``, whether all cores of a node were busy for as long, so that ranks may have had to wait
        for one; ``gpus``, with node, device, rank, ``utilization`` (the highest share of a sample period in which a
        kernel ran), ``memory_bytes`` and the number of readings; ``unreadable``, why some of them were not read, if so.
        What was not read is None, as is the whole for a run without readings.

    Raises
    ------
    Refusal
        If a file of the readings is damaged in its middle.
    """
    with readings.unharmed([run.readings]):
        database = readings.view(run.readings)
        if database is None:
            return None
        with contextlib.closing(database):
            (memory,) = database.execute(_MEMORY).fetchone() or (None,)
            cores: dict[bool, float] = dict(database.execute(_CORES).fetchall())
            gpus = database.execute(_GPUS).fetchall()
    notes = [line for path in sorted(run.readings.glob("node*.notes")) for line in read_lines(path)]
    present = min((line["cores"] for line in notes if line.get("cores")), default=math.inf)
    return {
        "node_memory_bytes": None if memory is None else int(memory),
        "rank_cores": cores.get(False),
        "all_busy": cores.get(True, 0.0) >= _FULL * present,
        "gpus": [
            {
                "node": node,
                "device": device,
                "rank": rank,
                "utilization": None if most is None else most / 100,
                "memory_bytes": held,
                "readings": count,
            }
            for node, device, rank, most, held, count in gpus
        ],
        "unreadable": next((why for line in notes for why in (line.get("missing") or {}).values()), ""),
    }


def main(argv: Sequence[str]) -> int:
    """Print what the runs used; return 0."""
    found = {path: of_run(RunDir(path)) for path in argv}
    print(json.dumps({path: used for path, used in found.items() if used is not None}))
    return 0
