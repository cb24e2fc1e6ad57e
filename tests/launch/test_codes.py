"""The patterns of widely used codes, on output in the format of each, as ranks print it: written here after what they document."""

from pathlib import Path

import pytest
from plans import plan, run_of

from launch.plan import figures as asked
from launch.record.performance import figures

LAMMPS = """LAMMPS (2 Aug 2023 - Update 1)
OMP_NUM_THREADS environment is not set. Defaulting to 1 thread. (src/comm.cpp:98)
  using 1 OpenMP thread(s) per MPI task
Created 32000 atoms
Setting up Verlet run ...
  Unit style    : real
  Current step  : 0
   Step          Temp          E_pair         E_mol          TotEng         Press
         0   1.44          -6.7733681      0             -4.6134356     -5.0197073
       100   0.7574531     -5.7585055      0             -4.6223613      0.20726105
Loop time of 4.21 on 4 procs for 50 steps with 32000 atoms

Performance: 1.026 ns/day, 23.389 hours/ns, 11.876 timesteps/s, 380.046 katom-step/s
99.8% CPU use with 4 MPI tasks x 1 OpenMP threads

Loop time of 2.38215 on 4 procs for 100 steps with 32000 atoms

Performance: 3.627 ns/day, 6.617 hours/ns, 41.979 timesteps/s, 1.343 Matom-step/s
99.6% CPU use with 4 MPI tasks x 1 OpenMP threads

MPI task timing breakdown:
Section |  min time  |  avg time  |  max time  |%varavg| %total
---------------------------------------------------------------
Pair    | 1.6419     | 1.6872     | 1.7243     |   1.8 | 70.69
Comm    | 0.12753    | 0.16893    | 0.21434    |   0.5 |  7.08
Total wall time: 0:00:02
"""
LENNARD_JONES = """Loop time of 1.25e+01 on 2 procs for 1000 steps with 4000 atoms

Performance: 34560.124 tau/day, 80.000 timesteps/s, 320.001 katom-step/s
"""
GROMACS = """                      :-) GROMACS - gmx mdrun, 2023.3 (-:

Using 4 MPI processes
Using 1 OpenMP thread per MPI process

starting mdrun 'Water'
10000 steps,     20.0 ps.

Writing final coordinates.

               Core t (s)   Wall t (s)        (%)
       Time:      159.938       39.985      400.0
                         1:05
                 (ns/day)    (hour/ns)
Performance:       43.221        0.555
"""
NAMD2 = """Charm++: standalone mode (not using charmrun)
Info: NAMD 2.14 for Linux-x86_64-multicore
Info: STRUCTURE SUMMARY:
Info: 92224 ATOMS
Info: 70660 BONDS
TIMING: 20  CPU: 2.1, 0.101/step  Wall: 2.13, 0.102/step, 0 hours remaining, 1024.8 MB of memory in use.
Info: Initial time: 16 CPUs 0.031 s/step 0.3588 days/ns 1257.9 MB memory
Info: Benchmark time: 16 CPUs 0.03 s/step 0.347222 days/ns 1257.94 MB memory
Info: Benchmark time: 16 CPUs 0.02 s/step 0.231481 days/ns 1257.94 MB memory
WallClock: 17.979589  CPUTime: 17.896567  Memory: 1257.9 MB
"""
NAMD3 = """Info: 1066628 ATOMS
Info: Benchmark time: 1 CPUs 0.0105 s/step 8.22857 ns/day 0 MB memory
TIMING: 500  CPU: 6.17736, 0.0105293/step  Wall: 6.18515, 0.0104489/step, 8.2688 ns/days, 0 hours remaining, 0.0 MB of memory in use.
"""
HPL = """T/V    : Wall time / encoded variant.
The following parameter values will be used:
N      :   29184    35840
NB     :     192
================================================================================
T/V                N    NB     P     Q               Time                 Gflops
--------------------------------------------------------------------------------
WR11C2R4       29184   192     2     2             512.33             3.2345e+01
HPL_pdgesv() start time Mon Nov  9 13:12:56 2026
--------------------------------------------------------------------------------
||Ax-b||_oo/(eps*(||A||_oo*||x||_oo+||b||_oo)*N)=   2.00205152e-03 ...... PASSED
WC01R2C4       35840   192     2     2             998.20             3.0747e+01
"""
HPCG = """Rank 0: Starting the benchmark
Final Summary=
Final Summary::HPCG result is VALID with a GFLOP/s rating of=3.67852
Final Summary::HPCG 2.4 rating for historical reasons is=3.70019
"""
STREAM = """STREAM version $Revision: 5.10 $
Number of Threads requested = 4
Function    Best Rate MB/s  Avg time     Min time     Max time
Copy:           11203.5     0.014318     0.014281     0.014359
Scale:          10987.1     0.014600     0.014563     0.014655
Add:            12310.9     0.019521     0.019495     0.019560
Triad:          12345.6     0.019463     0.019440     0.019492
Solution Validates: avg error less than 1.000000e-13 on all three arrays
"""
OSU_BW = """# OSU MPI Bandwidth Test v7.5
# Datatype: MPI_CHAR.
# Size      Bandwidth (MB/s)
1                       1.19
1048576             12040.77
4194304             12015.81
"""
OSU_LATENCY = """# OSU MPI Latency Test v7.5
# Datatype: MPI_CHAR.
# Size       Avg Latency(us)
1                       1.62
2                       1.58
4194304               402.19
"""
IOR = """IOR-4.0.0: MPI Coordinated Test of Parallel I/O
access    bw(MiB/s)  IOPS       Latency(s)  block(KiB) xfer(KiB)  open(s)    wr/rd(s)   close(s)   total(s)   iter
------    ---------  ----       ----------  ---------- ---------  --------   --------   --------   --------   ----
write     2113.54    2113.97    0.030264    16384      1024.00    0.008122   7.75       0.001640   7.75       0
read      5530.21    5531.09    0.011566    16384      1024.00    0.002211   2.96       0.000212   2.96       0
Max Write: 2113.54 MiB/sec (2216.21 MB/sec)
Max Read:  5530.21 MiB/sec (5798.84 MB/sec)
"""
DEEPMD = """[2026-11-28 06:35:56,627] DEEPMD INFO    Batch     100: trn: rmse = 9.18e+00, rmse_e = 2.46e-01, rmse_f = 7.03e-01, lr = 2.99e-04
[2026-11-28 06:35:56,628] DEEPMD INFO    Batch     100: val: rmse = 8.98e+00, rmse_e = 2.41e-01, rmse_f = 6.87e-01
[2026-11-28 06:35:56,628] DEEPMD INFO    Batch     100: total wall time = 26.07 s, eta = 0:01:18 at 2026-11-28 06:37
[2026-11-28 06:36:29,489] DEEPMD INFO    Batch     400: trn: rmse = 8.46e-01, rmse_e = 2.72e-03, rmse_f = 6.90e-01, lr = 1.00e-06
[2026-11-28 06:36:29,489] DEEPMD INFO    Batch     400: val: rmse = 7.92e-01, rmse_e = 2.68e-03, rmse_f = 6.45e-01
[2026-11-28 06:36:29,489] DEEPMD INFO    Batch     400: total wall time = 10.92 s, eta = 0:00:00 at 2026-11-28 06:36
[2026-11-28 06:36:30,473] DEEPMD INFO    average training time: 0.1000 s/batch (exclude first 100 batches)
"""


@pytest.mark.parametrize(
    ("code", "output", "metrics", "throughput"),
    [
        ("lammps", LAMMPS, {"throughput": 3.627, "loop_time": 2.38215, "atoms": 32000}, (3.627, "ns/day", 32000)),
        ("lammps", LENNARD_JONES, {"throughput": 34560.124, "loop_time": 12.5, "atoms": 4000}, (34560.124, "tau/day", 4000)),
        ("gromacs", GROMACS, {"throughput": 43.221, "wall_time": 39.985}, (43.221, "ns/day", None)),
        ("namd", NAMD2, {"step_time": 0.025, "atoms": 92224}, (40.0, "step/s", 92224)),
        ("namd", NAMD3, {"step_time": 0.0105, "atoms": 1066628}, (1 / 0.0105, "step/s", 1066628)),
        ("hpl", HPL, {"throughput": 32.345}, (32.345, "GFLOP/s", None)),
        ("hpcg", HPCG, {"throughput": 3.67852}, (3.67852, "GFLOP/s", None)),
        ("hpcg", HPCG.replace("of=", "of: "), {"throughput": 3.67852}, (3.67852, "GFLOP/s", None)),
        ("osu_bw", OSU_BW, {"throughput": 12040.77}, (12040.77, "MB/s", None)),
        ("osu_bw", OSU_BW.replace("12040.77", "12040.77              Pass"), {"throughput": 12040.77}, (12040.77, "MB/s", None)),
        ("osu_latency", OSU_LATENCY, {"latency": 1.58}, None),
        ("deepmd", DEEPMD, {"step_time": 0.1, "energy_rmse": 0.00268, "force_rmse": 0.645}, (10.0, "step/s", None)),
        ("ior", IOR, {"throughput": 2113.54, "read": 5530.21}, (2113.54, "MiB/s", None)),
    ],
)  # fmt: skip
def test_what_rank_0_prints(tmp_path: Path, code: str, output: str, metrics: dict, throughput: tuple | None):
    found = _result(tmp_path, code, ["0: " + line for line in output.splitlines()] + ["1: bye"])
    assert found["metrics"] == pytest.approx(metrics) and "troubles" not in found
    made = throughput and (found["throughput"], found["unit"], found.get("work"))
    assert made == (throughput and (pytest.approx(throughput[0]), *throughput[1:]))


def test_what_each_rank_prints(tmp_path: Path):
    found = _result(tmp_path, "stream", [f"{rank}: {line}" for line in STREAM.splitlines() for rank in (1, 0)])
    assert found["throughput"] == pytest.approx(2 * 12345.6) and found["unit"] == "MB/s"
    assert found["metrics"]["copy"] == pytest.approx(2 * 11203.5) and set(found["units"].values()) == {"MB/s"}


def test_all_codes_are_tried_here_and_each_figure_has_a_unit():
    tried = {"lammps", "gromacs", "namd", "hpl", "hpcg", "stream", "osu_bw", "osu_latency", "ior", "deepmd"}
    assert set(asked.known()) == tried
    for code in tried:
        for name, figure in asked.from_words((code,), (), ()).items():
            assert "unit" in figure or "(?P<unit>" in figure["pattern"], (code, name)


def _result(folder: Path, code: str, lines: list[str]) -> figures.Result:
    planned = plan(nodes=1, ranks_per_node=2, fom=asked.from_words((code,), (), ()))
    run = run_of(planned, folder / "run")
    run.node_log(0).write_text("\n".join(lines) + "\n")
    return figures.result(run, planned, {}, [])
