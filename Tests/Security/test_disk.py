"""A disk that lies, and a hand that deletes: the data directory as a whole, and the content store. Files one by one are in
Tests/Integration/test_damage.py.

Run by Scripts/integration. Nobody gets a whole answer, a container or an archive with other bytes than a digest says.
"""

import contextlib
import glob
import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tarfile

import pytest

from conftest import APUS, ROOT, Server, folder, fresh_server, leftovers, wait_for


POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kept"},
    "spec": {"containers": [{"name": "c", "image": "localhost/web-app:1", "command": ["sleep", "86400"]}]}}


def container(server, name="kept"):
    status = server.json("get", "pod", name)["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"], status["state"]["running"]["startedAt"]


def is_taken_over(server):
    """The node runs commands only in containers that it knows."""
    return server.kubectl("exec", "kept", "--", "echo", "here", check=False).stdout.strip() == "here"


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
    for spelling in (f"{base}/link", f"{base}/chain", f"{base}/up/link", f"{base}//./up/../{os.path.basename(base)}/link"):
        running.data = spelling
        running.start()
        wait_for("it is taken over", lambda: is_taken_over(running))
        assert container(running) == running.before
        assert len(glob.glob("/run/apus/*/cluster")) == 1
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
        result = server.run("down", "--purge", "--yes", check=False)
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
    assert os.listdir(data) == []
    os.rmdir(data)
    os.rename(data + ".disk", data)
    running.start()
    wait_for("it is taken over", lambda: is_taken_over(running))
    assert container(running) == running.before


def test_an_empty_store_ends_no_container(running):
    data = running.data
    state = f"{data}/state"
    running.stop()
    shutil.copytree(state, f"{data}.saved")

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
        shutil.copytree(f"{data}.saved", state)
    running.start()
    wait_for("it is taken over", lambda: is_taken_over(running))
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
    wait_for("it is taken over", lambda: is_taken_over(running))
    assert container(running) == running.before
    running.kill()
    running.options = ()
    running.start()


# A full disk.


def fill(directory):
    with open(f"{directory}/filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"\0" * 65536)


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
                fill(directory)
                server.start()
                wait_for("it is taken over",
                         lambda: is_taken_over(server))
                assert container(server) == before
                assert server.json("get", "configmap", "old")["data"] == {"a": "b"}
                server.kubectl("label", "configmap", "old", f"{stop.__name__}=seen")
                result = server.kubectl("create", "secret", "generic", "new", f"--from-literal=a={'x' * 9000}", check=False)
                assert "is full" in result.stderr, result.stderr
                os.unlink(f"{directory}/filler")
                server.kubectl("create", "secret", "generic", f"after-{stop.__name__}")
            # What a start would make has to wait.
            server.kubectl("delete", "clusterrole", "view")
            server.stop()
            fill(directory)
            server.start()
            server.kubectl("delete", "configmap", "old")
            server.kubectl("delete", "pod", "kept", "--timeout=60s")
            os.unlink(f"{directory}/filler")
            wait_for("it is made", lambda: server.kubectl("get", "clusterrole", "view", check=False).returncode == 0)
        finally:
            print(open(os.path.join(base, "server.log"), errors="replace").read()[-20000:])
            server.run("down", "--purge", "--yes", check=False)
            subprocess.run(["umount", "--lazy", directory], check=False)


PORT = 5071


def flip(path, at=-1):
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(bytes([byte ^ 1]))


def flip_in_secret(path):
    status = os.stat(path)
    flip(path, 0)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path):
    size = os.path.getsize(path)
    with open(path + ".new", "wb") as file:
        file.write(b"\x07" * size)
    os.rename(path + ".new", path)


def link(path):
    os.rename(path, path + ".old")
    flip(path + ".old")
    os.symlink(path + ".old", path)


def pipe(path):
    os.unlink(path)
    os.mkfifo(path)


DAMAGES = {
    "flipped": flip, "flipped in secret": flip_in_secret, "cut": lambda path: os.truncate(path, os.path.getsize(path) - 1),
    "emptied": lambda path: os.truncate(path, 0), "longer": lambda path: open(path, "ab").write(b"x"),
    "replaced": replace, "a link": link, "a pipe": pipe, "gone": os.unlink,
}


class Registry:
    def __init__(self, base, name, port, configuration=""):
        self.data, self.port = os.path.join(base, name), port
        os.makedirs(self.data, exist_ok=True)
        with open(os.path.join(self.data, "registry.yaml"), "w") as file:
            file.write(configuration)

    def __enter__(self):
        self.process = subprocess.Popen(
            [APUS, "registry", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"], stdout=subprocess.PIPE,
            stderr=open(self.data + "/log", "ab"), text=True)
        assert "is ready" in self.process.stdout.readline(), open(self.data + "/log").read()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0
        self.process.stdout.close()

    def request(self, method, path, body=None, headers=None):
        """The status and the body; no status when the connection ended too early."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            self.headers = dict(answer.getheaders())
            return answer.status, answer.read()
        except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError):
            return None, b""
        finally:
            connection.close()

    def push(self, data, name="a"):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, _ = self.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert status == 201
        return digest

    def path(self, digest):
        return f"{self.data}/images/blobs/{digest.replace(':', '/')}"


@pytest.fixture(scope="module")
def base():
    with folder("it-disk-") as path:
        yield path


# For each test anew: a registry that runs on would be a leftover to the tests that start a whole server.
@pytest.fixture
def registry(base):
    with Registry(base, "plain", PORT) as registry:
        yield registry


@pytest.mark.parametrize("size", [100, 700_000, 5_000_000])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_blobs(registry, damage, size):
    for is_read in (False, True):
        data = os.urandom(size)
        digest = registry.push(data)
        if is_read:
            assert registry.request("GET", f"/v2/a/blobs/{digest}") == (200, data)
        DAMAGES[damage](registry.path(digest))
        status, _ = registry.request("GET", f"/v2/a/blobs/{digest}", headers={"Range": "bytes=5-9"} if is_read else {})
        assert status is None or status >= 400
        for method in ("HEAD", "GET"):
            assert registry.request(method, f"/v2/a/blobs/{digest}")[0] == 404
        registry.push(data)
        assert registry.request("GET", f"/v2/a/blobs/{digest}") == (200, data)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_kept_of_another_registry_is_repaired(base, registry, damage):
    small, large = os.urandom(1000), os.urandom(3_000_000)
    digests = [registry.push(small, "app"), registry.push(large, "app")]
    upstream = f"upstreams:\n  - {{prefix: up, registry: \"127.0.0.1:{PORT}\"}}\n"
    with Registry(base, "kept-" + damage.replace(" ", "-"), PORT + 1, upstream) as kept:
        for digest, data in zip(digests, (small, large)):
            assert kept.request("GET", f"/v2/up/app/blobs/{digest}") == (200, data)
            DAMAGES[damage](kept.path(digest))
            first = kept.request("GET", f"/v2/up/app/blobs/{digest}")
            assert first in ((200, data), (None, b"")), first[0]
            assert kept.request("GET", f"/v2/up/app/blobs/{digest}") == (200, data)


def run(*arguments, check=True):
    result = subprocess.run([APUS, *arguments], capture_output=True, text=True, timeout=120)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "replaced", "gone"])
def test_commands(base, images, damage):
    """Saving, pushing and building refuse; importing again heals."""
    data = os.path.join(base, "commands-" + damage)
    archive = str(images / "web-app-1.tar")
    run("image", "import", archive, "--data", data)
    blobs = f"{data}/images/blobs/sha256"
    largest = max((os.path.join(blobs, name) for name in os.listdir(blobs)), key=os.path.getsize)
    DAMAGES[damage](largest)
    assert run("image", "save", "localhost/web-app:1", "-o", f"{base}/out.tar", "--data", data, check=False).returncode
    assert not os.path.exists(f"{base}/out.tar")
    context = os.path.join(base, "context")
    os.makedirs(context, exist_ok=True)
    with open(f"{context}/Dockerfile", "w") as file:
        file.write("FROM localhost/web-app:1\nUSER 0\nRUN echo x > /x\n")
    assert run("build", "--data", data, "-t", "localhost/x:1", context, check=False).returncode
    run("image", "import", archive, "--data", data)
    run("build", "--data", data, "-t", "localhost/x:1", context)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_pod_does_not_run_what_was_damaged(base, images, damage):
    with folder("it-disk-pod-") as place, fresh_server(place) as server:
        server.run("image", "import", str(images / "web-app-1.tar"))
        blobs = f"{server.data}/images/blobs/sha256"
        largest = max((os.path.join(blobs, name) for name in os.listdir(blobs)), key=os.path.getsize)
        DAMAGES[damage](largest)
        server.kubectl("run", "x", "--image=localhost/web-app:1", "--image-pull-policy=IfNotPresent")
        wait_for("the pod says why it does not start", lambda: server.kubectl(
            "get", "pod", "x", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}") not in (
                "", "ContainerCreating", "PodInitializing"))
        server.run("image", "import", str(images / "web-app-1.tar"))
        wait_for("it starts from what was imported again", lambda: server.kubectl(
            "get", "pod", "x", "-o", "jsonpath={.status.phase}") == "Running", deadline=120)
