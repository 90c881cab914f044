"""Sockets that somebody else opens and keeps, as systemd does for a socket unit (sd_listen_fds(3))."""

import configparser
import contextlib
import glob
import json
import os
import socket
import ssl
import subprocess

from conftest import APUS, ROOT, Server, folder, leftovers, wait_for, with_sockets


def listening():
    """A socket that listens on a free port of 127.0.0.1."""
    return socket.create_server(("127.0.0.1", 0))


def port(kept):
    return kept.getsockname()[1]


def connect(kept):
    """A connection that the kernel makes, whether or not anybody accepts it. The deadline only bounds a failure."""
    return socket.create_connection(kept.getsockname(), timeout=60)


def status(connection, path):
    """The status of the answer to one request."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    with connection.makefile("rb") as reader:
        return int(reader.readline().split()[1])


def inherited(process, sockets):
    """What a process has of our sockets, and of the variables that tell of them."""
    ours = {os.fstat(kept.fileno()).st_ino for kept in sockets}
    found = []
    for descriptor in glob.glob(f"/proc/{process}/fd/*"):
        # It may have been closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(descriptor).st_ino in ours and os.readlink(descriptor).startswith("socket:"):
                found.append(descriptor)
    return found + [word for word in open(f"/proc/{process}/environ").read().split("\0") if word.startswith("LISTEN_")]


def test_connections_wait_for_the_next_server():
    with folder("it-") as base, listening() as api, listening() as registry:
        directory = base + "/data"
        os.mkdir(directory)
        server = Server(
            directory, port=port(api), options=("--registry", f"127.0.0.1:{port(registry)}"),
            sockets={"registry": registry, "api": api})
        assert f"https://127.0.0.1:{port(api)}" in server.start()
        try:
            wait_for("the node is ready", lambda: "True" in server.kubectl(
                "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))
            # The data plane outlives the server: what it had of the sockets would stay open without anybody behind it.
            record = wait_for("the data plane runs", lambda: json.load(open(directory + "/data-plane/record.json")))
            assert len(inherited(server.process.pid, [api, registry])) > 3, "what is looked for can be found"
            assert inherited(record["processID"], [api, registry]) == []
            for end in (server.kill, server.stop):
                end()
                with connect(api) as one, connect(registry) as two:
                    server.start()
                    assert status(ssl._create_unverified_context().wrap_socket(one), "/version") == 200
                    assert status(two, "/v2/") == 200
            assert server.kubectl("get", "--raw", "/readyz") == "ok"
        finally:
            server.stop()
        assert server.run("down", "--purge", "--yes").returncode == 0
        assert leftovers() == [] and not os.path.exists(directory)


def test_the_units_are_those_of_a_server_without_options():
    """Scripts/*.socket, opened as systemd would."""
    with folder("it-") as base, contextlib.ExitStack() as stack:
        sockets = {}
        for path in sorted((ROOT / "Scripts").glob("*.socket")):
            unit = configparser.ConfigParser()
            unit.read(path)
            host, _, number = unit["Socket"]["ListenStream"].rpartition(":")
            kept = stack.enter_context(socket.create_server((host, int(number))))
            sockets[unit["Socket"]["FileDescriptorName"]] = kept
        assert len(sockets) == 2
        directory = base + "/data"
        os.mkdir(directory)
        server = Server(directory, options=("--role", "server"), sockets=sockets)
        try:
            assert "at https://127.0.0.1:6443, registry at 127.0.0.1:5000" in server.start()
            assert server.kubectl("get", "--raw", "/readyz") == "ok"
        finally:
            server.stop()
        assert server.run("down", "--purge", "--yes").returncode == 0
    assert leftovers() == []


def test_sockets_that_do_not_fit_are_refused():
    with folder("it-") as base, listening() as kept, open(os.devnull) as null:
        directory = base + "/data"
        right = ["--port", str(port(kept))]
        for sockets, options, words in (
            ({"web": kept}, right, "nothing that is started here listens by that name: there is api, registry"),
            ({"registry": kept}, ["--registry", "none"], "there is api"),
            ({"api": kept}, ["--port", str(port(kept) ^ 1)], "is what it is configured with"),
            ({"registry": kept}, ["--registry", f"localhost:{port(kept)}"], "give its address, 127.0.0.1"),
            ({"api": null}, right, "Socket operation on non-socket"),
            # Two names for one descriptor.
            ({"api:registry": kept}, right, "LISTEN_FDNAMES has 2 names, and LISTEN_FDS says 1"),
        ):
            command, numbers = with_sockets([APUS, "up", "--data", directory, "--role", "server", *options], sockets)
            result = subprocess.run(command, pass_fds=numbers, capture_output=True, text=True, timeout=60)
            for number in numbers:
                os.close(number)
            assert result.returncode == 1 and words in result.stderr, (sockets, options, result.stderr)
        subprocess.run([APUS, "down", "--purge", "--yes", "--data", directory], check=True, capture_output=True)
    assert leftovers() == []
