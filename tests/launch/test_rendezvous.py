"""How ranks find each other: who is told what, an address that answers, and a chief that does not."""

import contextlib
import errno
import http.client
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from launched import ROOT, environment, launch
from plans import LAPTOP, plan

from launch.errors import Refusal
from launch.node.meeting import rendezvous
from launch.node.meeting import server as rendezvous_server
from launch.node.meeting.server import RendezvousServer, knock
from launch.node.rank import Rank
from launch.plan.request import Request
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import publish_json

LOCAL = plan(Request(nodes=2, ranks_per_node=2), LAPTOP)
SLURM = plan(Request(nodes=2, ranks_per_node=2))
UNREACHABLE = "127.0.0.2"  # of this host, but nobody listens there


# Horovod on its own may meet as often as it likes; once the ranks of a workload have met, nobody answers.
MEET_TWICE = """
import os, socket, threading, time
import horovod.tensorflow as hvd
import psutil
from launch.node.rank import from_environment
from launch.record.files import read_json
from launch.record.rundir import RunDir
from workloads.training.engines.horovod.communicator import Communicator
def listening():
    found = (c.laddr.port for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN)
    print("waiting", *found, "for", os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"], flush=True)
    open(seen, "w").close()
seen = os.path.join(os.environ["LAUNCH_RUN"], "seen")
if os.environ["RANK"] == "0":
    threading.Timer(1, listening).start()
while os.environ["RANK"] == "1" and not os.path.exists(seen):
    time.sleep(0.1)
hvd.init()
print("plain", sum(hvd.allgather_object(hvd.rank())))
hvd.shutdown()
(place,) = read_json(RunDir.open(os.environ["LAUNCH_RUN"]).meeting / "attempt1.json")["places"]
socket.create_connection(place, timeout=5).close()
with Communicator(from_environment()) as ranks:
    print("workload", sum(ranks.gather(ranks.rank.rank)), socket.socket().connect_ex(tuple(place)))
"""


def test_the_server_is_gone_when_the_ranks_of_a_workload_have_met(tmp_path: Path):
    pytest.importorskip("horovod")
    program = tmp_path / "meet.py"
    program.write_text(MEET_TWICE)
    done = launch("--backend", "local", "--nodes", 2, "--runs", tmp_path, "--name", "run", program)
    assert done.returncode == 0, done.stdout + done.stderr
    log = RunDir.open(tmp_path / "run").node_log(0).read_text()
    # Gloo takes whoever connects to a port of its own for a rank, so it has none until all are there.
    assert re.search(r"^0: waiting (\d+) for \1$", log, re.MULTILINE), log
    assert "plain 1" in log and f"workload 1 {errno.ECONNREFUSED}" in log


@contextlib.contextmanager
def another() -> Iterator[tuple[str, int]]:
    """The server of another run."""
    server = RendezvousServer(["127.0.0.1"])
    yield server.places[0]
    server.close()


def rank(number: int) -> Rank:
    node, local = divmod(number, 2)
    return Rank(number, 4, local, 2, node, 2)


def test_what_horovod_is_told():
    told = rendezvous.horovod(rank(3), "10.0.0.1", 4321, "s3cret")
    assert told == {
        "HOROVOD_RANK": "3", "HOROVOD_SIZE": "4", "HOROVOD_LOCAL_RANK": "1", "HOROVOD_LOCAL_SIZE": "2",
        "HOROVOD_CROSS_RANK": "1", "HOROVOD_CROSS_SIZE": "2", "HOROVOD_HOSTNAME": "node1",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": "10.0.0.1:4321/s3cret", "HOROVOD_GLOO_RENDEZVOUS_PORT": "4321",
        "HOROVOD_CONTROLLER": "gloo", "HOROVOD_CPU_OPERATIONS": "gloo",
    }  # fmt: skip


def test_over_mpi_horovod_is_told_to_use_it(tmp_path: Path):
    told = rendezvous.meet(plan(Request(nodes=2, rendezvous="mpi")), Rank(0, 2, 0, 1, 0, 2), tmp_path, 1, 1)
    assert told["HOROVOD_CONTROLLER"] == told["HOROVOD_CPU_OPERATIONS"] == "mpi"
    assert not any("GLOO" in name for name in told)


@pytest.mark.parametrize("own, expected", [(None, "1"), ("0", "0")])
def test_mpi_leaves_the_core_to_a_workload_while_it_waits(tmp_path: Path, monkeypatch, own, expected):
    """A program of the user's gets nothing that was not asked for, and what the user sets holds."""
    if own:
        monkeypatch.setenv("OMPI_MCA_mpi_yield_when_idle", own)
    workload, program = (
        rendezvous.meet(
            plan(Request(nodes=2, rendezvous="mpi"), kind=kind), Rank(0, 2, 0, 1, 0, 2), tmp_path, attempt, 1
        )
        for attempt, kind in enumerate(("workload", "script"))
    )
    assert workload["OMPI_MCA_mpi_yield_when_idle"] == expected
    assert "OMPI_MCA_mpi_yield_when_idle" not in program


def test_one_rank_needs_no_horovod(tmp_path: Path):
    told = rendezvous.meet(plan(), Rank(), tmp_path, 1, 1)
    assert told.keys() == {"MASTER_ADDR", "MASTER_PORT", "JAX_COORDINATOR_ADDRESS"}
    (tmp_path / "w").mkdir()
    workload = rendezvous.meet(plan(kind="workload"), Rank(), tmp_path / "w", 1, 1)
    assert workload.keys() == {"MASTER_ADDR", "MASTER_PORT"}


# All ranks of a run in one go: the chief in this process, the others in threads of it.
CHIEF_AND_OTHERS = """
import json, sys, threading, urllib.request
from pathlib import Path
from launch.node.meeting import rendezvous
from launch.plan.plan import Plan
from launch.node.rank import Rank
plan, meeting = Plan.from_json(json.loads(sys.argv[1])), Path(sys.argv[2])
said = {}
def meet(i):
    node, local = divmod(i, plan.ranks_per_node)
    rank = Rank(i, plan.size, local, plan.ranks_per_node, node, plan.nodes)
    said[i] = rendezvous.meet(plan, rank, meeting, 3, 60)
threads = [threading.Thread(target=meet, args=(i,)) for i in reversed(range(plan.size))]
[t.start() for t in threads]; [t.join() for t in threads]
key = "http://{HOROVOD_GLOO_RENDEZVOUS_ADDR}:{HOROVOD_GLOO_RENDEZVOUS_PORT}/test/key".format(**said[0])
urllib.request.urlopen(urllib.request.Request(key, data=b"hello", method="PUT"))
print(json.dumps([said, urllib.request.urlopen(key).read().decode()]))
"""


@pytest.mark.parametrize("planned", [LOCAL, SLURM], ids=["local", "slurm"])
def test_all_ranks_are_told_the_same_server_and_it_answers(tmp_path: Path, planned):
    pytest.importorskip("horovod")
    words = [json.dumps(planned.to_json()), str(tmp_path)]
    env = {k: v for k, v in environment(PYTHONPATH=str(ROOT)).items() if k != "HOROVOD_GLOO_IFACE"}
    done = subprocess.run(
        [sys.executable, "-c", CHIEF_AND_OTHERS, *words], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said, answer = json.loads(done.stdout.splitlines()[-1])
    assert answer == "hello"
    assert sorted(said) == ["0", "1", "2", "3"]
    for name in ("MASTER_ADDR", "MASTER_PORT", "HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT"):
        assert len({env[name] for env in said.values()}) == 1
    note = read_json(tmp_path / "attempt3.json")
    assert [said["1"]["MASTER_ADDR"], int(said["1"]["HOROVOD_GLOO_RENDEZVOUS_PORT"])] == note["places"][0]
    assert (tmp_path / "attempt3.json").stat().st_mode & 0o077 == 0, "the secret can be read by others"
    if planned is LOCAL:
        assert [address for address, _ in note["places"]] == ["127.0.0.1"] and said["2"]["HOROVOD_GLOO_IFACE"] == "lo"
    for i, env in said.items():
        assert env["HOROVOD_RANK"] == i and env["HOROVOD_HOSTNAME"] == f"node{int(i) // 2}"
        assert env["HOROVOD_GLOO_IFACE"] in psutil.net_if_addrs()


@pytest.fixture
def server() -> Iterator[RendezvousServer]:
    server = RendezvousServer(["127.0.0.1"])
    yield server
    server.close()


def status(server: RendezvousServer, path: str, method: str = "GET") -> int:
    connection = http.client.HTTPConnection(*server.places[0], timeout=30)
    connection.request(method, path, body=b"10.9.9.9" if method == "PUT" else None)
    return connection.getresponse().status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_who_does_not_know_the_secret_learns_and_changes_nothing(server: RendezvousServer, method: str):
    ((_, port),) = server.places
    server.values["global/0"] = b"10.0.0.1"
    for path in ("/global/0", f"/:{port}/global/0", f"/wrong:{port}/global/0", f"/{server.secret}/global/0", "/", "//"):
        assert status(server, path, method) == 403
    assert server.values == {"global/0": b"10.0.0.1"}
    assert status(server, f"/{server.secret}:{port}/global/0", method) == 200
    assert server.values == {"GET": {"global/0": b"10.0.0.1"}, "PUT": {"global/0": b"10.9.9.9"}, "DELETE": {}}[method]


def test_it_listens_where_it_is_told_to_alone(server: RendezvousServer):
    ((_, port),) = server.places
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((UNREACHABLE, port), timeout=5)


def test_closed_it_answers_nobody(server: RendezvousServer):
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.places[0], timeout=5)


# A process with the usual number of descriptors, whose server meets more idle connections than that.
FLOODED = """
import resource, sys
from launch.node.meeting.server import RendezvousServer
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
server = RendezvousServer(["127.0.0.1"])
print(server.places[0][1], server.secret, flush=True)
sys.stdin.readline()
open("/dev/null").close()
"""


def test_idle_connections_keep_neither_a_rank_nor_the_chief_from_going_on():
    command = [sys.executable, "-c", FLOODED]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as chief:
        port, secret = chief.stdout.readline().split()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        with contextlib.ExitStack() as held:
            held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            for _ in range(1200):
                held.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=10))
            assert knock("127.0.0.1", int(port), secret, 10) == "127.0.0.1"
            assert (
                len(psutil.Process(chief.pid).net_connections()) < 200 and psutil.Process(chief.pid).num_threads() < 10
            )
            chief.communicate("\n")
    assert chief.returncode == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xf2;\x1d-\x0f\xb5\xf5\x1a",
        b"\0" * 9000,
        b"GET\r\n\r\n",
        b"\xff" * 64 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 9000,
    ],
)
def test_garbage_is_dropped_at_once(server: RendezvousServer, garbage: bytes):
    ((_, port),) = server.places
    with socket.create_connection(server.places[0], timeout=20) as connection:
        connection.sendall(garbage)
        assert status(server, f"/{server.secret}:{port}/global/0") == 404  # meanwhile, and afterwards
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    assert status(server, f"/{server.secret}:{port}/global/0") == 404


def test_who_does_not_show_the_secret_in_time_has_to_leave(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendezvous_server, "_SECRET_S", 0.2)
    with another() as place, socket.create_connection(place, timeout=20) as connection:
        connection.sendall(b"GET /")
        assert connection.recv(100) == b""


def test_large_values_come_and_go_whole(server: RendezvousServer):
    ((_, port),) = server.places
    value, connection = os.urandom(5_000_000), http.client.HTTPConnection(*server.places[0], timeout=60)
    connection.request("PUT", f"/{server.secret}:{port}/rank/0", body=value)
    assert connection.getresponse().status == 200
    connection = http.client.HTTPConnection(*server.places[0], timeout=60)
    connection.request("GET", f"/{server.secret}:{port}/rank/0")
    assert connection.getresponse().read() == value


def test_a_request_that_is_broken_off_hurts_nobody(server: RendezvousServer, capfd):
    ((_, port),) = server.places
    with socket.create_connection(server.places[0], timeout=5) as connection:
        connection.send(f"PUT /{server.secret}:{port}/global/0 HTTP/1.1\r\nContent-Length: x".encode())
    assert status(server, f"/{server.secret}:{port}/global/0") == 404
    assert not capfd.readouterr().err


def test_the_first_place_at_which_the_chief_answers_is_taken(server: RendezvousServer):
    ((_, port),) = server.places
    with another() as theirs:
        places = [(UNREACHABLE, port), theirs, ("127.0.0.1", port)]
        assert rendezvous._reach(places, server.secret) == (("127.0.0.1", port), "127.0.0.1")


def test_a_chief_that_cannot_be_reached_is_refused_with_every_reason():
    port = 1  # nobody listens there
    with another() as theirs, pytest.raises(Refusal) as refusal:
        rendezvous._reach([(UNREACHABLE, port), theirs], "secret")
    message = str(refusal.value)
    assert (
        f"cannot reach rank 0 (127.0.0.2 port {port}: Connection refused; "
        f"127.0.0.1 port {theirs[1]}: another program answers there)" in message
    )
    assert "network_interface in the site file" in message and "\n" not in message


def test_a_chief_that_does_not_start_is_not_waited_for_for_ever(tmp_path: Path):
    with pytest.raises(Refusal, match="rank 0 did not start within 0 s: see node0.log"):
        rendezvous.meet(LOCAL, rank(1), tmp_path, 1, 0.2)


def test_the_note_of_another_attempt_is_not_taken(tmp_path: Path):
    publish_json(tmp_path / "attempt1.json", {"places": [["127.0.0.1", 0]], "secret": "", "master_port": 1})
    with pytest.raises(Refusal, match="did not start"):
        rendezvous.meet(LOCAL, rank(1), tmp_path, 2, 0.2)


def test_a_late_chief_is_waited_for(tmp_path: Path):
    told = {"places": [["127.0.0.1", 0]], "secret": "", "master_port": 4000, "jax_port": 4001}
    timer = threading.Timer(0.3, publish_json, (tmp_path / "attempt1.json", told))
    timer.start()
    over_mpi = plan(Request(nodes=2, rendezvous="mpi"))
    found = rendezvous.meet(over_mpi, Rank(1, 2, 0, 1, 1, 2), tmp_path, 1, 30)
    timer.join()
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("127.0.0.1", "4000")
    assert found["JAX_COORDINATOR_ADDRESS"] == "127.0.0.1:4001"


def test_two_runs_on_a_host_are_told_different_ports_that_no_connection_gets_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    monkeypatch.setattr(rendezvous.os, "urandom", bytes)  # all begin their search at the same port
    told = [rendezvous.meet(plan(), Rank(), tmp_path, attempt, 1)["MASTER_PORT"] for attempt in range(1, 30)]
    assert len(set(told)) == 29 and not any(low <= int(port) <= high for port in told)
    with socket.create_server(("", int(told[0]))):
        pass


def test_where_ranks_meet_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASTER_PORT", "29511")
    over_mpi = plan(Request(nodes=2, rendezvous="mpi"))
    told = [rendezvous.meet(over_mpi, Rank(k, 2, 0, 1, k, 2), tmp_path, 1, 30) for k in range(2)]
    assert {rank["MASTER_PORT"] for rank in told} == {"29511"} and len({rank["MASTER_ADDR"] for rank in told}) == 1
    assert len({rank["JAX_COORDINATOR_ADDRESS"] for rank in told}) == 1
    assert not {rank["JAX_COORDINATOR_ADDRESS"].rpartition(":")[2] for rank in told} & {"29511"}
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "node8:1234")
    assert rendezvous.meet(over_mpi, Rank(1, 2, 0, 1, 1, 2), tmp_path, 1, 30)["JAX_COORDINATOR_ADDRESS"] == "node8:1234"
    monkeypatch.setenv("MASTER_ADDR", "node7")
    assert rendezvous.meet(over_mpi, Rank(1, 2, 0, 1, 1, 2), tmp_path, 1, 30)["MASTER_ADDR"] == "node7"


def test_the_addresses_of_this_host():
    mine = {a.address for entries in psutil.net_if_addrs().values() for a in entries if a.family == socket.AF_INET}
    found = rendezvous._addresses(None)
    assert set(found) <= mine | {"127.0.0.1"} and found[-1] == "127.0.0.1" and len(set(found)) == len(found)
    assert rendezvous._addresses("lo") == ["127.0.0.1"]
    assert rendezvous._interface("127.0.0.1") == "lo"


def test_a_chief_without_ipv4_cannot_be_met_on_other_machines(tmp_path: Path, capsys: pytest.CaptureFixture):
    """The chief is in a network namespace of its own, in which only the loopback device exists."""
    code = (
        "import sys; from pathlib import Path; from plans import plan; from launch.node.meeting import rendezvous; "
        "from launch.node.rank import Rank; from launch.plan.request import Request; "
        "rendezvous.meet(plan(Request(nodes=2, rendezvous='mpi')), Rank(0, 2, 0, 1, 0, 2), Path(sys.argv[1]), 1, 1)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")])
    apart = ["unshare", "-rn", sys.executable, "-c", code, tmp_path]
    done = subprocess.run(apart, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    if "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    second, note = Rank(1, 2, 0, 1, 1, 2), tmp_path / "attempt1.json"
    assert rendezvous.meet(SLURM, second, tmp_path, 1, 1)["MASTER_ADDR"] == "127.0.0.1"
    assert not capsys.readouterr().err  # on the same machine this is right
    note.write_text(json.dumps(json.loads(note.read_text()) | {"machine": "another"}))
    rendezvous.meet(SLURM, second, tmp_path, 1, 1)  # a program may need no meeting
    assert "launch: rank 0 has no IPv4 address" in capsys.readouterr().err
    with pytest.raises(Refusal, match="rank 0 has no IPv4 address .* --rendezvous mpi"):
        rendezvous.meet(plan(Request(nodes=2), kind="workload"), second, tmp_path, 1, 1)


def test_an_interface_that_is_not_there_is_refused():
    with pytest.raises(Refusal, match=rf"{os.uname().nodename} has no interface 'ib7' with an IPv4 address: .*lo"):
        rendezvous._addresses("ib7")
