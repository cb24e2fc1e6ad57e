"""The store through which Gloo's ranks learn each other's addresses: keys and values over HTTP, for one run only.

It speaks the protocol of the ``HTTPStore`` of Horovod 0.28 and replaces Horovod's server, because that one answers
anybody, at every address of the host, for as long as its process lives. Horovod asks for ``http://ADDR:PORT/scope/key``
and takes ADDR from the environment as it is. If ADDR holds ``host:port/secret``, the secret is in the path of each
request.

The standard library speaks HTTP too, but its import takes three times as long as a bare Python.

Any program on the network can connect, so one thread serves a bounded number of connections. A connection that has not
shown the secret is dropped after a few seconds, or earlier when others wait.
"""

import functools
import os
import selectors
import signal
import socket
import threading
import time

_CONNECTIONS = 128  # at once; a process usually has 1,024 descriptors, which the program needs for itself
_SECRET_S = 5.0  # time for a connection to show the secret
_REQUEST_S = 60.0  # time for a whole request with the secret, and its answer
_HEAD = 8192  # bytes of a request before its body
_BACKLOG = 4096  # all ranks may come at once
_OK, _FORBIDDEN, _NOT_FOUND = b"200 OK", b"403 Forbidden", b"404 Not Found"


class RendezvousServer:
    """A store that listens until it is closed, and answers clients that know its secret.

    Parameters
    ----------
    addresses : list of str
        IPv4 addresses of this host at which to listen.

    Attributes
    ----------
    secret : str
        The secret, to be handed to the ranks of the run.
    places : list of (str, int)
        Address and port of each listener.
    values : dict of str to bytes
        The values that the ranks have stored, by key.
    """

    def __init__(self, addresses: list[str]) -> None:
        self.secret = os.urandom(16).hex()
        self.values: dict[str, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._connections: dict[_Connection, None] = {}  # the oldest first
        self._listeners = [socket.create_server((address, 0), backlog=_BACKLOG) for address in addresses]
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, functools.partial(self._accept, listener))
        self.places: list[tuple[str, int]] = [listener.getsockname() for listener in self._listeners]
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        self._thread.join()

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are left to the main thread
        while not self._closing:
            for key, _ in self._selector.select(0.1):
                key.data()
            now = time.monotonic()
            for late in [each for each in self._connections if now > each.deadline]:
                self._drop(late)
        for each in [*self._listeners, *(each.socket for each in self._connections), self._selector]:
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        if len(self._connections) >= _CONNECTIONS and not self._make_room():
            time.sleep(0.001)  # the others have the secret, and are served
            return
        try:
            accepted, _ = listener.accept()
        except OSError:  # the client has left already, or this process has no free descriptor
            self._make_room()
            time.sleep(0.001)
            return
        accepted.setblocking(False)
        connection = _Connection(accepted)
        self._connections[connection] = None
        self._selector.register(accepted, selectors.EVENT_READ, functools.partial(self._go_on, connection))
        self._go_on(connection)  # most requests have arrived by now

    def _make_room(self) -> bool:
        """Drop the oldest connection that has not shown the secret, after checking once more whether it does; return
        whether there is room."""
        stranger = next((each for each in self._connections if not each.known), None)
        if stranger:
            self._go_on(stranger)
            if stranger in self._connections and not stranger.known:
                self._drop(stranger)
        return len(self._connections) < _CONNECTIONS

    def _go_on(self, connection: "_Connection") -> None:
        """Read or write what is possible; silently drop a connection that breaks off or sends garbage."""
        if connection not in self._connections:  # it was dropped just now
            return
        try:
            if not connection.answer:
                connection.answer = connection.read(self)
            if not connection.answer:
                return
            connection.answer = connection.answer[connection.socket.send(connection.answer) :]
            if connection.answer:
                go_on = functools.partial(self._go_on, connection)
                self._selector.modify(connection.socket, selectors.EVENT_WRITE, go_on)
            else:
                self._drop(connection)
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._drop(connection)

    def _drop(self, connection: "_Connection") -> None:
        del self._connections[connection]
        self._selector.unregister(connection.socket)
        connection.socket.close()


class _Connection:
    """A request and its answer."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.known = False  # whether the secret was shown
        self.deadline = time.monotonic() + _SECRET_S
        self.answer = memoryview(b"")  # the part of it that is still to be sent
        self._port = accepted.getsockname()[1]
        self._received = bytearray()
        self._method, self._key, self._begin, self._end = b"", "", 0, 0  # the request, and the place of its body

    def read(self, store: RendezvousServer) -> memoryview:
        """Read on; return the answer once the request is complete, and nothing before that.

        Raises
        ------
        ValueError
            If it is not a request.
        """
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionResetError
        self._received += part
        if not self.known:
            begin = self._received.find(b"\r\n\r\n") + 4
            if begin < 4:
                if len(self._received) > _HEAD:
                    raise ValueError
                return memoryview(b"")
            request, *fields = bytes(self._received[:begin]).split(b"\r\n")
            self._method, path, _ = request.split(b" ")
            secret, _, key = path.removeprefix(b"/").partition(b"/")
            if not key or not _same(secret, f"{store.secret}:{self._port}".encode()):
                return _answer(_FORBIDDEN)
            self.known, self.deadline = True, time.monotonic() + _REQUEST_S
            headers = {name.lower(): value for name, _, value in (field.partition(b":") for field in fields)}
            self._key, self._begin = key.decode(), begin
            self._end = begin + int(headers.get(b"content-length", 0))
        if len(self._received) < self._end:
            return memoryview(b"")
        value = store.values.get(self._key)
        if self._method == b"GET":
            return _answer(_NOT_FOUND) if value is None else _answer(_OK, value)
        if self._method == b"PUT":
            store.values[self._key] = bytes(self._received[self._begin : self._end])
        elif self._method == b"DELETE":
            store.values.pop(self._key, None)
        else:
            raise ValueError
        return _answer(_OK)


def _same(one: bytes, other: bytes) -> bool:
    """Return whether two texts are equal, in a time that does not show where they differ; `hmac` would have to be
    imported."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big") == 0


def _answer(status: bytes, body: bytes = b"") -> memoryview:
    return memoryview(b"HTTP/1.0 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def address_for_horovod(address: str, port: int, secret: str) -> str:
    """Return the value for HOROVOD_GLOO_RENDEZVOUS_ADDR."""
    return f"{address}:{port}/{secret}"


def knock(address: str, port: int, secret: str, timeout_s: float) -> str:
    """Ask a server whether it is the one with this secret; return the address of this host on the way there.

    Raises
    ------
    OSError
        If it cannot be reached, or is a different server.
    """
    for tries_left in (2, 1, 0):
        with socket.socket() as connection:
            connection.settimeout(timeout_s)
            connection.connect((address, port))
            try:
                connection.sendall(f"GET /{secret}:{port}/here/here HTTP/1.0\r\n\r\n".encode())
                with connection.makefile("rb") as answer:
                    if answer.readline(_HEAD).partition(b" ")[2].startswith(_NOT_FOUND):
                        return connection.getsockname()[0]
                break
            except ConnectionResetError:  # the server dropped it in favour of others
                if not tries_left:
                    raise
    raise OSError("another program answers there")
