"""A disk that lies, and a hand that deletes: the data directory as a whole. Files one by one are in
Tests/Integration/test_damage.py."""

import contextlib
import glob
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest

from conftest import APUS, Server, folder, fresh_server, leftovers, wait_for

POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kept"},
    "spec": {"containers": [{"name": "c", "image": "localhost/web-app:1", "command": ["sleep", "86400"]}]}}


def container(server, name="kept"):
    status = server.json("get", "pod", name)["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"], status["state"]["running"]["startedAt"]


def run_pod(server, images):
    server.run("image", "import", str(images / "web-app-1.tar"))
    server.kubectl("create", "-f", "-", stdin=json.dumps(POD))
    server.kubectl("wait", "--for=condition=Ready", "pod/kept", "--timeout=60s")
    return container(server)


def refused(data, *options, port=7443):
    """The exit code and the words of a start that must not succeed."""
    result = subprocess.run(
        [APUS, "up", "--data", data, "--port", str(port), *options], capture_output=True, text=True, timeout=60)
    assert result.returncode, result.stdout
    return result.returncode, result.stderr


@pytest.fixture
def running(images):
    with folder("it-") as base, fresh_server(base) as server:
        server.before = run_pod(server, images)
        yield server


# One directory, one lock, one name.


def test_no_hand_opens_the_lock(running):
    """Whatever is removed or replaced, a second server is refused and the first one goes on."""
    data = running.data

    def attempt():
        code, text = refused(data)
        assert code == 75 and str(running.process.pid) in text, text

    attempt()
    for name in ("lock", "revision", "reserve"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{data}/state/{name}")
        attempt()
    os.rename(f"{data}/state", f"{data}/elsewhere")
    attempt()
    shutil.copytree(f"{data}/elsewhere", f"{data}/state")
    attempt()
    shutil.rmtree(f"{data}/state")
    os.rename(f"{data}/elsewhere", f"{data}/state")
    for name in ("cluster", "server.json", "pki/cluster"):
        os.rename(f"{data}/{name}", f"{data}/{name}.away")
        attempt()
        os.rename(f"{data}/{name}.away", f"{data}/{name}")
    link = data + ".link"
    os.symlink(data, link)
    code, text = refused(link)
    assert code == 75, text
    os.unlink(link)
    mounted = data + ".mount"
    os.mkdir(mounted)
    subprocess.run(["mount", "--bind", data, mounted], check=True)
    code, text = refused(mounted)
    assert code == 75, text
    subprocess.run(["umount", mounted], check=True)
    os.rmdir(mounted)
    running.kubectl("create", "configmap", "still-written")
    assert container(running) == running.before


def test_another_spelling_is_the_same_directory(running):
    data = running.data
    running.kill()
    base, name = os.path.split(data)
    os.symlink(name, f"{base}/link")
    os.symlink("link", f"{base}/chain")
    os.symlink(base, f"{base}/up")
    for spelling in (f"{base}/link", f"{base}/chain/", f"{base}/up/link", f"{base}//./up/../{os.path.basename(base)}/link"):
        running.data = spelling
        running.start()
        wait_for("it is taken over", lambda: running.kubectl("exec", "kept", "--", "echo", "here").strip() == "here")
        assert container(running) == running.before
        assert len(glob.glob("/run/apus/*")) == 1
        assert "data" in running.run("status").stdout
        running.kill()
    running.data = data
    running.start()


def test_a_purge_by_a_link_removes_what_is_there(images):
    with folder("it-") as base:
        os.mkdir(f"{base}/real")
        os.symlink("real", f"{base}/data")
        server = Server(f"{base}/data")
        server.start()
        wait_for("the node is there", lambda: server.json("get", "nodes")["items"])
        run_pod(server, images)
        result = server.run("down", "--purge", check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        server.process.wait()
        server.process.stdout.close()
        assert leftovers() == []
        assert not os.path.lexists(f"{base}/data") and not os.path.exists(f"{base}/real")


def test_a_start_right_after_a_kill_waits(running):
    """The process that was killed still holds the lock while it ends."""
    for _ in range(5):
        running.process.send_signal(signal.SIGKILL)
        dying = running.process
        running.start()
        dying.wait()
        dying.stdout.close()
    assert container(running) == running.before


def test_a_start_waits_for_a_killed_process_that_the_kernel_holds(running):
    freezer = "/sys/fs/cgroup/freezer"
    if not os.path.exists(f"{freezer}/tasks"):
        pytest.skip("no freezer of cgroup version 1")
    group = f"{freezer}/apus-test-{os.getpid()}"
    os.mkdir(group)
    dying = running.process
    try:
        open(f"{group}/cgroup.procs", "w").write(str(dying.pid))
        open(f"{group}/freezer.state", "w").write("FROZEN")
        wait_for("it is frozen", lambda: open(f"{group}/freezer.state").read() == "FROZEN\n")
        dying.send_signal(signal.SIGKILL)
        starting = subprocess.Popen(
            [APUS, "up", "--data", running.data], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        wait_for("it waits", lambda: f" {starting.pid} " in waiting(starting.pid))
        assert starting.poll() is None
        open(f"{group}/freezer.state", "w").write("THAWED")
        assert "is ready" in starting.stdout.readline()
        dying.wait()
        dying.stdout.close()
        running.process = starting
    finally:
        open(f"{group}/freezer.state", "w").write("THAWED")
        dying.wait()
        os.rmdir(group)
    assert container(running) == running.before


def waiting(process):
    """The process, when it waits for another one's end by a pidfd."""
    for link in glob.glob(f"/proc/{process}/fd/*"):
        with contextlib.suppress(OSError):
            if "pidfd" in os.readlink(link):
                return f" {process} "
    return ""


# New, or lost.


def test_an_unmounted_disk_is_not_a_new_cluster(running):
    data = running.data
    running.kill()
    os.rename(data, data + ".disk")
    os.mkdir(data)
    code, text = refused(data, port=6443)
    assert code == 1 and f"{data}/state" in text and "not mounted" in text
    assert not os.path.exists(f"{data}/state") and not os.path.exists(f"{data}/pki")
    os.rmdir(data)
    os.rename(data + ".disk", data)
    running.start()
    wait_for("it is taken over", lambda: running.kubectl("exec", "kept", "--", "echo", "here").strip() == "here")
    assert container(running) == running.before


def test_an_empty_store_ends_no_container(running):
    data = running.data
    state = f"{data}/state"
    running.stop()
    shutil.copytree(state, f"{data}/saved")

    def empty():
        open(f"{state}/state.db", "w").close()

    def emptied_with_log():
        open(f"{state}/state.db", "w").close()
        open(f"{state}/state.db-wal", "wb").write(b"\0" * 8192)

    def only_log():
        os.rename(f"{state}/state.db", f"{state}/state.db-wal")

    def marks_too():
        shutil.rmtree(state)
        for mark in (f"{data}/cluster", f"{data}/pki/cluster", *glob.glob("/run/apus/*/cluster")):
            os.unlink(mark)

    def another():
        os.unlink(f"{state}/state.db")
        database = sqlite3.connect(f"{state}/state.db")
        database.execute("CREATE TABLE entry (key TEXT)")
        database.commit()
        database.close()

    for damage in (empty, emptied_with_log, only_log, another, lambda: shutil.rmtree(state), marks_too):
        damage()
        code, text = refused(data, port=6443)
        assert code == 1 and state in text and "backup" in text, text
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(f"{data}/saved", state)
    running.start()
    wait_for("it is taken over", lambda: running.kubectl("exec", "kept", "--", "echo", "here").strip() == "here")
    assert container(running) == running.before


def test_a_damaged_object_is_named_and_can_be_given_up(running):
    running.kubectl("create", "configmap", "broken", "--from-literal=text=to-be-damaged-on-the-disk")
    running.kubectl("create", "configmap", "whole", "--from-literal=text=stays")
    running.stop()
    path = f"{running.data}/state/state.db"
    content = open(path, "rb").read()
    assert content.count(b"to-be-damaged") == 1
    open(path, "r+b").write(content.replace(b"to-be-damaged", b"to-be-dam\"ged"))
    code, text = refused(running.data, port=6443)
    assert code == 1 and "configmaps/default/broken" in text and "whole" not in text and "--accept-loss" in text, text
    running.options = ("--accept-loss",)
    running.start()
    assert {"whole", "kube-root-ca.crt"} == {
        item["metadata"]["name"] for item in running.json("get", "configmaps")["items"]}
    running.kubectl("create", "configmap", "broken")
    wait_for("it is taken over", lambda: running.kubectl("exec", "kept", "--", "echo", "here").strip() == "here")
    assert container(running) == running.before
    running.kill()
    running.options = ()
    running.start()


# A full disk.


def test_it_starts_on_a_full_disk(images):
    with folder("it-") as base:
        directory = f"{base}/data"
        os.mkdir(directory)
        # A small disk that an overlay accepts for its upper folders.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", directory], check=True)
        server = Server(directory)
        try:
            server.start()
            wait_for("the node is ready", lambda: "True" in server.kubectl(
                "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))
            before = run_pod(server, images)
            server.kubectl("create", "configmap", "old", "--from-literal=a=b")
            for stop in (server.stop, server.kill):
                stop()
                with open(f"{directory}/filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
                    while True:
                        filler.write(b"\0" * 65536)
                server.start()
                wait_for("it is taken over",
                         lambda: server.kubectl("exec", "kept", "--", "echo", "here").strip() == "here")
                assert container(server) == before
                assert server.json("get", "configmap", "old")["data"] == {"a": "b"}
                server.kubectl("label", "configmap", "old", f"{stop.__name__}=seen")
                result = server.kubectl("create", "secret", "generic", "new", f"--from-literal=a={'x' * 9000}", check=False)
                assert "is full" in result.stderr, result.stderr
                os.unlink(f"{directory}/filler")
                server.kubectl("create", "secret", "generic", f"after-{stop.__name__}")
            server.stop()
            with open(f"{directory}/filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(b"\0" * 65536)
            server.start()
            server.kubectl("delete", "configmap", "old")
            server.kubectl("delete", "pod", "kept", "--timeout=60s")
            os.unlink(f"{directory}/filler")
        finally:
            server.run("down", "--purge", check=False)
            subprocess.run(["umount", "--lazy", directory], check=False)
