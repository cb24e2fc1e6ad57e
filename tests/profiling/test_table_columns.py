"""Which columns of a table are the workers, the measurement, its repeats, and what tells series apart."""

from pathlib import Path

import pytest

from launch.errors import Refusal
from profiling.study import tables
from profiling.tables.columns import Asked


def series(folder: Path, text: str, **asked) -> list[tables.Series]:
    path = folder / "a.csv"
    path.write_text(text)
    return tables.read_all(path, Asked(**asked))


def efficiency(one: tables.Series) -> float:
    first, last = one.points[0], one.points[-1]
    return last.throughput / first.throughput * first.workers / last.workers


@pytest.mark.parametrize("names", ["Method 1 (s),Method 2 (s)", "GCC 1 time,GCC 2 time", "time stage 1,time stage 2"])
def test_columns_with_a_number_are_repeats_only_if_nothing_else_tells_them_apart(tmp_path, names):
    text = f"nodes,{names}\n1,100,150\n2,52,80\n4,28,45\n"
    with pytest.raises(Refusal, match="2 columns of time: choose: .* or several of them as series"):
        series(tmp_path, text)
    found = series(tmp_path, text, time_column=tuple(names.split(",")))
    assert [one.name for one in found] == names.split(",")


@pytest.mark.parametrize("names", ["run 1 (s),run 2 (s)", "time_1,time_2", "t0,t1", "time run 1,time run 2"])
def test_counted_runs_are_repeats_unless_the_user_names_them(tmp_path, names):
    text = f"nodes,{names}\n1,100,110\n2,52,55\n"
    (one,) = series(tmp_path, text)
    assert [len(point.rates) for point in one.points] == [2, 2]
    assert len(series(tmp_path, text, time_column=tuple(names.split(",")))) == 2
    (one,) = series(tmp_path, text, time_column=tuple(names.split(",")), series_column=("none",))
    assert [len(point.rates) for point in one.points] == [2, 2]


def test_numbered_columns_that_differ_are_repeats_only_if_they_say_so(tmp_path):
    text = "procs,{0}1,{0}2\n1,10.1,20.2\n2,5.2,10.3\n4,2.8,5.7\n"
    with pytest.raises(Refusal, match="2 columns of time: choose: .* with --series-column none, as repeats"):
        series(tmp_path, text.format("t"))
    (one,) = series(tmp_path, text.format("t"), time_column=("t1", "t2"), series_column=("none",))
    assert [len(point.rates) for point in one.points] == [2, 2, 2]
    assert series(tmp_path, text.format("time run "))[0].points == one.points


def test_repeats_come_before_their_mean_and_not_before_their_sum(tmp_path):
    (one,) = series(tmp_path, "nodes,time run 1,time run 2,mean time,std\n1,100,102,101,1\n2,52,54,53,1\n")
    assert [len(point.rates) for point in one.points] == [2, 2]
    (one,) = series(tmp_path, "nodes,time 1,time 2,total time\n1,100,101,201\n2,52,53,105\n")
    assert [point.rates for point in one.points] == [(1 / 201,), (1 / 105,)]


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("GPUs,FP32 [s],FP16 [s]\n1,100,60\n2,52,31\n4,28,17\n", "--time-column 'FP16 [s]'"),
        ("GPUs,VGG img/s,ResNet img/s\n1,100,200\n2,190,380\n4,350,701\n", "--throughput-column 'ResNet img/s'"),
        ("GPUs,2022 (ns/day),2023 (ns/day)\n1,10,20\n2,19,38\n", "--throughput-column '2023 (ns/day)'"),
        ("nodes,write (GB/s),read (GB/s)\n1,10,20\n2,19,38\n", "--throughput-column"),
    ],
)
def test_series_that_are_proportional_are_not_dropped(tmp_path, text, option):
    with pytest.raises(Refusal) as refused:
        series(tmp_path, text)
    assert option in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "GPUs,time (s),time (min)\n1,100,1.6667\n2,52,0.8667\n4,28,0.4667\n",
        "GPUs,img/s,it/s\n1,100,10\n2,190,19\n4,350,35\n",
        "GPUs,time (s),real (s)\n1,100,100.2\n2,52,52.1\n",
    ],
)
def test_one_series_in_two_units_is_one(tmp_path, text):
    assert len(series(tmp_path, text)) == 1


@pytest.mark.parametrize(
    ("text", "last", "expected"),
    [
        ("nodes,ppn,time\n1,16,100\n2,16,55\n4,32,25\n", 128, 0.5),
        ("nodes,tasks per node,time (s)\n1,12,100\n2,12,52\n4,24,15\n8,24,8.3\n", 192, 0.753),
        ("Nodes,GPUs/node,images/s\n1,1,400\n1,2,790\n1,4,1540\n2,4,3010\n4,4,5900\n", 16, 0.922),
        ("ranks,threads/rank,time\n1,1,100\n2,2,26\n4,4,7\n", 16, 0.893),
        ("nodes,tasks-per-node,cpus_per_task,time\n1,16,4,100\n2,16,4,55\n4,32,2,25\n", 256, 1.0),
    ],
)
def test_workers_within_workers_that_vary_are_multiplied(tmp_path, text, last, expected):
    (one,) = series(tmp_path, text)
    assert one.workers[-1] == last and efficiency(one) == pytest.approx(expected, abs=1e-3)
    assert "in all" in one.understood and any(" times " in note for note in one.notes)


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("nodes,ppn,time\n1,16,100\n2,16,55\n4,16,25\n", [1, 2, 4]),
        ("nodes,ppn,ranks,time\n1,16,16,100\n2,14,27,60\n4,32,128,25\n", [16, 27, 128]),
    ],
)
def test_workers_that_are_held_or_counted_are_not_multiplied(tmp_path, text, workers):
    (one,) = series(tmp_path, text, **({"workers_column": "ranks"} if "ranks" in text else {}))
    assert one.workers == workers and "in all" not in one.understood


def test_as_many_threads_as_ranks_may_be_those_of_each(tmp_path):
    with pytest.raises(Refusal, match="--workers-column 'ranks' or --workers-column 'threads', or add a column of"):
        series(tmp_path, "ranks,threads,time\n1,1,100\n2,2,26\n4,4,7\n")
    (one,) = series(tmp_path, "ranks,threads,time\n1,4,100\n2,8,52\n4,16,27\n")
    assert one.workers == [4, 8, 16]


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("cores,threads,time\n1,1,100\n2,2,52\n4,4,28\n", [1, 2, 4]),
        ("cores,threads,time\n1,1,100\n2,2,52\n4,8,28\n", [1, 2, 8]),
        ("nodes,time,threads\n1,100,1\n2,52,2\n4,28,4\n", [1, 2, 4]),
    ],
)
def test_threads_beside_cores_or_as_many_as_nodes_are_those_of_all(tmp_path, text, workers):
    (one,) = series(tmp_path, text)
    assert one.workers == workers and "workers: threads" in one.understood


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "ranks,threads/rank,cores,time\n4,12,48,100\n8,6,48,98\n8,12,96,52\n16,6,96,51\n",
            ["threads/rank=12", "threads/rank=6"],
        ),
        (
            "ranks,nodes,ranks_per_node,time\n48,1,48,100\n48,2,24,90\n96,2,48,52\n96,4,24,46\n",
            ["ranks_per_node=48", "ranks_per_node=24"],
        ),
        ("nodes,ppn,img/s\n1,1,400\n1,2,790\n2,1,790\n2,2,1500\n4,1,1500\n4,2,2900\n", ["ppn=1", "ppn=2"]),
    ],
)
def test_series_are_told_apart_by_the_column_that_leaves_the_longest(tmp_path, text, names):
    found = series(tmp_path, text)
    assert [one.name for one in found] == names
    assert sum(len(one.points) for one in found) == text.count("\n") - 1


@pytest.mark.parametrize(
    ("text", "said", "unsaid"),
    [
        ("nodes,min,p50,p99\n1,100,101,105\n2,52,53,60\n", "--time-column 'p50'", "fall"),
        ("nodes,min,best\n1,100,101\n2,52,53\n", "--time-column 'min'", "fall"),
        ("nodes,GPUs,algbw,busbw\n1,8,100,190\n2,16,98,185\n", "--time-column 'algbw'", "'nodes'"),
        ("T/V,N,P,Q,Time,Gflops\nW,9,1,2,80,15\nW,9,2,2,40,29\n", "add a column of it", "--workers-column"),
        ("GPUs,time\n1 x 8,100\n2 x 8,52\n", "no whole numbers in its column of workers, GPUs (1 x 8)", "its columns"),
        ("cores,time\n1k,100\n2k,52\n", "no whole numbers in its column of workers, cores (1k)", "its columns"),
    ],
)
def test_a_refusal_offers_what_can_be_right(tmp_path, text, said, unsaid):
    with pytest.raises(Refusal) as refused:
        series(tmp_path, text)
    assert said in str(refused.value) and unsaid not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("Kerne;Zeit [s]\n250;1.180,5\n500;601,2\n1.000;320,4\n2.000;180,1\n", [250, 500, 1000, 2000]),
        ("Kerne;Zeit [s]\n512;320\n1.024;180\n2.048;99\n", [512, 1024, 2048]),
        ("Kerne;Zeit [s]\n1.000;320,5\n2.000;180,1\n", [1000, 2000]),
        ("cores,time\n1.000,320.5\n2.000,180\n", [1, 2]),
        ("cores time\n1.000 320.512\n2.000 180.100\n", [1, 2]),
        ("cores time\n1.600000000000000000e+01 3.2e+02\n3.200000000000000000e+01 1.8e+02\n", [16, 32]),
        ("nodes,time (s),mem (GB)\n1,100.5,1.250\n2,52.2,40\n4,28.1,80\n", [1, 2, 4]),
    ],
)
def test_dots_of_thousands_in_the_numbers_of_workers(tmp_path, text, workers):
    (one,) = series(tmp_path, text)
    assert one.workers == workers


def test_dots_that_may_be_either_are_asked_for(tmp_path):
    text = "Kerne;Zeit [s]\n1.000;320\n2.000;180\n4.000;99\n"
    with pytest.raises(Refusal, match=r"Kerne has dots .* \(1.000\): say --decimal point or --decimal comma"):
        series(tmp_path, text)
    assert series(tmp_path, text, decimal="comma")[0].workers == [1000, 2000, 4000]
    assert series(tmp_path, text, decimal="point")[0].workers == [1, 2, 4]
