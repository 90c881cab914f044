"""The apus command as scripts use it."""

import json
import os
import re
import shutil
import socket
import subprocess

from conftest import APUS, ROOT, Server, folder, leftovers, wait_for


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
        # A start that failed has touched nothing but its own folders.
        assert [what for what in leftovers() if not what.startswith("/run/apus/")] == []
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


def test_a_server_alone_needs_no_node():
    """The API and its controllers: no container engine is asked for, and no network is made."""
    with folder("it-") as base:
        directory = base + "/data"
        os.mkdir(directory)
        server = Server(directory, options=("--role", "server", "--registry", "127.0.0.1:0", "--runtime", "/nowhere"))
        server.start()
        try:
            assert server.json("get", "nodes")["items"] == []
            server.kubectl("create", "namespace", "lonely")
            wait_for("the controllers run", lambda: not server.kubectl(
                "get", "serviceaccount", "-n", "lonely", "default", check=False).returncode)
            server.kubectl("create", "deployment", "web", "--image=localhost/web:1")
            pod = wait_for("a pod is made", lambda: server.json("get", "pods")["items"])[0]
            assert pod["status"]["phase"] == "Pending"
            # Nothing of the machine is touched.
            assert not os.path.exists(directory + "/network") and not os.path.exists(directory + "/containers/containers")
            assert [what for what in leftovers() if not re.search("^/run/apus/|: apus$", what)] == []
        finally:
            server.stop()
        assert server.run("down", "--purge", "--yes").returncode == 0
        assert leftovers() == [] and not os.path.exists(directory)


def test_a_node_alone_says_why_not():
    result = subprocess.run([APUS, "up", "--role", "node"], capture_output=True, text=True)
    assert result.returncode == 64 and "cannot join a server over the network yet" in result.stderr, result.stderr


def doctor(directory, *options):
    result = subprocess.run([APUS, "doctor", "--data", directory, *options], capture_output=True, text=True)
    lines = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    return result, {line[9:29].strip(): (line[:9].strip(), line[30:]) for line in lines}


def test_the_doctor_looks_at_the_machine():
    with folder("it-") as base:
        directory = base + "/data"
        os.mkdir(directory)
        result, found = doctor(directory)
        assert result.returncode == 0, result.stdout
        assert found["data directory"][0] == "ok" and found["crun"][0] == "ok" and found["nft"][0] == "ok", result.stdout
        assert os.listdir(directory) == []
        server = Server(directory)
        server.start()
        try:
            result, found = doctor(directory)
            assert result.returncode == 0, result.stdout
            assert found["port 6443"] == ("ok", "this server's") and found["folders"][0] == "ok", result.stdout
            # Another one beside it, with the same options.
            result, found = doctor(base + "/other")
            assert result.returncode == 1 and found["port 6443"][0] == "problem", result.stdout
            assert found["other servers"][0] == "problem" and directory in found["other servers"][1], result.stdout
            assert "apus up --data " + base + "/other" in result.stdout
            assert not os.path.exists(base + "/other")
            os.chmod(directory + "/pki", 0o755)
            result, found = doctor(directory)
            assert result.returncode == 1 and found["folders"][0] == "problem", result.stdout
            os.chmod(directory + "/pki", 0o700)
        finally:
            server.stop()
        # Its data are deleted by hand: what is left of it is told, with what removes it.
        shutil.rmtree(directory)
        result, found = doctor(base + "/other")
        assert found["leftovers"][0] == "warning" and f"apus down --purge --data {directory}" in result.stdout, result.stdout
        assert server.run("down", "--purge", "--yes").returncode == 0
        result, found = doctor(base + "/other")
        assert found["leftovers"][0] == "ok", result.stdout
    assert leftovers() == []


def test_the_installed_program_is_stripped():
    with folder("it-") as base:
        subprocess.run(
            ["make", "-s", "-C", str(ROOT), "-o", "release", "install", f"PROGRAM={APUS}", f"DESTDIR={base}"], check=True)
        program = base + "/usr/local/bin/apus"
        sections = subprocess.check_output(["readelf", "-SW", program], text=True)
        assert ".text" in sections and ".symtab" not in sections and ".debug_info" not in sections
        assert subprocess.check_output([program, "version"], text=True).startswith("apus 0.")
        assert os.path.getsize(program) < os.path.getsize(APUS)
        assert set(os.listdir(base + "/etc/systemd/system")) == {"apus.service", "apus.socket", "apus-registry.socket"}
