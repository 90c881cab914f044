"""A local user of the host: an account on the machine, no root and no kubeconfig."""

import glob
import json
import os
import stat

import pytest

from conftest import as_local_user, wait_for

IMAGE = "localhost/web-app:1"
def reached(paths):
    """Those of the paths that can be looked at."""
    found = []
    for path in paths:
        try:
            os.lstat(os.fsencode(path))
            found.append(path)
        except OSError:
            pass
    return found


def run_directory(server):
    digest = 2_166_136_261
    for byte in server.data.encode():
        digest = (digest ^ byte) * 16_777_619 & 0xFFFFFFFF
    return f"/run/apus/{digest:08x}"


def everything(folder):
    """Every path below the folder, without crossing into /proc or the like."""
    paths = []
    for root, folders, files in os.walk(folder):
        paths += [os.path.join(root, name) for name in folders + files]
    return paths


@pytest.fixture(scope="module")
def pod(server):
    """A pod that leaves behind whatever a local user could want."""
    # The test's own folder is closed: the attacker stands right before the data directory.
    os.chmod(os.path.dirname(server.data), 0o711)
    script = """
        cp() { busybox cp /bin/busybox $1; busybox chmod 4755 $1; }
        cp /rootkit; cp /v/rootkit; cp /m/rootkit; cp /etc/hosts; cp /dev/termination-log
        busybox mknod /v/disk b 8 0; busybox chmod 666 /v/disk; busybox mknod /disk b 8 0; busybox chmod 666 /disk
        busybox mkfifo -m 666 /v/pipe; busybox chmod 777 / /v /m /v/* 2>/dev/null
        echo secret > /dev/shm/shared; busybox chmod 666 /dev/shm/shared
        busybox nc -ll -lk local:/v/socket -e true & echo line; touch /tmp/ready; sleep 3600
    """
    objects = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "s3cret"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"config": "c"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "victim"}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "c", "image": IMAGE, "command": ["sh", "-c", script],
                "readinessProbe": {"exec": {"command": ["sh", "-c", "test -e /tmp/ready"]}, "periodSeconds": 1},
                "securityContext": {"runAsUser": 0},
                "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}],
                "volumeMounts": [
                    {"name": "v", "mountPath": "/v"}, {"name": "m", "mountPath": "/m"}, {"name": "s", "mountPath": "/s"},
                    {"name": "c", "mountPath": "/c"}, {"name": "v", "mountPath": "/sub", "subPath": "made/here"}]}],
            "volumes": [
                {"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}},
                {"name": "s", "secret": {"secretName": "s"}}, {"name": "c", "configMap": {"name": "c"}}]}}]
    server.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    server.kubectl("wait", "--for=condition=Ready", "pod/victim", "--timeout=60s")
    yield server.json("get", "pod", "victim")["metadata"]["uid"]
    server.kubectl("delete", "pod", "victim")


def test_nothing_of_a_pod_can_be_reached(server, pod):
    run = run_directory(server)
    paths = [server.data, run] + everything(server.data) + everything(run)
    # The attacker's list is a good one: what he wants is in it.
    wanted = ["rootkit", "disk", "pipe", "shared", "password", "token", "termination-log", "hosts", "config.json", "net",
              "0.log", "pod.json", "record.json", "attach", "state.db"]
    assert not [name for name in wanted if not any(path.endswith("/" + name) for path in paths)]
    found = as_local_user(reached, paths)
    allowed = {os.path.join(server.data, name).rstrip("/") for name in os.listdir(server.data)} | {server.data, run}
    assert not set(found) - allowed
    # Of what has a name that everybody may know, only these can be opened.
    def openable(names):
        found = []
        for name in names:
            try:
                os.close(os.open(name, os.O_RDONLY))
                found.append(name)
            except OSError:
                pass
        return found
    assert set(as_local_user(openable, sorted(allowed))) <= {server.data, os.path.join(server.data, "server.json")}


@pytest.mark.parametrize("pattern", [
    "containers/containers/*/upper/rootkit", "containers/containers/*/rootfs/rootkit", "node/pods/*/volumes/v/rootkit",
    "node/pods/*/volumes/m/rootkit", "containers/sandboxes/*/hosts", "containers/containers/*/termination-log",
    "images/unpacked/*/fs/bin/busybox"])
def test_no_program_of_a_container_is_run(server, pod, pattern):
    """A set-user-id program that a container made, or an image brought, makes nobody root."""
    programs = [path for path in glob.glob(f"{server.data}/{pattern}") if os.access(path, os.X_OK)]
    assert programs

    def execute(program):
        os.execv(program, ["busybox", "id", "-u"])

    for program in programs:
        assert as_local_user(execute, program) in ("PermissionError", "FileNotFoundError")


@pytest.mark.parametrize("name, flags", [
    ("volumes/*/s/password", os.O_RDONLY), ("volumes/*/kube-api-access*/token", os.O_RDONLY),
    ("shm/*/shared", os.O_RDWR), ("shm/*/new", os.O_WRONLY | os.O_CREAT), ("ns/*/net", os.O_RDONLY),
    ("volumes", os.O_RDONLY), ("shm", os.O_RDONLY)])
def test_memory_is_for_root(server, pod, name, flags):
    places = glob.glob(f"{run_directory(server)}/{name}") or [
        os.path.join(folder, os.path.basename(name)) for folder in glob.glob(f"{run_directory(server)}/{os.path.dirname(name)}")]
    assert places

    def use(path):
        return os.open(path, flags, 0o600)

    for path in places:
        assert as_local_user(use, path) == "PermissionError"


@pytest.mark.parametrize("name, flags", [
    ("containers/containers/*/termination-log", os.O_RDWR), ("node/pods/*/volumes/v/disk", os.O_RDWR),
    ("containers/containers/*/upper/disk", os.O_RDWR), ("node/pods/*/volumes/v/pipe", os.O_RDWR | os.O_NONBLOCK),
    ("node/pods/*/volumes/c/config", os.O_RDONLY), ("node/pods/*/logs/c/0.log", os.O_RDONLY),
    ("node/pods/*/pod.json", os.O_RDONLY), ("containers/containers/*/config.json", os.O_RDONLY),
    ("network", os.O_RDONLY), ("cni", os.O_RDONLY), ("pki", os.O_RDONLY), ("kubeconfig", os.O_RDONLY)])
def test_the_disk_is_for_root(server, pod, name, flags):
    places = glob.glob(f"{server.data}/{name}")
    assert places

    def use(path):
        return os.open(path, flags)

    for path in places:
        assert as_local_user(use, path) == "PermissionError"


def test_folders_that_an_earlier_server_left_open_are_closed(server, pod):
    run = run_directory(server)
    server.kill()
    for folder in [run] + [os.path.join(server.data, name) for name in ("containers", "node", "images", "network", "cni")]:
        os.chmod(folder, 0o755)
    server.start()
    wait_for("the node serves again", lambda: server.kubectl("get", "pod", "victim"))
    wait_for("the folders are closed", lambda: not [
        folder for folder in [run] + [os.path.join(server.data, n) for n in ("containers", "node", "images", "network", "cni")]
        if stat.S_IMODE(os.stat(folder).st_mode) & 0o077])
    assert server.kubectl("exec", "victim", "--", "cat", "/s/password") == "s3cret"
