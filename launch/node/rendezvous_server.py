"""The store through which Gloo's ranks learn each other's addresses: key -> value over HTTP, for one run and nobody else.

It speaks what the ``HTTPStore`` of Horovod 0.28 speaks, in whose place it stands because that answers whoever asks, at every
address of the host, for as long as its process lives. Horovod asks for ``http://ADDR:PORT/scope/key`` and takes ADDR from
the environment as it is; with ``host:port/secret`` there, the secret stands in the path of each request.
"""

import http.client
import secrets
import socketserver
import threading
from http.server import BaseHTTPRequestHandler


class RendezvousServer:
    """A store that listens until it is closed, and answers those who know its secret.

    Parameters
    ----------
    addresses : list of str
        IPv4 addresses of this host at which to listen.

    Attributes
    ----------
    secret : str
        To be handed to the ranks of the run.
    places : list of (str, int)
        Address and port of each listener.
    """

    def __init__(self, addresses: list[str]) -> None:
        self.secret = secrets.token_urlsafe(16)
        self.values: dict[str, bytes] = {}
        self._listeners = [_Listener(self, address) for address in addresses]
        self.places = [listener.server_address for listener in self._listeners]
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()


def address_for_horovod(address: str, port: int, secret: str) -> str:
    """What HOROVOD_GLOO_RENDEZVOUS_ADDR is to be."""
    return f"{address}:{port}/{secret}"


def knock(address: str, port: int, secret: str, timeout_s: float) -> str:
    """Ask a server whether it is the one with this secret; the address of this host on the way there.

    Raises
    ------
    OSError
        If it cannot be reached, or is another.
    """
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.connect()
        own = connection.sock.getsockname()[0]  # asked now: the answer closes it
        connection.request("GET", f"/{secret}:{port}/here/here")
        if connection.getresponse().status != http.client.NOT_FOUND:
            raise OSError("another program answers there")
    except http.client.HTTPException:
        raise OSError("another program answers there") from None
    finally:
        connection.close()
    return own


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 4096  # all ranks may come at once

    def __init__(self, store: RendezvousServer, address: str) -> None:
        self.store = store
        super().__init__((address, 0), _Request)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a rank that left in mid-sentence: whoever started it knows more."""


class _Request(BaseHTTPRequestHandler):
    timeout = 30  # seconds for the words of one request

    def do_GET(self) -> None:
        if key := self._key():
            value = self.server.store.values.get(key)
            self._answer(http.client.NOT_FOUND if value is None else http.client.OK, value or b"")

    def do_PUT(self) -> None:
        if key := self._key():
            self.server.store.values[key] = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(http.client.OK)

    def do_DELETE(self) -> None:
        if key := self._key():
            self.server.store.values.pop(key, None)
            self._answer(http.client.OK)

    def log_message(self, *_: object) -> None:
        """Horovod asks a hundred times a second."""

    def _key(self) -> str | None:
        said, _, key = self.path.removeprefix("/").partition("/")
        expected = f"{self.server.store.secret}:{self.server.server_address[1]}"
        if key and secrets.compare_digest(said.encode(), expected.encode()):
            return key
        self._answer(http.client.FORBIDDEN)
        return None

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
