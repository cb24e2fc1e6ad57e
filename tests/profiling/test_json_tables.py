"""Tables in JSON: dictionaries by number of workers, the forms of pandas, several series under their keys."""

import json

import pytest

from launch.errors import Refusal
from profiling.study import tables
from profiling.tables.columns import Asked

TIMES = {1: 100.0, 2: 52.0, 4: 28.0}
BY_NUMBER = {str(n): seconds for n, seconds in TIMES.items()}
SLOWER = {str(n): 3 * seconds for n, seconds in TIMES.items()}


def read(folder, value, **asked):
    path = folder / "table.json"
    path.write_text(json.dumps(value))
    return {
        series.name: {point.workers: [1 / rate for rate in point.rates] for point in series.points}
        for series in tables.read_all(path, Asked(**asked))
    }


def only(times):
    return {n: pytest.approx([seconds]) for n, seconds in times.items()}


def test_of_values_by_number_it_is_asked_what_they_are(tmp_path):
    with pytest.raises(Refusal, match="--time-column 'value' or --throughput-column 'value'"):
        read(tmp_path, BY_NUMBER)
    assert read(tmp_path, BY_NUMBER, time_column=("value",)) == {"table": only(TIMES)}
    repeated = {n: [seconds, seconds + 1] for n, seconds in BY_NUMBER.items()}
    found = read(tmp_path, repeated, time_column=("value",))["table"]
    assert found == {n: pytest.approx([seconds, seconds + 1]) for n, seconds in TIMES.items()}


@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["nodes", "time"], "index": [0, 3, 5], "data": [[n, TIMES[n]] for n in TIMES]},
        {"columns": ["time"], "index": list(TIMES), "data": [[seconds] for seconds in TIMES.values()]},
        {str(row): {"nodes": n, "time": TIMES[n]} for row, n in enumerate(TIMES)},
        {str(row): {"nodes": n, "time": TIMES[n]} for row, n in enumerate(TIMES, 1)},
        {str(row): {"nodes": n, "time": TIMES[n]} for row, n in zip((3, 7, 9), TIMES)},
        {"nodes": dict(zip("358", TIMES)), "time": dict(zip("358", TIMES.values()))},
        {n: {"threads": 4, "time": seconds} for n, seconds in BY_NUMBER.items()},
        {n: {"nodes": (int(n) + 1) // 2, "time": seconds} for n, seconds in BY_NUMBER.items()},
    ],
    ids=["split", "split by workers", "index", "index from 1", "some rows", "some rows as columns", "held", "finer"],
)
def test_forms_of_pandas(tmp_path, value):
    assert read(tmp_path, value) == {"table": only(TIMES)}


def test_a_row_of_another_length_is_refused(tmp_path):
    with pytest.raises(Refusal, match="row 2: "):
        read(tmp_path, {"columns": ["nodes", "time"], "data": [[1, 100], [2]]})


def test_each_key_is_a_series(tmp_path):
    both = {"V100 time": BY_NUMBER, "A100 time": SLOWER}
    slower = {n: 3 * seconds for n, seconds in TIMES.items()}
    assert read(tmp_path, both) == {"V100 time": only(TIMES), "A100 time": only(slower)}
    named = {"V100": BY_NUMBER, "A100": SLOWER}
    with pytest.raises(Refusal, match="--time-column"):
        read(tmp_path, named)
    assert read(tmp_path, named, time_column=("value",)) == {"V100": only(TIMES), "A100": only(slower)}


def test_what_means_different_things_is_one_table(tmp_path):
    both = {"throughput": {n: 1 / seconds for n, seconds in BY_NUMBER.items()}, "efficiency": {"1": 1, "2": 1, "4": 1}}
    assert read(tmp_path, both) == {"table": only(TIMES)}
    assert read(tmp_path, {"weak": both, "strong": both}) == {"weak": only(TIMES), "strong": only(TIMES)}
