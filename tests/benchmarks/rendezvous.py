"""Ranks that meet over Gloo:   python tests/benchmarks/rendezvous.py [RANKS ...]

The server of this toolkit beside Horovod's own, with the same clients: as many processes as there are ranks do what
Horovod's library does in each of its six meetings (all ranks, those of a node, those of a place on the nodes; and again for the set of all
processes): each hands in its address, asks for the others' until it has all, and takes its own back. TensorFlow is left
out, whose import takes a hundred times as long. Measured is the time until the last rank has met all others.
"""

import http.client
import multiprocessing
import sys
import time
from functools import partial

from horovod.runner.http.http_server import RendezvousServer as HorovodServer
from measured import in_turns, show

from launch.node.meeting.server import RendezvousServer

MEETINGS = 6
ADDRESS = b"x" * 150  # about what Gloo hands in for each pair


def ask(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """One request, as Horovod makes it: a connection each, and again after half a second if it breaks."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, body=body)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            time.sleep(0.5)
        finally:
            connection.close()


def rank(number: int, size: int, port: int, prefix: str, go: object, done: object) -> None:
    """Meet the others."""
    go.wait()
    for meeting in range(MEETINGS):
        ask(port, "PUT", f"{prefix}/scope{meeting}/{number}", ADDRESS * size)
        for other in range(size):
            while ask(port, "GET", f"{prefix}/scope{meeting}/{other}") != 200:
                time.sleep(0.01)
    done.put(number)


def meeting(size: int, port: int, prefix: str) -> float:
    """Seconds until all have met."""
    go, done = multiprocessing.Event(), multiprocessing.Queue()
    ranks = [multiprocessing.Process(target=rank, args=(k, size, port, prefix, go, done)) for k in range(size)]
    for process in ranks:
        process.start()
    time.sleep(0.5)
    began = time.perf_counter()
    go.set()
    for _ in ranks:
        done.get()
    taken = time.perf_counter() - began
    for process in ranks:
        process.join()
    return taken


def ours(size: int) -> float:
    """With the server of this toolkit."""
    server = RendezvousServer(["127.0.0.1"])
    ((_, port),) = server.places
    try:
        return meeting(size, port, f"/{server.secret}:{port}")
    finally:
        server.close()


def horovods(size: int) -> float:
    """With Horovod's."""
    server = HorovodServer(verbose=0)
    port = server.start()
    server.init([])
    try:
        return meeting(size, port, "")
    finally:
        server.stop()


def main(sizes: list[int]) -> None:
    """Measure and print a table for each number of ranks."""
    for size in sizes:
        print(f"{size} ranks")
        repeats = 5 if size <= 16 else 1  # Horovod's server takes minutes for more
        rivals = {"rendezvous_server": partial(ours, size), "horovod.runner": partial(horovods, size)}
        show(in_turns(rivals, repeats), "s")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [2, 16, 64])
