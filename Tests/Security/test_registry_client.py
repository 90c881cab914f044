"""What clients of the registry try: to hold what others need, and to read what is not theirs.

A client of the registry: what pushing and pulling can do to others.

Run by Scripts/integration.
"""

import base64
import contextlib
import hashlib
import http.client
import os
import socket
import subprocess
import threading

import pytest

from conftest import APUS, folder, wait_for
from test_disk import Registry as Stored, flip


class Registry:
    """A registry alone, with users."""

    def __init__(self, base, port=5055):
        self.port = port
        self.data = os.path.join(base, "registry")
        os.mkdir(self.data)
        # alice, with the password wonderland.
        password = subprocess.check_output(["openssl", "passwd", "-6", "wonderland"], text=True).strip()
        with open(os.path.join(self.data, "registry.yaml"), "w") as file:
            file.write(f"users:\n  alice: {password}\n  prometheus: {password}\n"
                       "access:\n"
                       "  - {repositories: ['**'], users: [alice], actions: [pull, push, delete]}\n"
                       "  - {repositories: ['**'], users: [prometheus], actions: [metrics]}\n"
                       "limits: {head: 5s}\n")
        self.log = open(os.path.join(base, "registry.log"), "ab")
        self.process = subprocess.Popen(
            [APUS, "registry", "--data", self.data, "--listen", f"127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=self.log)
        wait_for("the registry answers", lambda: self.get("/healthz")[0] == 200)

    def get(self, path, user=None, password="wonderland"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {}
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


@pytest.fixture(scope="module")
def registry():
    with folder("it-registry-") as base:
        registry = Registry(base)
        try:
            yield registry
        finally:
            registry.stop()


def test_metrics_ask_for_a_right(registry):
    status, body, headers = registry.get("/metrics")
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic ") and b"apus_" not in body
    assert registry.get("/metrics", "alice")[0] == 403
    assert registry.get("/metrics", "prometheus", "wrong")[0] == 401
    status, body, _ = registry.get("/metrics", "prometheus")
    assert status == 200 and b"apus_registry_requests_total" in body
    assert b"apiserver_" not in body, "each server serves what is its own"


@pytest.mark.parametrize("first", [b"", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ",
                                   b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"])
def test_a_flood_holds_nobody_up(registry, first):
    connections = []
    try:
        for _ in range(900):
            with contextlib.suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", registry.port), timeout=30)
                connection.sendall(first)
                connections.append(connection)
        assert registry.get("/v2/", "alice")[0] == 200
        assert registry.get("/healthz")[0] == 200
    finally:
        for connection in connections:
            connection.close()


def test_unfinished_heads_end(registry):
    with socket.create_connection(("127.0.0.1", registry.port), timeout=60) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n")
        assert connection.recv(1) == b""


def test_manifests_that_are_held_back(registry):
    """4 MiB each, without the last byte: memory is bounded, and later ones are told to come again."""
    def memory():
        for line in open(f"/proc/{registry.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
        raise AssertionError("no VmRSS")

    login = base64.b64encode(b"alice:wonderland").decode()
    size = 4 << 20
    before = memory()
    refused = 0
    with contextlib.ExitStack() as stack:
        for index in range(60):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", registry.port), timeout=30))
            connection.sendall((f"PUT /v2/a/manifests/t{index} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\n"
                                f"Content-Length: {size}\r\n\r\n").encode())
            connection.settimeout(0.3)
            try:
                refused += b" 429 " in connection.recv(4096)
            except TimeoutError:
                connection.settimeout(5)
                with contextlib.suppress(OSError):
                    connection.sendall(b" " * (size - 1))
        assert refused > 30
        assert memory() - before < 250


def test_guesses_do_not_shut_out(registry):
    """Wrong passwords from elsewhere do not keep alice out."""
    for _ in range(8):
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=30, source_address=("127.0.0.9", 0))
        connection.request("GET", "/v2/", headers={
            "Authorization": "Basic " + base64.b64encode(b"alice:guess").decode()})
        assert connection.getresponse().status in (401, 429)
        connection.close()
    assert registry.get("/v2/", "alice")[0] == 200


PORT = 5081


@pytest.fixture(scope="module")
def base():
    with folder("it-client-") as path:
        yield path


def test_many_parts_of_a_blob_are_one_comparison(base):
    """A part is given out only of what has been compared as a whole: asking for many parts at once must not make the
    registry read everything as often, and damage must not get through any of them."""
    with Stored(base, "parts", PORT) as registry:
        data = os.urandom(8 << 20)
        digest = registry.push(data)
    with Stored(base, "parts", PORT) as registry:
        answers = []

        def part(start):
            client = Stored.__new__(Stored)
            client.port = PORT
            answers.append(
                (start, client.request("GET", f"/v2/a/blobs/{digest}", headers={"Range": f"bytes={start}-{start + 99}"})))

        threads = [threading.Thread(target=part, args=(start,)) for start in range(0, 1600, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(answer == (206, data[start:start + 100]) for start, answer in answers)
        flip(registry.path(digest))
        answers.clear()
        threads = [threading.Thread(target=part, args=(start,)) for start in range(0, 1000, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(status in (404, 500) for _, (status, _) in answers), answers


def test_a_push_cannot_put_other_bytes_under_a_digest(base):
    with Stored(base, "push", PORT) as registry:
        data = os.urandom(2 << 20)
        digest = registry.push(data)
        for body in (data[:-1] + b"x", data[:-1], data + b"x", b""):
            status, _ = registry.request("POST", f"/v2/b/blobs/uploads/?digest={digest}", body)
            assert status == 400
            assert registry.request("GET", f"/v2/b/blobs/{digest}")[0] == 404
            assert registry.request("GET", f"/v2/a/blobs/{digest}") == (200, data)
