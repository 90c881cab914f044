"""Pods on another container runtime: Debian's containerd, asked by CRI, with a root, a state and a network of its own.

Run by Scripts/integration. Its low-level runtime is crun, which the other tests need, too.
"""

import contextlib
import glob
import json
import os
import pty
import re
import socket
import subprocess

import pytest

from conftest import folder, fresh_server, wait_for
from containerd import BUSYBOX, CONTAINERD, Containerd
from test_pod_life import create, events, finished, log, ready, status

BOX = "localhost/box:1"

pytestmark = pytest.mark.skipif(CONTAINERD is None, reason="containerd is not installed: Scripts/setup tests fetches it")

@pytest.fixture(scope="module")
def containerd():
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("busybox-static is not installed")
    with folder("it-cri-") as base:
        runtime = Containerd(base)
        try:
            wait_for("containerd answers", lambda: runtime.ctr("version"))
            runtime.make("localhost/pause:1", ["/bin/sleep", "1000000"])
            runtime.make(BOX, ["/bin/sh"])
            # What is somebody else's stays.
            runtime.ctr("containers", "create", BOX, "foreign")
            yield runtime
            assert runtime.containers() == {"foreign"}, "a purge takes what it made, and nothing else"
            runtime.ctr("containers", "delete", "foreign")
        finally:
            runtime.stop()


@pytest.fixture(scope="module")
def server(containerd):
    with folder("it-") as base, fresh_server(
            base, "--registry", "none", "--container-runtime-endpoint", f"unix://{containerd.socket}") as server:
        yield server


def pod(name, *scripts, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 30, **spec, "containers": [
            {"name": f"c{number}", "image": BOX, **(
                script if isinstance(script, dict) else {"command": ["/bin/sh", "-c", script]})}
            for number, script in enumerate(scripts)]}}


LIVES = "trap 'exit 0' TERM; echo lives; while true; do sleep 0.1; done"


def container_status(server, name, index=0):
    return sorted(status(server, name)["containerStatuses"], key=lambda status: status["name"])[index]


def test_a_pod_runs_and_tells(server, containerd):
    node = server.json("get", "nodes")["items"][0]
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://1.")
    assert any(BOX in image["names"] for image in node["status"]["images"])
    create(server, pod(
        "first", {"command": ["/bin/sh", "-c", "cat /etc/hosts; hostname; echo $FROM_IMAGE $OWN; " + LIVES],
                  "env": [{"name": "FROM_POD", "value": "too"}, {"name": "OWN", "value": "$(FROM_POD)"}],
                  "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}},
        LIVES, hostAliases=[{"ip": "10.1.2.3", "hostnames": ["alias.test"]}]))
    found = ready(server, "first")
    assert found["podIP"].startswith("10.99.0.")
    text = log(server, "first", "lives", "-c", "c0")
    assert "10.1.2.3\talias.test" in text and f"{found['podIP']}\tfirst" in text and "\nfirst\n" in text
    assert "\nyes too\n" in text
    ids = {entry["containerID"] for entry in found["containerStatuses"]}
    assert len(ids) == 2 and all(entry.startswith("containerd://") for entry in ids)
    uid = server.json("get", "pod", "first")["metadata"]["uid"]
    # Two containers and their sandbox.
    assert len(containerd.of(uid)) == 3 and {entry.split("//")[1] for entry in ids} < containerd.of(uid)


def test_ends_are_told_and_policies_kept(server):
    create(
        server, pod("fails", "echo last words >/dev/termination-log; exit 3", restartPolicy="Never"),
        pod("succeeds", "exit 0", restartPolicy="OnFailure"), pod("returns", "echo again; exit 4"))
    end = finished(server, "fails")
    ended = end["containerStatuses"][0]["state"]["terminated"]
    assert end["phase"] == "Failed" and ended["exitCode"] == 3 and ended["message"] == "last words\n"
    assert finished(server, "succeeds")["phase"] == "Succeeded"
    back = wait_for("it was started again", lambda: (
        lambda found: found["restartCount"] >= 1 and found["lastState"].get("terminated") and found)(
            container_status(server, "returns")))
    assert back["lastState"]["terminated"]["exitCode"] == 4
    server.kubectl("delete", "pod", "fails", "succeeds", "returns", "--timeout=60s")


def test_probes_run_commands(server):
    create(server, pod("probed", {
        "command": ["/bin/sh", "-c", "while ! test -e /tmp/asked-twice; do sleep 0.1; done; touch /tmp/ok; exec sleep 3600"],
        "readinessProbe": {"periodSeconds": 1, "exec": {"command": [
            "/bin/sh", "-c",
            "test -e /tmp/asked && touch /tmp/asked-twice; touch /tmp/asked; test -e /tmp/ok"]}}}))
    ready(server, "probed")
    assert any("Readiness probe failed" in message for message in events(server, "probed", "Unhealthy"))
    server.kubectl("delete", "pod", "probed", "--grace-period=1", "--timeout=60s")


def test_volumes_are_mounted(server, tmp_path):
    (tmp_path / "given").write_text("by the host")
    create(server, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"key": "value"}}, pod(
        "mounts", {
            "command": ["/bin/sh", "-c", "cat /map/key; echo; cat /host/given; echo; cat /one; echo; "
                        "echo done >/shared/file; exec sleep 3600"],
            "volumeMounts": [
                {"name": "map", "mountPath": "/map"}, {"name": "host", "mountPath": "/host", "readOnly": True},
                {"name": "map", "mountPath": "/one", "subPath": "key"}, {"name": "empty", "mountPath": "/shared"}]},
        {"command": ["/bin/sh", "-c", "while ! test -e /shared/file; do sleep 0.1; done; cat /shared/file; exec sleep 3600"],
         "volumeMounts": [{"name": "empty", "mountPath": "/shared"}]},
        volumes=[{"name": "map", "configMap": {"name": "map"}}, {"name": "host", "hostPath": {"path": str(tmp_path)}},
                 {"name": "empty", "emptyDir": {}}]))
    ready(server, "mounts")
    log(server, "mounts", "value\nby the host\nvalue", "-c", "c0")
    log(server, "mounts", "done", "-c", "c1")
    server.kubectl("delete", "pod", "mounts", "--grace-period=1", "--timeout=60s")


def client(server, *arguments, **options):
    """A kubectl that stays."""
    return subprocess.Popen(
        ["kubectl", *arguments], env={**os.environ, "KUBECONFIG": server.kubeconfig, "HOME": os.path.dirname(server.data)},
        **options)


def test_exec(server):
    def run(*command, stdin=None, check=True):
        return server.kubectl(
            "exec", *(["-i"] if stdin is not None else []), "first", "-c", "c0", "--", *command, stdin=stdin, check=check)

    assert run("echo", "hi") == "hi\n"
    ended = run("sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert ended.returncode == 7 and ended.stdout == "out\n" and ended.stderr.startswith("err\n"), ended
    # Its input ends, and what was sent before comes back.
    text = "a line of text\n" * 50_000
    assert run("cat", stdin=text) == text
    assert run("sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x") == "x" * 5_000_000
    missing = run("/bin/none", check=False)
    assert missing.returncode not in (0, 7) and "/bin/none" in missing.stderr, missing


def test_exec_with_a_terminal(server):
    ours, theirs = pty.openpty()
    script = "test -t 0 && echo a terminal; read x; echo got $x; exit 3"
    process = client(
        server, "exec", "-it", "first", "-c", "c0", "--", "sh", "-c", script, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        seen = b""
        while b"a terminal" not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, b"hello\n")
        # The end of a terminal is an error to whoever reads the other side.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 4096):
                seen += piece
        assert process.wait(timeout=60) == 3 and b"got hello" in seen, seen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_attach(server):
    create(server, pod("talks", {
        "command": ["sh", "-c", "while read line; do echo heard $line; done; echo bye"], "stdin": True, "stdinOnce": True},
        restartPolicy="Never"))
    ready(server, "talks")
    attached = server.kubectl("attach", "-i", "talks", stdin="hello\n", check=False)
    assert attached.returncode == 0 and "heard hello" in attached.stdout, attached
    assert finished(server, "talks")["phase"] == "Succeeded"
    log(server, "talks", "heard hello\nbye")
    server.kubectl("delete", "pod", "talks", "--timeout=60s")


def test_port_forward(server):
    create(server, pod("serves", {"command": ["nc", "-ll", "-p", "7000", "-e", "/bin/echo", "served"]}))
    address = ready(server, "serves")["podIP"]
    wait_for("the pod listens", lambda: socket.create_connection((address, 7000), timeout=10).close() or True)
    process = client(
        server, "port-forward", "pod/serves", ":7000", ":9", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        ports = {}
        while len(ports) < 2:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line):
                ports[found[2]] = int(found[1])

        def ask(port):
            with socket.create_connection(("127.0.0.1", ports[port]), timeout=60) as connection:
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
                return answer

        for _ in range(3):
            assert ask("7000") == b"served\n"
        # Nobody listens there, and the client is told so. Some clients end with that.
        with contextlib.suppress(ConnectionError):
            assert ask("9") == b""
        while "refused" not in (line := process.stderr.readline()):
            assert line, "the client ended without the reason"
    finally:
        process.kill()
        process.wait()
    server.kubectl("delete", "pod", "serves", "--grace-period=1", "--timeout=60s")


def test_cp_both_ways(server, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    server.kubectl("cp", "-c", "c0", str(source), "first:/tmp/copied")
    server.kubectl("cp", "-c", "c0", "first:/tmp/copied", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    server.kubectl("exec", "first", "-c", "c0", "--", "rm", "/tmp/copied")


def test_what_cannot_be_done_is_said(server):
    create(server, pod("users", LIVES, hostUsers=False))
    wait_for("the reason is told", lambda: any(
        "hostUsers" in message for message in events(server, "users", "FailedCreatePodSandBox")))
    create(server, {**pod("missing", LIVES), "spec": {
        **pod("missing", LIVES)["spec"],
        "containers": [{"name": "c0", "image": "localhost/none:1", "imagePullPolicy": "Never"}]}})
    wait_for("the image is missed", lambda: "ErrImageNeverPull" in json.dumps(status(server, "missing")))
    server.kubectl("delete", "pod", "users", "missing", "--timeout=60s")


def test_a_killed_server_finds_its_pods(server, containerd):
    create(server, pod("ends", "while ! test -e /tmp/end; do sleep 0.1; done; exit 5"))
    ready(server, "ends")
    before = {entry["name"]: entry for entry in status(server, "first")["containerStatuses"]}
    made = containerd.containers()
    ending = container_status(server, "ends")["containerID"].split("//")[1]
    server.kill()
    containerd.ctr("tasks", "exec", "--exec-id", "end", ending, "/bin/touch", "/tmp/end")
    wait_for("it ended while nobody listened", lambda: "STOPPED" in "".join(
        line for line in containerd.ctr("tasks", "list").splitlines() if ending in line)
        or ending not in containerd.ctr("tasks", "list"))
    assert containerd.containers() == made
    server.start()
    again = wait_for("its end is told", lambda: (
        lambda found: found["restartCount"] == 1 and found["lastState"].get("terminated") and found)(
            container_status(server, "ends")))
    assert again["lastState"]["terminated"]["exitCode"] == 5
    ready(server, "first")
    after = {entry["name"]: entry for entry in status(server, "first")["containerStatuses"]}
    for name, entry in before.items():
        assert after[name]["containerID"] == entry["containerID"] and after[name]["restartCount"] == 0
        assert after[name]["state"]["running"]["startedAt"] == entry["state"]["running"]["startedAt"]
    uid = server.json("get", "pod", "first")["metadata"]["uid"]
    assert len(containerd.of(uid)) == 3, "nothing was started twice"
    server.kubectl("delete", "pod", "ends", "--grace-period=1", "--timeout=60s")


def test_another_runtime_is_refused_on_the_same_data(server, containerd):
    server.stop()
    result = subprocess.run(
        [server.process.args[0], "up", "--data", server.data, "--port", str(server.port), "--registry", "none"],
        capture_output=True, text=True, timeout=60)
    assert result.returncode != 0 and "--container-runtime-endpoint" in result.stderr
    server.start()
    ready(server, "first")


def test_deletion_leaves_nothing(server, containerd):
    uid = server.json("get", "pod", "first")["metadata"]["uid"]
    assert containerd.of(uid)
    server.kubectl("delete", "pod", "first", "--timeout=60s")
    assert containerd.of(uid) == set()
    assert not glob.glob(f"{server.data}/containers/cri/pods/{uid}") and not glob.glob(f"{server.data}/node/pods/{uid}")
    # One more, for the purge at the end.
    create(server, pod("stays", LIVES))
    ready(server, "stays")
