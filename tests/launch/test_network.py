"""Which network NCCL uses: lines in the format of its releases and plugins, and what is made of them.

The lines are in the form of logs of these releases, with hosts and addresses of ours; no InfiniBand or Slingshot is here
to be tried on.
"""

import os
import subprocess
import sys
from pathlib import Path

import plans
import pytest

from launch import own_command
from launch.errors import Refusal
from launch.node import network as looking
from launch.node.meeting import gloo
from launch.node.rank import Rank
from launch.plan import site
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.record import environment, network
from launch.record.failures import diagnose
from launch.record.files import read_lines
from launch.record.rundir import RunDir

NCCL_2_4_IB = """
node1:301:301 [0] NCCL INFO NET/Socket : Using [0]eth0:10.1.0.1<0>
node1:301:301 [0] NCCL INFO NET/Plugin : No plugin found (libnccl-net.so).
node1:301:301 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB ; OOB ib0:10.0.0.1<0>
NCCL version 2.4.8+cuda10.1
node1:301:344 [0] NCCL INFO Ring 00 : 7 -> 8 [receive] via NET/IB/0
"""
NCCL_2_4_OFI = """
node1:301:344 [0] NCCL INFO NET/OFI Selected Provider is efa
node1:301:344 [0] NCCL INFO Ring 00 : 7 -> 8 [receive] via NET/AWS Libfabric/0
"""
NCCL_2_11_SOCKET = """
node1:301:301 [0] NCCL INFO Bootstrap : Using eth0:10.1.0.1<0>
node1:301:301 [0] NCCL INFO NET/IB : No device found.
node1:301:301 [0] NCCL INFO NET/Socket : Using [0]eth0:10.1.0.1<0>
node1:301:301 [0] NCCL INFO Using network Socket
NCCL version 2.11.4+cuda11.4
"""
NCCL_2_12_CXI = """
node1:301:301 [0] NCCL INFO NET/OFI Using aws-ofi-nccl 1.5.0
node1:301:301 [0] NCCL INFO NET/OFI Selected Provider is cxi (found 4 nics)
node1:301:301 [0] NCCL INFO Using network AWS Libfabric
"""
NCCL_2_20_TCP_PROVIDER = """
node1:301:301 [0] NCCL INFO NET/OFI Selected Provider is tcp;ofi_rxm (found 1 nics)
node1:301:301 [0] NCCL INFO Using network AWS Libfabric
"""
NCCL_2_21_IBEXT = """
node1:301:330 [0] NCCL INFO Plugin Path : /opt/hpcx/nccl_rdma_sharp_plugin/lib/libnccl-net.so
node1:301:330 [0] NCCL INFO P2P plugin IBext_v8
node1:301:330 [0] NCCL INFO NET/IB : Using [0]mlx5_2:1/IB/SHARP [1]mlx5_0:1/IB/SHARP [RO]; OOB ib0:10.0.0.1<0>
node1:301:330 [0] NCCL INFO Using non-device net plugin version 0
node1:301:330 [0] NCCL INFO Using network IBext_v8
node1:301:399 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/IBext_v8/0/GDRDMA
"""
NCCL_2_27_PLUGIN_FAILED = """
node1:301:330 [0] NCCL INFO NCCL version 2.27.5+cuda12.9
node1:301:330 [0] NCCL INFO NET/Plugin: Could not find: libnccl-net.so
node1:301:330 [0] NCCL INFO NET/IB : Using [RO]; OOB hsn0:10.1.0.1<0>
node1:301:330 [0] NCCL INFO Failed to initialize NET plugin IB
node1:301:330 [0] NCCL INFO NET/Socket : Using [0]hsn0:10.1.0.1<0>
node1:301:330 [0] NCCL INFO Initialized NET plugin Socket
node1:301:330 [0] NCCL INFO Assigned NET plugin Socket to comm
node1:301:330 [0] NCCL INFO Using network Socket
"""
NCCL_2_28_LIBFABRIC = """
node1:172:172 [0] NCCL INFO NET/Plugin: Loaded net plugin Libfabric (v11)
node1:172:172 [0] NCCL INFO Using network Libfabric
node1:172:172 [0] NCCL INFO NET/OFI Selected provider is cxi, fabric is cxi (found 4 nics)
"""
RCCL_UCX = """
node1:564:565 [0] NCCL INFO P2P plugin UCX
node1:564:565 [0] NCCL INFO NET/IB : Using [0]bnxt_re0:1/RoCE ; OOB eth0:10.1.0.1<0>
node1:564:565 [0] NCCL INFO Using network UCX
"""
RCCL_ON_SOCKETS = """
RCCL version 2.18.3+hip6.0 HEAD:ba36ff0
g1:126:140 [0] NCCL INFO Channel 00/0 : 7[ce000] -> 5[c6000] via P2P/IPC comm 0xfb1 nRanks 08
g1:126:140 [0] NCCL INFO Channel 02/0 : 1[c6000] -> 4[c1000] [receive] via NET/Socket/1 comm 0x95c nRanks 08
"""


@pytest.mark.parametrize(
    ("text", "name", "provider", "sockets", "devices"),
    [
        (NCCL_2_4_IB, "IB", "", False, "[0]mlx5_0:1/IB ; OOB ib0:10.0.0.1<0>"),
        (NCCL_2_4_OFI, "AWS Libfabric", "efa", False, ""),
        (NCCL_2_11_SOCKET, "Socket", "", True, "[0]eth0:10.1.0.1<0>"),
        (NCCL_2_12_CXI, "AWS Libfabric", "cxi", False, ""),
        (NCCL_2_20_TCP_PROVIDER, "AWS Libfabric", "tcp;ofi_rxm", True, ""),
        (NCCL_2_21_IBEXT, "IBext_v8", "", False, "[0]mlx5_2:1/IB/SHARP [1]mlx5_0:1/IB/SHARP [RO]; OOB ib0:10.0.0.1<0>"),
        (NCCL_2_27_PLUGIN_FAILED, "Socket", "", True, "[0]hsn0:10.1.0.1<0>"),
        (NCCL_2_28_LIBFABRIC, "Libfabric", "cxi", False, ""),
        (RCCL_UCX, "UCX", "", False, ""),
        (RCCL_ON_SOCKETS, "Socket", "", True, ""),
        ("vm-0:606:642 [ 6 ] NCCL INFO Using network gIB\n", "gIB", "", False, ""),
        ("vm-0:606:642 [6] NCCL INFO Using network FasTrak\n", "FasTrak", "", False, ""),
        ("vm-0:606:642 [6] NCCL INFO Using network IB\r\n", "IB", "", False, ""),
        (f"{NCCL_2_21_IBEXT}{NCCL_2_11_SOCKET}{RCCL_ON_SOCKETS}", "Socket", "", True, "[0]eth0:10.1.0.1<0>"),
    ],
)  # fmt: skip
def test_lines_of_nccl(text: str, name: str, provider: str, sockets: bool, devices: str):
    for labelled in (text, "".join(f"0: {line}" for line in text.splitlines(keepends=True))):
        found = network.of_log(labelled)
        assert found and (found.name, found.provider, found.is_sockets, found.devices) == (
            name,
            provider,
            sockets,
            devices,
        )
        assert name in found.line and "\n" not in found.line


def test_versions_of_nccl():
    assert [found.library for text in (NCCL_2_4_IB, RCCL_ON_SOCKETS) if (found := network.of_log(text))] == [
        "NCCL 2.4.8+cuda10.1",
        "RCCL 2.18.3+hip6.0",
    ]


@pytest.mark.parametrize(
    "text", ["", "node1:1:1 [0] NCCL INFO Bootstrap : Using eth0:10.1.0.1<0>\n", "Using network IB"]
)
def test_other_lines_name_no_network(text: str):
    assert network.of_log(text) is None


@pytest.mark.parametrize(
    ("variables", "seen"),
    [
        ({}, True),
        ({"NCCL_DEBUG": "INFO"}, True),
        ({"NCCL_DEBUG": "info", "NCCL_DEBUG_SUBSYS": "INIT,NET"}, True),
        ({"NCCL_DEBUG": "TRACE", "NCCL_DEBUG_SUBSYS": "ALL"}, True),
        ({"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "^COLL"}, True),
        ({"NCCL_DEBUG": "WARN"}, False),
        ({"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "COLL"}, False),
        ({"NCCL_DEBUG": "INFO", "NCCL_DEBUG_FILE": "/tmp/nccl.%h"}, False),
        ({"NCCL_DEBUG_FILE": "/tmp/nccl.%h"}, False),
    ],
)
def test_what_hides_the_line(variables: dict[str, str], seen: bool):
    assert (network.why_unseen(variables) == "") == seen


SLINGSHOT = site.from_table({"name": "ours", "interconnect": "slingshot", "gpus_per_node": 4}, "ours")


def planned(nodes: int = 2, here: site.Site = SLINGSHOT, **asked: object) -> Plan:
    return plans.plan(Request(nodes=(nodes,), **asked), here)


@pytest.mark.parametrize(
    ("plan", "text", "wrong"),
    [
        (planned(), NCCL_2_27_PLUGIN_FAILED, True),
        (planned(), NCCL_2_20_TCP_PROVIDER, True),
        (planned(), NCCL_2_12_CXI, False),
        (planned(1), NCCL_2_27_PLUGIN_FAILED, False),  # nothing goes over it
    ],
)
def test_what_is_wrong_with_it(plan: Plan, text: str, wrong: bool):
    found = network.of_log(text)
    assert found and bool(network.problem(plan, found)) == wrong


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Request(backend="local", require_network=True), "is for Slurm"),
        (Request(require_network=True), "GPUs"),
    ],
)
def test_what_cannot_be_checked_is_refused(asked: Request, words: str):
    with pytest.raises(Refusal, match=words):
        plans.plan(asked)


def test_nothing_is_asked_of_nccl_where_nobody_wants_to_know():
    other = site.from_table({"name": "other", "gpus_per_node": 4}, "other")
    assert not network.is_looked_for(planned(here=other))
    assert not network.is_looked_for(planned(gpus_per_node=0))
    assert network.is_looked_for(planned(here=other, require_network=True))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = plans.run_of(planned(require_network=True), tmp_path / "run")
    made.append_event("started", attempt=1)
    made.make_folders()
    environment.note(made, 1)
    return made


def looked(run: RunDir, begin: int = -1) -> int:
    """Let a process be looked after that stands for rank 0; return its exit status."""
    with subprocess.Popen(["sleep", "30"]) as rank:
        beside = own_command(sys.executable, "launch.node.network", str(run.path), "1", str(rank.pid), str(begin))
        subprocess.run(beside, check=True, timeout=60)
        if rank.poll() is None:
            rank.terminate()
        return rank.wait()


def test_a_rank_is_ended_whose_nccl_uses_sockets(run: RunDir):
    (run.meeting / "nccl-attempt1.301").write_text(NCCL_2_27_PLUGIN_FAILED)
    assert looked(run) == -9
    (failed,) = read_lines(run.failures / "node0.jsonl")
    assert "--require-network" in failed["error"] and "hsn0" in failed["error"]
    assert network.said(run) in failed["error"] and "Could not find" in network.said(run)
    assert run.surroundings()["network"]["nccl"]["name"] == "Socket"
    first = diagnose.first_failure(run, 1)
    assert first is not None and first.rank == 0 and first.error == failed["error"]


def test_one_that_prints_by_the_users_wish_is_read_in_the_log(run: RunDir):
    run.node_log(0).write_text(f"0: {NCCL_2_11_SOCKET.strip()}\n")  # of the attempt before
    begin = run.node_log(0).stat().st_size
    with run.node_log(0).open("a") as log:
        log.write("0: step 1\n" + NCCL_2_12_CXI.replace("\nnode1", "\n0: node1").lstrip())
    assert looked(run, begin) == -15
    assert run.surroundings()["network"]["nccl"]["provider"] == "cxi"
    assert network.said(run) == "" and not list(run.failures.iterdir())


def test_only_rank_0_is_asked_and_what_is_hidden_is_said(run: RunDir, monkeypatch: pytest.MonkeyPatch):
    plan = run.plan()
    monkeypatch.setenv("NCCL_DEBUG", "WARN")
    assert looking.beside(run, plan, Rank(rank=1, size=2), 1) == {}
    with pytest.raises(Refusal, match="NCCL_DEBUG=WARN"):
        looking.beside(run, plan, Rank(size=2), 1)
    assert looking.beside(run, planned(), Rank(size=2), 1) == {}
    assert "NCCL_DEBUG=WARN" in network.said(run)


def test_the_interface_of_gloo_is_noted(run: RunDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOROVOD_GLOO_IFACE", "lo")
    gloo.note(run, 1)
    assert run.surroundings()["network"] == {"attempt": 1, "gloo": {"interface": "lo", "address": "127.0.0.1"}}
    assert run.surroundings()["host"] == os.uname().nodename  # and what was known before is still there
    environment.note(run, 1)
    assert "gloo" in run.surroundings()["network"]  # as the one may come before the other
    environment.note(run, 2)
    assert "network" not in run.surroundings()  # of another attempt
