"""The predictions of a study that were written down, with their dates, and what has been measured since."""

import json
from pathlib import Path
from typing import Any

from launch.record.files import append_line, read_lines
from profiling.cli.score import score
from profiling.study.tables import Series

FILE = "predictions.jsonl"
"""In the folder of a study: a line for each prediction, in the form of ``predict --json``; only ever appended to."""


def write_down(folder: Path, document: dict[str, Any]) -> str:
    """Keep a prediction, with its date and the points that it knew, unless the same one is there already; say so."""
    path = folder / FILE
    content = json.dumps({**document, "made": None})
    if any(json.dumps({**old, "made": None}) == content for old in read_lines(path)):
        return f"written down before: {path}"
    try:
        append_line(path, document)
    except OSError as error:
        return f"not written down: cannot write {path} ({error.strerror})"
    return f"written down, to be scored by the next report: {path}"


def scored(folder: Path, series: Series) -> list[dict[str, Any]]:
    """Each forecast of the past for a series, by date and workers: ``measured`` is None where nothing is yet.

    A point that was known when a prediction was made is no forecast, and is left out.
    """
    measured = {point.workers: point.throughput for point in series.points}
    found = []
    for made in read_lines(folder / FILE):
        if (made.get("series"), made.get("kind"), made.get("unit")) != (series.name, series.kind, series.unit):
            continue
        known = {point["workers"] for point in made["measured"]}
        for forecast in made["predictions"]:
            if forecast["workers"] in known:
                continue
            found.append({"made": made["made"], "knew": sorted(known), "confidence": made["confidence"]})
            if forecast["workers"] in measured:
                found[-1] |= score(forecast, measured[forecast["workers"]])
            else:
                found[-1] |= {"workers": forecast["workers"], "predicted": forecast["throughput"], "measured": None}
                found[-1] |= {"low": forecast["low"], "high": forecast["high"]}
    return found
