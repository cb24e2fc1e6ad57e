"""A C program with MPI, for the tests that start one."""

import subprocess
import sys
from pathlib import Path

import pytest

MPICC = Path(sys.executable).with_name("mpicc")
needs_mpi = pytest.mark.skipif(not MPICC.exists(), reason="there is no mpicc beside this Python")

MPI = """
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("%d of %d, %d\\n", rank, size, sum);
    fflush(stdout);
    if (argc > 1 && rank == 1)
        raise(SIGSEGV);
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Finalize();
}
"""


def compiled(folder: Path) -> Path:
    """The program in a folder: each rank prints its number, their count and the sum of all; given a word, rank 1 crashes."""
    (folder / "sum.c").write_text(MPI)
    subprocess.run([MPICC, "-o", folder / "sum", folder / "sum.c"], check=True)
    return folder / "sum"
