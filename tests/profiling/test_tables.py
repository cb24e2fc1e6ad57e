"""Reading plain scaling tables: what is understood, and what is refused in one line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from profiling.study import tables

GOOD = "workers,throughput,kind\n1,100,weak\n2,190,weak\n4,370,weak\n"


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_rows_become_points_with_repeats(tmp_path):
    series = tables.read(write(tmp_path, "kind, throughput, workers\nweak,370,4\nweak,90,1\nweak,110,1\n"))
    assert series.kind == "weak"
    assert [(point.workers, point.rates) for point in series.points] == [(1, (90.0, 110.0)), (4, (370.0,))]
    assert series.points[0].throughput == pytest.approx(99.0)  # 2 / (1/90 + 1/110)


@settings(max_examples=30, deadline=None)
@given(st.permutations(GOOD.splitlines()[1:]))
def test_the_order_of_rows_does_not_matter(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("order")
    shuffled = tables.read(write(folder, "\n".join([GOOD.splitlines()[0], *lines])))
    assert shuffled == tables.read(write(folder, GOOD))


@pytest.mark.parametrize(
    "value",
    [
        [{"workers": n, "throughput": 90.0 * n, "kind": "strong", "name": "a"} for n in (1, 2)],
        {"name": "a", "kind": "strong", "workers": [1, 2], "throughput": [90, 180]},
        [{"name": "a", "kind": "Strong (labelled weak)", "repeats": {"1": [90], "2": [180]}}],
    ],
)
def test_the_three_forms_of_json_say_the_same(tmp_path, value):
    series = tables.read(write(tmp_path, json.dumps(value), "a.json"))
    assert (series.name, series.kind, series.workers) == ("a", "strong", [1, 2])
    assert [point.rates for point in series.points] == [(90.0,), (180.0,)]


def test_every_published_series_is_read(shared_data):
    path = shared_data / "scaling" / "published_series.json"
    assert len(tables.names(path)) == 14
    kinds = [tables.read(path, name).kind for name in tables.names(path)]
    assert (kinds.count("weak"), kinds.count("strong")) == (11, 3)


def test_a_series_is_chosen_by_name(tmp_path):
    path = write(tmp_path, "name,workers,throughput,kind\na,1,1,weak\na,2,2,weak\nb,1,1,strong\nb,2,2,strong\n")
    assert tables.read(path, "b").kind == "strong"
    with pytest.raises(Refusal, match="has 2 series: choose one with --series; known: a, b"):
        tables.read(path)
    with pytest.raises(Refusal, match="has no series 'c'"):
        tables.read(path, "c")


HEAD = "workers,throughput,kind\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", HEAD, "has no rows"),
        ("t.csv", "workers,kind\n1,weak\n", "has no column throughput"),
        ("t.csv", HEAD + "1,2,weak\n1,3,weak\n", "has one point only"),
        ("t.csv", HEAD + "1,2,weak\n2,x,weak\n", "line 3: throughput is 'x'"),
        ("t.csv", HEAD + "1,2,weak\n2,0,weak\n", "line 3: throughput is '0'"),
        ("t.csv", HEAD + "1,2,weak\n2,-4,weak\n", "line 3: throughput is '-4'"),
        (
            "t.csv",
            HEAD + "1,2,weak\n2,nan,weak\n",
            "has one point only (1 worker): scaling needs two numbers of workers or more; left out: line 3",
        ),
        ("t.csv", HEAD + "1,2,weak\n2,inf,weak\n", "line 3: throughput is 'inf'"),
        ("t.csv", HEAD + "0,2,weak\n2,4,weak\n", "line 2: workers is '0'"),
        ("t.csv", HEAD + "1.5,2,weak\n2,4,weak\n", "line 2: workers is '1.5'"),
        ("t.csv", HEAD + "1,2,weak\n2,,weak\n", "left out: line 3 (2 workers): throughput is empty"),
        ("t.csv", HEAD + "1,2,weak\n2\n", "left out: line 3 (2 workers): throughput is empty"),
        ("t.csv", HEAD + "1,2,weak\n2,4\n", "line 3: has no kind"),
        ("t.csv", HEAD + "1,2,middling\n2,4,weak\n", "line 2: kind is 'middling'"),
        ("t.csv", HEAD + "1,2,weak\n2,4,strong\n4,8,weak\n", "weak: line 2, line 4; strong: line 3"),
        ("t.txt", "Dear all,\nplease find\nnothing here\n", "no column of workers"),
        ("t.json", "{", "is not JSON"),
        ("t.json", "[3]", "row 1: 3 is not a row"),
        ("t.json", "[]", "has no rows"),
        ("t.json", '[{"workers": 1, "throughput": true, "kind": "weak"}]', "throughput is True"),
        ("t.json", '[{"workers": 1, "throughput": NaN, "kind": "weak"}]', "no row that was measured"),
        ("t.json", '{"kind": "weak", "workers": [1, 2], "throughput": [1]}', "2 workers but 1 values"),
        ("t.json", '{"kind": "weak"}', "has no column of workers"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, name, text, said):
    with pytest.raises(Refusal) as caught:
        tables.read(write(tmp_path, text, name))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_run_and_bytes_are_refused(tmp_path):
    with pytest.raises(Refusal, match="No such file"):
        tables.read(tmp_path / "none.csv")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(Refusal, match="is a run, .* summary "):
        tables.read(tmp_path / "run")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refusal, match="not UTF-8"):
        tables.read(tmp_path / "bytes.csv")
