"""A disk that lies, and a hand that deletes: the content store.

Run by Scripts/integration. Nobody gets a whole answer, a container or an archive with other bytes than a digest says.
"""

import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import tarfile

import pytest

from conftest import APUS, ROOT, folder, fresh_server, wait_for

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


@pytest.fixture(scope="module")
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
        file.write("FROM localhost/web-app:1\nRUN echo x > /x\n")
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
