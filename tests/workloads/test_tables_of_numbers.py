"""Tables in csv files: what is read, what is refused, and the folds of their rows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.errors import Refusal
from workloads.data import tables
from workloads.data.folds import divide

GOOD = "rooms,age,price\n6.5,65,24\n6.4,79,21.6\n7.2,61,34.7\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "houses.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text", [GOOD, "\ufeff" + GOOD.replace("\n", "\r\n"), GOOD.rstrip() + "\n\n", GOOD.replace(",", " , ")]
)
def test_the_last_column_is_predicted_from_the_others(tmp_path: Path, text: str):
    table = tables.read(written(tmp_path, text))
    assert table.columns == ("rooms", "age") and table.target == "price"
    assert table.inputs.tolist() == [[6.5, 65], [6.4, 79], [7.2, 61]] and table.targets.tolist() == [24, 21.6, 34.7]
    other = tables.read(tmp_path / "houses.csv", "age")
    assert other.columns == ("rooms", "price") and other.targets.tolist() == [65, 79, 61]


@pytest.mark.parametrize(
    ("text", "target", "line"),
    [
        ("", "", "is empty"),
        ("rooms,age,price\n", "", "has a header and no rows"),
        (GOOD[:-6], "", "line 4, has 2 values, and the header 3: was the file cut short?"),
        (GOOD.replace("79", ""), "", "line 3, has nothing in column 'age'"),
        (GOOD.replace("79", "NaN"), "", "line 3, has 'NaN', which is not a finite number in column 'age'"),
        (GOOD.replace("79", "1e999"), "", "'1e999', which is not a finite number"),
        (GOOD.replace("79", "old"), "", "'old', which is not a finite number in column 'age'"),
        (GOOD, "prize", "has no column 'prize': did you mean 'price'?"),
        (GOOD.replace(",", ";"), "", "has one column"),
        (GOOD.partition("\n")[2], "", "begins with numbers"),
        (GOOD.replace("age", "rooms"), "", "names the column 'rooms' twice"),
        (b"rooms,price\n\xff\xfe,3\n", "", "cannot be read as a table"),
        (b"PK\x03\x04\x14\x00,a\n1,2\n\x00\x01,3\n", "", "not a finite number"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, text: str | bytes, target: str, line: str):
    with pytest.raises(Refusal) as refused:
        tables.read(written(tmp_path, text), target)
    assert line in str(refused.value) and "\n" not in str(refused.value) and str(tmp_path) in str(refused.value)


def test_no_such_file(tmp_path: Path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(Refusal, match="cannot be read"):
            tables.read(path)


@given(st.integers(2, 60), st.integers(2, 12), st.integers(0, 9))
def test_each_row_is_held_out_once(rows: int, folds: int, seed: int):
    if rows < folds:
        with pytest.raises(Refusal, match="too few"):
            divide(rows, folds, 0, seed)
        return
    parts = [divide(rows, folds, which, seed) for which in range(folds)]
    assert sorted(np.concatenate([held for _, held in parts])) == [*range(rows)]
    sizes = [len(held) for _, held in parts]
    assert max(sizes) - min(sizes) <= 1
    for train, held in parts:
        assert sorted([*train, *held]) == [*range(rows)]


def test_columns_are_standardised():
    values = np.array([[1.0, 5.0], [3.0, 5.0]])
    standard = tables.scale(values)(values)
    assert standard.tolist() == [[-1, 0], [1, 0]] and standard.dtype == np.float32
