"""What decides that a table is of weak or of strong scaling, and of what its throughput is."""

from pathlib import Path

import pytest

from launch.errors import Refusal
from profiling.study import tables
from profiling.study.tables import Series
from profiling.tables.columns import Asked


def read_all(folder: Path, text: str, name: str = "", **asked: object) -> list[Series]:
    text += "\n"
    suffix = "md" if "|-" in text else "csv" if "," in text.splitlines()[-1] else "txt"
    path = folder / (name or f"t.{suffix}")
    path.write_text(text)
    return tables.read_all(path, Asked(**asked))  # pyright: ignore[reportArgumentType]


def efficiency(series: Series) -> float:
    first, last = series.points[0], series.points[-1]
    return last.throughput / first.throughput * first.workers / last.workers


FLAT = "1,100\n2,102.1\n4,104\n8,110"
FALLING = "1,100.1\n2,52.3\n4,28.9\n8,17.2"
BATCH = "GPUs,batch size,step time (ms)\n1,64,120\n2,64,123\n4,64,125\n8,64,131"
PER_GPU = "GPUs,batch size,it/s\n1,64,8.3\n8,64,7.0\n64,64,5.9"


@pytest.mark.parametrize(
    "text",
    [
        "nodes,mean (s),std (s),n\n1,120.3,0.4,5\n2,122.1,0.3,5\n4,124,0.9,5\n8,131,0.9,5",
        "nodes,median time (s),runs\n1,100,5\n2,104,5\n4,108,5",
        "nodes,median time (s),samples\n1,100,5\n2,104,5\n4,108,5",
        "nodes,timesteps,time\n1,1000,100\n2,1000,102\n4,1000,105\n8,1000,110",
        "ranks size iterations elapsed\n1 30 932 41.2\n8 30 932 45.9\n27 30 932 47.1\n64 30 932 50.3",
        "nodes,order,time (s)\n1,7,100\n2,7,102\n4,7,105",
        BATCH,
        PER_GPU,
    ],
)
def test_a_constant_column_is_no_strong_scaling_if_the_times_do_not_fall(tmp_path: Path, text: str):
    with pytest.raises(Refusal, match="do(es)? not (fall|grow): say --kind weak"):
        read_all(tmp_path, text)
    (weak,) = read_all(tmp_path, text, kind="weak")
    assert efficiency(weak) > 0.7


def test_a_batch_that_is_the_same_in_weak_scaling_is_that_of_a_worker(tmp_path: Path):
    for text, rate in ((BATCH, 3908.4), (PER_GPU, 24166.4)):
        (series,) = read_all(tmp_path, text, kind="weak")
        assert (series.unit, series.points[-1].throughput) == ("examples/s", pytest.approx(rate, rel=1e-4))
    (said,) = read_all(tmp_path, f"# Weak scaling\n{PER_GPU}")
    assert said.kind == "weak" and said.points[-1].throughput == pytest.approx(24166.4)


def test_strong_scaling_that_saturates_is_strong(tmp_path: Path):
    table = "nodes,cells,time\n1,1000,10\n2,1000,{}\n4,1000,{}"
    (series,) = read_all(tmp_path, table.format(9, 8.9))
    remark = "in all rows (the times hardly fall: if it is weak, say --kind weak)"
    assert series.kind == "strong" and remark in series.understood
    assert "hardly" not in read_all(tmp_path, table.format(6, 5))[0].understood
    for flat in ((9.7, 9.6), (10.4, 10.9)):
        with pytest.raises(Refusal, match="the times do not fall: say --kind weak"):
            read_all(tmp_path, table.format(*flat))


@pytest.mark.parametrize("columns", [("steps", "atoms"), ("atoms", "steps")])
def test_the_work_that_varies_counts_whatever_the_order(tmp_path: Path, columns: tuple[str, str]):
    rows = [
        f"{n},{','.join({'steps': '1000', 'atoms': str(32000 * n)}[name] for name in columns)},{seconds}"
        for n, seconds in ((1, 100), (2, 102), (4, 105), (8, 110))
    ]
    (series,) = read_all(tmp_path, "\n".join([f"nodes,{','.join(columns)},time", *rows]))
    assert series.kind == "weak" and efficiency(series) == pytest.approx(100 / 110)
    varying = "nodes,steps,cells,time\n1,1000,100,100\n2,500,200,50\n4,1000,400,100\n"
    (series,) = read_all(tmp_path, varying, kind="weak")
    assert series.unit == "cells x steps/s" and efficiency(series) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "share", "unit"),
    [
        ("nodes,atoms,timesteps/s\n1,1000000,10\n2,2000000,8.5\n4,4000000,7.4\n8,8000000,6.1", 0.61, "atoms x timesteps/s"),
        (
            "# Weak scaling\n\n| GPUs | atoms | ns/day |\n|-|-|-|\n|1|100k|210|\n|2|200k|180|\n|4|400k|150|\n|8|800k|115|",
            0.5476,
            "atoms x ns/day",
        ),
        ("# Weak scaling\n\n| GPUs | ns/day |\n|-|-|\n|1|210|\n|2|180|\n|8|115|", 0.5476, "ns of one worker/day"),
        ("GPUs,SYPD,efficiency\n1,2.10,100%\n2,1.80,86%\n8,1.15,55%", 0.5476, "SYPD of one worker"),
        # what grows in weak scaling counts the steps of all
        ("# Weak scaling\nworkers,steps/s\n1,1000\n2,1950\n4,3800", 0.95, "steps/s"),
    ],
)  # fmt: skip
def test_a_rate_of_steps_in_weak_scaling_is_worth_its_work(tmp_path: Path, text: str, share: float, unit: str):
    (series,) = read_all(tmp_path, text)
    assert (series.kind, series.unit) == ("weak", unit) and efficiency(series) == pytest.approx(share, abs=1e-3)


def test_a_rate_of_steps_that_does_not_grow_needs_the_kind(tmp_path: Path):
    text = "GPUs,ns/day\n1,210\n2,180\n4,150\n8,115"
    with pytest.raises(Refusal, match="a rate of steps that falls or stays the same: say --kind"):
        read_all(tmp_path, text)
    shares = [efficiency(read_all(tmp_path, text, kind=kind)[0]) for kind in ("weak", "strong")]
    assert shares == pytest.approx([115 / 210, 115 / 210 / 8])


@pytest.mark.parametrize(
    "heading", ["img/s (per GPU)", "img/s [/GPU]", "img/s (each GPU)", "img/GPU/s", "per-GPU img/s"]
)
def test_a_rate_of_one_worker_however_it_is_written(tmp_path: Path, heading: str):
    (series,) = read_all(tmp_path, f"GPUs,{heading}\n8,400\n16,380\n32,330\n64,290")
    assert series.unit == "img/s" and efficiency(series) == pytest.approx(0.725)
    assert "the rate of one GPU times the GPUs" in series.understood


def test_the_rate_of_a_node_is_multiplied_by_the_nodes(tmp_path: Path):
    (series,) = read_all(tmp_path, "nodes,GPUs,samples/s/node\n1,4,100\n2,8,98")
    assert "the rate of one node times the nodes" in series.understood
    assert [point.throughput for point in series.points] == pytest.approx([100, 196])


@pytest.mark.parametrize(
    ("heading", "rate", "unit"),
    [
        ("seconds per 1000 steps", 10, "steps/s"),
        ("ms/100 steps", 1000, "steps/s"),
        ("s/1000 MD steps", 10, "steps/s"),
        ("time per 100 iterations (s)", 1, "steps/s"),
        ("Loop time for 100 steps (s)", 1, "steps/s"),
        ('"time, 500 iterations (s)"', 5, "steps/s"),
        ('"time per 1,000 steps"', 10, "steps/s"),
        ("time for 10k steps (s)", 100, "steps/s"),
        ("step time (s)", 0.01, "steps/s"),
        ("time_per_timestep", 0.01, "steps/s"),
        ("s/it", 0.01, "steps/s"),
        ("time-stepping (s)", 0.01, "runs/s"),
        ("time of all steps (s)", 0.01, "runs/s"),
        ("days/ns", 0.01, "ns/day"),
        ("h/ns", 0.24, "ns/day"),
        ("days per simulated year", 0.01, "simulated years/day"),
    ],
)
def test_what_is_done_in_a_time(tmp_path: Path, heading: str, rate: float, unit: str):
    (series,) = read_all(tmp_path, f"GPUs,{heading}\n1,100\n2,52")
    assert (series.unit, series.points[0].throughput) == (unit, pytest.approx(rate))


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Weak lensing ray tracing, 4096^3 particles", ""),
        ("weak form of the Navier-Stokes equations", ""),
        ("Weak-constraint 4D-Var on LUMI", ""),
        ("", "w2_weak_lensing.csv"),
        ("N = 4 SYM at strong coupling", ""),
        ("", "strong-field-qed.csv"),
    ],
)
def test_weak_and_strong_physics_say_nothing(tmp_path: Path, title: str, name: str):
    (series,) = read_all(tmp_path, f"# {title}\nnodes,time\n{FALLING}", name)
    assert series.kind == "strong" and "the times fall" in series.understood
    with pytest.raises(Refusal, match="times that do not fall"):
        read_all(tmp_path, f"# {title}\nnodes,time\n{FLAT}", name)


@pytest.mark.parametrize(
    ("title", "name", "kind"),
    [
        ("Weak scaling of a strong shock", "", "weak"),
        ("strong MPI scaling, LUMI", "", "strong"),
        ("weak-scaling efficiency of lensing", "", "weak"),
        ("weak", "", "weak"),
        ("", "amg_weak.csv", "weak"),
        ("", "weak_8nodes.csv", "weak"),
        ("", "spp1_strong_scaling_cts2.csv", "strong"),
        ("Strong (48 cores)", "", "strong"),
    ],
)
def test_scaling_in_words(tmp_path: Path, title: str, name: str, kind: str):
    (series,) = read_all(tmp_path, f"# {title}\nnodes,time\n{FLAT}", name)
    assert series.kind == kind and "the words around it say" in series.understood


@pytest.mark.parametrize(
    "text",
    [
        "N,ranks,time (s)\n1,48,100\n2,96,52\n4,192,28\n8,384,17",
        "nodes,size,time\n1,48,100\n2,96,52\n4,192,28",
        "GPUs,global batch,training time (s)\n1,64,1000\n2,128,520\n4,256,280",
        f"# weak scaling\nnodes,time\n{FALLING}",
    ],
)
def test_times_that_fall_as_the_workers_rise_are_no_weak_scaling(tmp_path: Path, text: str):
    with pytest.raises(Refusal, match="is of weak scaling, as .*, but the times fall with the workers: say --kind"):
        read_all(tmp_path, text)
    (series,) = read_all(tmp_path, text, kind="strong")
    assert series.unit == "runs/s" and 0.7 < efficiency(series) < 1


@pytest.mark.parametrize(
    "text",
    [
        "Nodes,Time step [s],SYPD\n32,300,0.21\n64,300,0.41\n128,300,0.79\n256,300,1.50",
        "GPUs,simulation time (ns),ns/day\n1,10,50\n2,20,98\n4,40,190",
        "nodes,dt (s),cells/s\n1,3,50\n2,3,98\n4,3,190",
    ],
)
def test_a_time_that_was_set_is_not_that_of_a_run(tmp_path: Path, text: str):
    (series,) = read_all(tmp_path, text)
    assert series.kind == "" and not series.seconds


def test_times_that_fall_beside_a_rate_of_steps_are_of_strong_scaling(tmp_path: Path):
    (series,) = read_all(
        tmp_path, "Nodes,Run,ns/day,Wall time (s)\n1,1,12.4,690\n1,2,12.6,688\n2,1,24.1,355\n4,1,45.8,187\n"
    )
    assert series.kind == "strong" and [point.workers for point in series.points] == [1, 2, 4]
    with pytest.raises(Refusal, match="rate of steps"):
        read_all(tmp_path, "Nodes,ns/day,Wall time (s)\n1,12.4,690\n2,12.1,705\n4,11.8,722\n")


def test_models_of_other_sizes_are_other_series(tmp_path: Path):
    text = "| Params | GPUs | Step time (s) | Global batch |\n|-|-|-|-|\n" + "\n".join(
        f"| {size} | {n} | {seconds} | 256 |"
        for size, n, seconds in (("1.3B", 8, 10.1), ("1.3B", 16, 5.2), ("20B", 32, 20.1), ("20B", 64, 10.6))
    )
    first, second = read_all(tmp_path, text)
    assert (efficiency(first), efficiency(second)) == (pytest.approx(0.971, abs=1e-3), pytest.approx(0.948, abs=1e-3))
    of_models = "| Model size | GPUs | {} |\n|-|-|-|\n|1.7B|32|{}|\n|3.6B|64|{}|\n|7.5B|128|{}|\n|18.4B|256|{}|"
    with pytest.raises(Refusal, match="a problem that grows"):
        read_all(tmp_path, of_models.format("tokens/s", "391k", "372k", "367k", "285k"))
    (flops,) = read_all(tmp_path, of_models.format("TFLOP/s/GPU", 137, 138, 142, 135))
    assert efficiency(flops) == pytest.approx(135 / 137)
    rows = "1.7,32,137,391000\n3.6,64,138,372000\n7.5,128,142,367000\n18.4,256,135,285000"
    (both,) = read_all(tmp_path, f"params (B),GPUs,TFLOP/s/GPU,tokens/s\n{rows}")
    assert both.points == flops.points and "passed over: tokens/s" in both.understood


@pytest.mark.parametrize(
    ("text", "rates", "unit"),
    [
        ("nodes,efficiency\n1,100\n2,96\n4,89", [1, 1.92, 3.56], "times one worker"),
        ("nodes,efficiency\n4,1\n8,0.96\n16,0.9", [1, 1.92, 3.6], "times 4 nodes"),
        ("nodes,speedup\n4,1\n8,1.93\n16,3.7", [1, 1.93, 3.7], "times 4 nodes"),
        ("nodes,speedup\n4,3.9\n8,7.5\n16,14", [3.9, 7.5, 14], "times one worker"),
        ("p S E\n1 1.00 1.00\n2 1.92 0.96\n4 3.57 0.89", [1, 1.92, 3.57], "times one worker"),
        ("p T S E\n1 100 1.00 1.00\n2 52 1.92 0.96", [0.01, 1 / 52], "runs/s"),
        ("P T(P) S(P) E(P)\n1 100 1.00 1.00\n2 52 1.92 0.96", [0.01, 1 / 52], "runs/s"),
        ("p,t,s,e\n1,100,1.00,1.00\n2,52,1.92,0.96", [0.01, 1 / 52], "runs/s"),
        ("p,s\n1,100\n2,52", [0.01, 1 / 52], "runs/s"),
    ],
)
def test_speed_ups_and_efficiencies_alone(tmp_path: Path, text: str, rates: list[float], unit: str):
    (series,) = read_all(tmp_path, text)
    assert series.unit == unit and [point.throughput for point in series.points] == pytest.approx(rates)


def test_simulated_time_per_time_is_a_rate_if_it_rises(tmp_path: Path):
    for unit in ("days/hour", "days/day", "hours/min"):
        (rate,) = read_all(tmp_path, f"nodes,{unit}\n1,1.2\n2,2.3")
        assert f"throughput: {unit}" in rate.understood and efficiency(rate) == pytest.approx(0.958, abs=1e-3)
    (times,) = read_all(tmp_path, "nodes,days/hour\n1,2.4\n2,1.3")
    assert "time: days/hour" in times.understood and times.points[0].throughput == pytest.approx(1 / 2.4)
    with pytest.raises(Refusal, match="--throughput-column 'days/hour' or --time-column 'days/hour'"):
        read_all(tmp_path, "nodes,days/hour\n1,2.4\n2,2.3")
    (named,) = read_all(tmp_path, "nodes,days/hour\n1,2.4\n2,1.3", time_column=("days/hour",))
    assert named.points == times.points
