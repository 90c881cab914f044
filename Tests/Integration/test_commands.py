"""The apus command as scripts use it."""

import os
import socket
import subprocess

from conftest import APUS, Server, folder, leftovers


def test_purge_after_a_stop_leaves_nothing():
    with folder("it-") as base:
        directory = os.path.join(base, "data")
        os.mkdir(directory)
        server = Server(directory)
        server.start()
        assert "ready after" in server.run("status").stdout
        assert "client-key-data" in server.run("kubeconfig").stdout
        assert server.run("down").returncode == 0
        assert server.process.wait(timeout=30) == 0
        assert server.run("status", check=False).returncode == 69
        assert server.run("down", check=False).returncode == 69
        assert server.run("down", "--purge", "--yes").returncode == 0
        assert leftovers() == [] and not os.path.exists(directory)


def test_help_and_usage():
    assert "kubectl" in subprocess.run([APUS, "--help"], capture_output=True, text=True).stdout
    for arguments, word in (
        (["up", "--port", "70000"], "--port"), (["up", "--pod-range", "x"], "--pod-range"), (["nothing"], "nothing"),
        (["up", "--bridge", "a-name-that-is-too-long"], "--bridge"),
    ):
        result = subprocess.run([APUS, *arguments], capture_output=True, text=True)
        assert result.returncode == 64 and word in result.stderr
    assert subprocess.run([APUS, "version"], capture_output=True, text=True).stdout.startswith("apus 0.")


def test_mistakes_are_errors():
    """What cannot be written, does not exist or is mistyped; and nobody is led to an option that deletes."""
    with folder("it-") as base:
        os.makedirs(base + "/data/images")
        with open("/dev/full", "w") as full:
            for arguments in (["image", "list", "--data", base + "/data"],):
                result = subprocess.run([APUS, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
                assert result.returncode == 1 and "No space left" in result.stderr, result
    for arguments, word in ((["help", "nosuch"], "nosuch"), (["buid"], "Did you mean 'build'?"), (["statsu"], "'status'")):
        result = subprocess.run([APUS, *arguments], capture_output=True, text=True)
        assert result.returncode == 64 and word in result.stderr, result
    result = subprocess.run([APUS, "down", "--force"], capture_output=True, text=True)
    assert result.returncode == 64 and "--force" in result.stderr and "purge'" not in result.stderr, result
    assert subprocess.run([APUS, "help", "up"], capture_output=True, text=True).returncode == 0


def test_a_port_in_use_is_named():
    with folder("it-") as base, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        directory = base + "/data"
        result = subprocess.run(
            [APUS, "up", "--data", directory, "--port", str(port)], capture_output=True, text=True, timeout=60)
        assert result.returncode == 1 and str(port) in result.stderr
        # A start that failed has touched nothing but its own directory.
        assert leftovers() == []
        subprocess.run([APUS, "down", "--purge", "--yes", "--data", directory], check=True, capture_output=True)
    assert leftovers() == []


def test_the_service_manager_is_told():
    """The protocol of sd_notify(3): what `Type=notify` of Scripts/apus.service waits for."""
    with folder("it-") as base, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(base + "/notify")
        manager.settimeout(60)
        directory = base + "/data"
        process = subprocess.Popen(
            [APUS, "up", "--data", directory], env={**os.environ, "NOTIFY_SOCKET": base + "/notify"},
            stdout=subprocess.DEVNULL)
        try:
            assert manager.recv(100) == b"READY=1"
            process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
        subprocess.run([APUS, "down", "--purge", "--yes", "--data", directory], check=True, capture_output=True)
    assert leftovers() == []
