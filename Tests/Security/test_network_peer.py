"""What a peer on the network tries who has no account: to hold what others need, and to be read in two ways."""

import contextlib
import http.client
import socket
import ssl

import pytest

from conftest import wait_for

UNFINISHED = b"GET /version HTTP/1.1\r\nHost: a\r\nX: "


def context():
    return ssl._create_unverified_context()


@contextlib.contextmanager
def flood(count, port, tls=True, sources=("127.0.0.1",), first=UNFINISHED):
    """So many connections with the beginning of a request, from these addresses in turn."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 512)), hard))
    context_ = context()
    connections = []
    try:
        for index in range(count):
            try:
                connection = socket.create_connection(
                    ("127.0.0.1", port), timeout=30, source_address=(sources[index % len(sources)], 0))
                if tls:
                    connection = context_.wrap_socket(connection)
                connection.sendall(first)
                connections.append(connection)
            except OSError:
                # Refused, or closed for a later one.
                continue
        yield connections
    finally:
        for connection in connections:
            connection.close()


def still_open(connections):
    count = 0
    for connection in connections:
        connection.settimeout(0)
        try:
            connection.sendall(b"a")
            if connection.recv(1):
                count += 1
        except (ssl.SSLWantReadError, BlockingIOError):
            count += 1
        except OSError:
            pass
    return count


def rss(process):
    """Resident memory in MiB."""
    for line in open(f"/proc/{process}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmRSS")


@pytest.mark.parametrize("sources", [["127.0.0.1"], [f"127.0.1.{n}" for n in range(1, 33)]], ids=["one", "many"])
def test_unfinished_heads_hold_nobody_up(server, sources):
    with flood(1200, server.port, sources=sources) as connections:
        # Administrators, and everybody who has something to say.
        assert server.kubectl("get", "--raw", "/readyz") == "ok"
        anybody = http.client.HTTPSConnection("127.0.0.1", server.port, context=context(), timeout=30)
        anybody.request("GET", "/version")
        assert anybody.getresponse().status == 200
        assert still_open(connections) <= 512
    assert server.kubectl("get", "--raw", "/readyz") == "ok"


def test_a_trickle_is_no_request(server):
    with flood(8, server.port) as connections:
        wait_for("they are closed", lambda: still_open(connections) == 0, deadline=30)


def test_half_a_handshake_is_no_connection(server):
    """TLS that does not go on counts from the connection's beginning."""
    with flood(8, server.port, tls=False, first=b"\x16\x03\x01\x02\x00\x01") as connections:
        wait_for("they are closed", lambda: still_open(connections) == 0, deadline=30)


def test_bodies_that_do_not_come(server):
    """A complete head keeps a stranger's connection no longer."""
    head = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"
    with flood(300, server.port, first=head) as connections:
        assert server.kubectl("get", "--raw", "/readyz") == "ok"
        wait_for("they are answered and closed", lambda: still_open(connections) == 0, deadline=40)


def test_answers_that_nobody_reads(server):
    """Requests are small and answers large: whoever takes none of them gets no more."""
    before = rss(server.process.pid)
    request = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            connection = stack.enter_context(
                context().wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=30)))
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                for _ in range(200):
                    connection.sendall(request * 500)
        assert rss(server.process.pid) - before < 32


@pytest.mark.parametrize("head, status", [
    (b"GET /version HTTP/1.1\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /version HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n", 417),
])
def test_heads_that_can_be_read_in_two_ways(server, head, status):
    connection = context().wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    with connection:
        connection.sendall(head + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while more := connection.recv(65536):
            answer += more
    # One refusal and nothing else: what follows is not looked at.
    assert answer.count(b"HTTP/1.1 ") == 1 and int(answer.split()[1]) == status, answer


@pytest.mark.parametrize("path", [
    "/metrics", "/metrics/", "/.well-known/openid-configuration", "/openid/v1/jwks", "/api", "/apis", "/openapi/v2",
    "/api/v1/nodes", "/api/v1/namespaces/default/pods/x/proxy/", "/api/v1/nodes/x/proxy/healthz",
])
def test_strangers_see_nothing(server, path):
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context(), timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status in (401, 403), answer.read()
