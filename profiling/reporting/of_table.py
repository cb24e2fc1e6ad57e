"""The report of a plain table, of one series or of several, as one value and as tables of text."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.prediction import fits, prediction
from profiling.reporting import columns, committees
from profiling.reporting.columns import Column
from profiling.study import scaling
from profiling.study.tables import Series

PREDICTED = 6  # number of series, the first ones, that get a prediction
NO_TIME = "The table does not say how long runs took, or on how many nodes, cores and processes, where N/A stands."

SHOWN = (
    Column("workers", "workers"),
    Column("repeats", "repeats"),
    Column("throughput", "throughput [{unit}]"),
    Column("throughput_interval", "95 % CI"),
    Column("speedup", "speed-up"),
    Column("efficiency", "efficiency", "percent"),
    Column("efficiency_interval", "95 % CI", "percent"),
)


def document(name: str, all_series: Sequence[Series], made: str, remark: str, ahead: Any) -> dict[str, Any]:
    """Return the whole report; ``ahead`` makes the prediction of a series."""
    found = [_of_series(series, ahead if place < PREDICTED else None) for place, series in enumerate(all_series)]
    first = all_series[0]
    kinds = list(dict.fromkeys(series.kind or "not said" for series in all_series))
    about = {
        "what": f"the table {name}",
        "understood": first.understood.removeprefix("understood: "),
        "scaling": ", ".join(kinds),
    }
    about |= {"series": ", ".join(series.name for series in all_series)} if len(all_series) > 1 else {}
    notes = _notes(found)
    if len(all_series) > PREDICTED:
        notes.append(f"predictions are those of the first {PREDICTED} series: --series NAME makes that of another one")
    return {
        "format": 1,
        "study": name,
        "made": made,
        "about": {label: value for label, value in (about | {"remark": remark}).items() if value},
        "tables": found,
        "parameter": first.parameter,
        "notes": notes,
        "problems": list(dict.fromkeys(problem for one in found for problem in one["problems"])),
    }


def _notes(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the notes of all series once, and those of some series with the names of these."""
    named: dict[str, list[str]] = {}
    for one in found:
        for note in one["notes"]:
            named.setdefault(note, []).append(one["series"])
    return [note if len(names) == len(found) else f"{', '.join(names)}: {note}" for note, names in named.items()]


def _of_series(series: Series, ahead: Any) -> dict[str, Any]:
    rows = scaling.table(series)
    problems = [f"{series.name}: {problem}" for problem in prediction.problems(series)]
    forecast = why = None
    if not series.kind:
        why = "there is no prediction, as the table does not say whether it is weak or strong scaling: say --kind"
    elif ahead:
        try:
            forecast = ahead(series)
        except Refusal as refusal:
            why = str(refusal)
    made = [asdict(row) for row in rows]
    return {
        "series": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "works": series.works,
        "size": series.size,
        "base": {"workers": rows[0].workers, "throughput": rows[0].throughput},
        "confidence": scaling.LEVEL,
        "rows": made,
        "rates": {str(point.workers): list(point.rates) for point in series.points},
        "notes": [*series.notes, *scaling.notes(series, rows), *([why] if why else [])],
        "problems": problems,
        "prediction": forecast,
        "committees": committees.of_table(series, made),
    }


def summary(document: dict[str, Any]) -> str:
    """Return the result in one sentence for each of a few series."""
    found = document["tables"]
    lines = [_sentence(one, len(found) > 1) for one in found[:4]]
    more = f" And {len(found) - 4} more series." if len(found) > 4 else ""
    return " ".join(lines) + more


def _sentence(one: dict[str, Any], named: bool) -> str:
    first, last = one["rows"][0], one["rows"][-1]
    kind = f"{one['kind']} scaling" if one["kind"] else "scaling"
    head = f"{one['series']}: {kind}" if named else kind.capitalize()
    return (
        f"{head} from {first['workers']} to {last['workers']} {one['works']}: {text.number(last['throughput'])} "
        f"{one['unit']} on {last['workers']}, {text.percent(last['efficiency'])} of what "
        f"{text.number(last['workers'] / first['workers'])} times the base would give."
    )


def tables(document: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]], list[str]]]:
    """Return title, headings, rows and notes of each table in reading order, the measured ones first."""
    found = document["tables"]
    several = len(found) > 1
    measured, predicted, forms = [], [], []
    for one in found:
        of = f", {one['series']}" if several else ""
        header, rows = columns.cells(columns.present(SHOWN, one["rows"]), one["rows"], one["unit"])
        header[0] = one["works"]
        at, rate = one["base"]["workers"], text.number(one["base"]["throughput"])
        base = f"Base: {text.counted(at, one['works'])}, {rate} {one['unit']} in absolute terms."
        measured.append((f"Scaling{of}", header, rows, [base]))
        if ahead := one["prediction"]:
            asked = [forecast for forecast in ahead["predictions"] if forecast["workers"] in ahead["asked"]]
            warnings = [warning[0].upper() + warning[1:] + "." for warning in asked[-1]["warnings"]]
            forms_of = prediction.columns(one["unit"], ahead["confidence"], one["works"], ahead["holds"])
            if not ahead["holds"]:
                warnings = [f"The {ahead['problems'][0]}: do not plan with it."]
            predicted.append((f"Prediction, not measured{of}", *text.cells(forms_of, asked), warnings))
            if ahead["holds"]:
                header, rows, note = fits.table(ahead)
                predicted.append((f"Laws of the prediction{of}", header, rows, [note]))
        forms += [(f"{form['title']}{of}", form["header"], form["rows"], [form["note"]]) for form in one["committees"]]
    return [*measured, *predicted, *forms]


def flat(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each point of each series."""
    return [
        {"name": one["series"], "kind": one["kind"], "unit": one["unit"]} | row
        for one in document["tables"]
        for row in one["rows"]
    ]


def repeats(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each measurement, in a form that `report` and `predict` can read again."""
    return [
        {"name": one["series"]}
        | ({"kind": one["kind"]} if one["kind"] else {})
        | {"workers": int(workers), "throughput": rate, "unit": one["unit"]}
        for one in document["tables"]
        for workers, rates in one["rates"].items()
        for rate in rates
    ]
