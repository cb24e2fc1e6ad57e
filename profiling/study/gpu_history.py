"""The GPUs of one run over time, by rank, at the resolution that a figure can show."""

import math
from collections.abc import Sequence
from typing import Any

from profiling.study.run import Run
from profiling.telemetry import readings

BINS = 120  # number of bins of time
ROWS = 128  # number of rows of ranks; if there are more ranks, neighbours share a row


def history(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Return GPU utilisation and power of one run of a point, the one of median throughput, over its timed steps.

    Returns
    -------
    dict or None
        ``run``; ``workers``; ``seconds``, the middle of each bin (bins,), from the first timed step on; ``ranks``, the
        first rank of each row (rows,); ``utilisation`` and ``power_w`` (rows, bins), None if nothing was read. None
        without GPUs.
    """
    run = sorted(runs, key=lambda run: run.throughput)[len(runs) // 2]
    begin, end = run.steps.span
    folder = run.directory.readings
    database = readings.view(folder)
    if database is None:
        return None
    share, bins = math.ceil(run.ranks / ROWS), min(BINS, max(1, int(end - begin)))
    width = 1000 * (end - begin) / bins  # ms
    query = """
        SELECT rank // ?, CAST(floor((time_ms - ?) / ?) AS INT) AS bin, avg(gpu_utilization) / 100,
               avg(coalesce(power_average_mw, power_usage_mw, power_mw)) / 1000
        FROM reading WHERE rank IS NOT NULL AND device IS NOT NULL AND bin BETWEEN 0 AND ? GROUP BY ALL"""
    with readings.unharmed([folder]), database:
        cells = database.execute(query, [share, 1000 * begin, width, bins - 1]).fetchall()
    if not cells:
        return None
    tables = [[[None] * bins for _ in range(math.ceil(run.ranks / share))] for _ in range(2)]
    for row, place, *values in cells:
        for table, value in zip(tables, values, strict=True):
            table[row][place] = value
    utilisation, power = tables
    return {
        "run": run.name,
        "workers": run.ranks,
        "seconds": [(place + 0.5) * width / 1000 for place in range(bins)],
        "ranks": [row * share for row in range(len(utilisation))],
        "utilisation": utilisation,
        "power_w": power,
    }
