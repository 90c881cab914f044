"""Large images start before all of them is here: eStargz from a slow registry on the loopback address."""

import base64
import glob
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time

import pytest

from conftest import APUS, folder, fresh_server, wait_for
from test_pull import PASSWORD, USER, Registry, events, pod, running, secret, status

pytestmark = pytest.mark.skipif(
    not shutil.which("docker-registry"), reason="needs docker-registry: apt-get install docker-registry")

MIB = 1 << 20
FILES, FILE_SIZE = 10, 20 * MIB


class SlowLine:
    """A TCP proxy that lets so many bytes a second through in one direction, and counts them."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.rate = None
        self.bytes = 0
        self.sockets = set()
        self.lock = threading.Lock()
        self.next = 0.0
        self.server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            try:
                upstream = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            with self.lock:
                self.sockets |= {client, upstream}
            threading.Thread(target=self.copy, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self.copy, args=(upstream, client, True), daemon=True).start()

    def copy(self, source, target, counts):
        try:
            while data := source.recv(64 << 10):
                if counts:
                    self.pass_through(len(data))
                target.sendall(data)
        except OSError:
            pass
        finally:
            with self.lock:
                self.sockets -= {source, target}
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def pass_through(self, count):
        with self.lock:
            self.bytes += count
            wait = 0
            if self.rate:
                self.next = max(self.next, time.monotonic()) + count / self.rate
                wait = self.next - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    def close(self):
        self.server.close()
        with self.lock:
            sockets = list(self.sockets)
        for end in sockets:
            end.close()


class World:
    """A registry behind a slow line, with one large image in it, and a node that has not seen it."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.registry = Registry(base, 5560)
        self.private = Registry(base, 5562, PASSWORD)
        self.line = SlowLine(5561, 5560)
        self.private_line = SlowLine(5563, 5562)
        self.context = self.base / "context"
        (self.context / "data").mkdir(parents=True)
        self.sums = []
        for index in range(FILES):
            content = random.Random(index).randbytes(FILE_SIZE)
            (self.context / f"data/{index}").write_bytes(content)
            self.sums.append(hashlib.sha256(content).hexdigest())
        shutil.copy("/bin/busybox", self.context / "busybox")
        (self.context / "Dockerfile").write_text(
            'FROM scratch\nCOPY busybox /busybox\nCOPY data /data\nCMD ["/busybox", "sleep", "3600"]\n')

    def name(self, repository, registry=5561):
        return f"127.0.0.1:{registry}/{repository}:1"

    def build(self, repository, compression="estargz", label="1", registry=5560, env=None):
        subprocess.run(
            [APUS, "build", "--data", str(self.base / "builder"), "--progress", "plain", "--compression", compression,
             "--label", f"test={label}", "-t", self.name(repository, registry), "--push", str(self.context)],
            check=True, capture_output=True, timeout=300, env={**os.environ, **(env or {})})

    def manifest(self, repository):
        _, data = self.registry.request(
            "GET", f"/v2/{repository}/manifests/1", Accept="application/vnd.oci.image.manifest.v1+json")
        return json.loads(data)


@pytest.fixture(scope="module")
def world():
    with folder("lazy-") as base:
        world = World(base)
        try:
            world.registry.start()
            world.private.start()
            world.build("team/big")
            yield world
        finally:
            world.line.close()
            world.private_line.close()
            world.registry.stop()
            world.private.stop()


@pytest.fixture
def lazy(world):
    """A fresh server that starts images lazily; at its end nothing may be left."""
    world.line.rate = world.private_line.rate = 6 * MIB
    with folder("it-") as base, fresh_server(base, "--lazy-pull", "--registry", "none") as server:
        yield server


def start(server, name, image, **container):
    body = json.loads(pod(name, image, command=["/busybox", "sleep", "3600"], **container))
    server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    wait_for(f"{name} runs", lambda: running(server, name))


def host_process(server, name):
    """The container's first process as the machine sees it."""
    container = status(server, name)["containerID"].split("//")[1]
    return json.load(open(f"{server.data}/containers/containers/{container}/record.json"))["process"]["pid"]


def checksum(process, index):
    """Of a file, as the container sees it."""
    with open(f"/proc/{process}/root/data/{index}", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def servers():
    """The processes that serve layers."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if b"\0lazy-layer\0" in open(path, "rb").read():
                found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def mounts():
    return [line.split()[4] for line in open("/proc/self/mountinfo") if " apus-lazy " in line]


def folders(server):
    return glob.glob(f"{server.data}/images/lazy/*") + glob.glob("/run/apus/*/lazy/*")


def is_gone(server):
    return not servers() and not mounts() and not folders(server)


def blob(server, digest):
    return f"{server.data}/images/blobs/{digest.replace(':', '/')}"


def test_it_starts_with_a_small_share_of_its_bytes(world, lazy):
    size = sum(layer["size"] for layer in world.manifest("team/big")["layers"])
    assert size > 190 * MIB
    world.line.bytes = 0
    start(lazy, "big", world.name("team/big"))
    fetched = world.line.bytes
    assert fetched < size / 4, f"{fetched} of {size} bytes"
    print(f"running after {fetched} of {size} bytes")
    told = [message for kind, reason, message in events(lazy, "big") if reason == "Pulled"]
    assert len(told) == 1 and " The container starts while " in told[0], told
    assert status(lazy, "big")["imageID"].startswith("127.0.0.1:5561/team/big@sha256:")
    assert len(servers()) == 1 and len(mounts()) >= 1
    # What is read last comes at once, and is right.
    process = host_process(lazy, "big")
    assert checksum(process, FILES - 1) == world.sums[FILES - 1]

    # The server dies: the container reads on, also what is not here yet.
    before = status(lazy, "big")
    lazy.kill()
    assert checksum(process, FILES - 2) == world.sums[FILES - 2]
    lazy.start()
    wait_for("the pod is as it was", lambda: status(lazy, "big") == before)
    assert len(servers()) == 1

    # A second container of the image joins.
    start(lazy, "second", world.name("team/big"), imagePullPolicy="IfNotPresent")
    assert len(servers()) == 1
    assert checksum(host_process(lazy, "second"), FILES - 1) == world.sums[FILES - 1]

    # The registry goes away and comes again: who reads waits, and gets what is right.
    world.registry.stop()
    answers = []
    reader = threading.Thread(target=lambda: answers.append(checksum(process, FILES // 2)))
    reader.start()
    assert lazy.kubectl("exec", "big", "--", "/busybox", "ls", "/data").split() == [str(i) for i in range(FILES)]
    world.registry.start()
    reader.join(timeout=60)
    assert answers == [world.sums[FILES // 2]]

    # All of it comes in the background, becomes an ordinary blob, and later containers use what is unpacked of it.
    world.line.rate = None
    layers = [layer for layer in world.manifest("team/big")["layers"]]
    wait_for("the layers are in the store", lambda: all(os.path.exists(blob(lazy, layer["digest"])) for layer in layers))
    for layer in layers:
        with open(blob(lazy, layer["digest"]), "rb") as file:
            assert "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() == layer["digest"]
    wait_for("nothing is mounted for newcomers", lambda: not mounts())
    world.registry.stop()
    try:
        start(lazy, "third", world.name("team/big"), imagePullPolicy="IfNotPresent")
    finally:
        world.registry.start()
    assert checksum(host_process(lazy, "third"), 3) == world.sums[3]
    assert len(servers()) == 1, "the first two still use it"
    # Pages that the kernel keeps could hide that nobody serves them any more.
    open("/proc/sys/vm/drop_caches", "w").write("3")
    assert checksum(process, 1) == world.sums[1]
    assert status(lazy, "big")["restartCount"] == 0
    lazy.kubectl("delete", "pod", "big", "second", "--now")
    wait_for("the process has ended", lambda: is_gone(lazy))
    assert running(lazy, "third")


def test_when_its_process_is_killed_it_starts_anew(world, lazy):
    world.line.rate = 20 * MIB
    start(lazy, "dies", world.name("team/big"))
    process = host_process(lazy, "dies")
    os.kill(servers()[0], signal.SIGKILL)
    with pytest.raises(OSError):
        checksum(process, FILES - 1)
    wait_for("the container is started again", lambda: status(lazy, "dies")["restartCount"] == 1 and running(lazy, "dies"))
    assert is_gone(lazy)
    again = host_process(lazy, "dies")
    assert again != process and checksum(again, FILES - 1) == world.sums[FILES - 1]
    assert "127.0.0.1:5561/team/big@sha256:" in status(lazy, "dies")["imageID"]
    told = [message for _, reason, message in events(lazy, "dies") if reason == "Pulled"]
    assert any(" starts while " not in message for message in told), told


def test_when_both_are_killed_it_starts_anew(world, lazy):
    world.line.rate = 20 * MIB
    start(lazy, "both", world.name("team/big"))
    lazy.kill()
    os.kill(servers()[0], signal.SIGKILL)
    lazy.start()
    wait_for("the container is started again", lambda: status(lazy, "both")["restartCount"] == 1 and running(lazy, "both"))
    assert checksum(host_process(lazy, "both"), 0) == world.sums[0]
    assert is_gone(lazy)


def test_with_the_last_container_goes_what_was_fetched(world, lazy):
    start(lazy, "short", world.name("team/big"))
    assert not is_gone(lazy)
    lazy.kubectl("delete", "pod", "short", "--now")
    wait_for("the process has ended", lambda: is_gone(lazy))
    # And it starts so once more.
    start(lazy, "short", world.name("team/big"))
    assert len(servers()) == 1
    # Left as it is: the purge takes all of it.


def test_credentials_come_to_the_process_and_nowhere_else(world, lazy):
    config = world.base / "docker"
    config.mkdir(exist_ok=True)
    (config / "config.json").write_text(json.dumps({"auths": {
        world.private.name: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}}))
    world.build("team/secret", registry=5562, env={"DOCKER_CONFIG": str(config), "REGISTRY_AUTH_FILE": str(config / "config.json")})
    line = type("Line", (), {"name": "127.0.0.1:5563"})
    secret(lazy, "right", line)
    body = json.loads(pod("secret", world.name("team/secret", 5563), ["right"], command=["/busybox", "sleep", "3600"]))
    lazy.kubectl("create", "-f", "-", stdin=json.dumps(body))
    wait_for("it runs", lambda: running(lazy, "secret"))
    assert checksum(host_process(lazy, "secret"), 7) == world.sums[7]
    [process] = servers()
    told = open(f"/proc/{process}/cmdline").read() + open(f"/proc/{process}/environ").read()
    for path in glob.glob(f"{lazy.data}/images/lazy/*/*"):
        if os.path.getsize(path) < MIB:
            told += open(path, errors="replace").read()
    for word in (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
        assert word not in told


def test_other_images_are_pulled_as_ever(world, lazy):
    world.line.rate = None
    world.build("team/plain", compression="gzip", label="plain")
    start(lazy, "plain", world.name("team/plain"))
    assert is_gone(lazy)
    assert all(os.path.exists(blob(lazy, layer["digest"])) for layer in world.manifest("team/plain")["layers"])
    told = [message for _, reason, message in events(lazy, "plain") if reason == "Pulled"]
    assert len(told) == 1 and told[0].endswith(" bytes."), told


def test_others_read_it_as_a_plain_image(world, tmp_path):
    source = "docker://127.0.0.1:5560/team/big:1"
    subprocess.run(["skopeo", "copy", "--src-tls-verify=false", source, f"oci:{tmp_path}/layout:1"], check=True, capture_output=True)
    manifest = world.manifest("team/big")
    [layer] = [layer for layer in manifest["layers"] if layer["size"] > 100 * MIB]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert layer["annotations"]["containerd.io/snapshot/stargz/toc.digest"].startswith("sha256:")
    with tarfile.open(f"{tmp_path}/layout/blobs/{layer['digest'].replace(':', '/')}", "r:gz") as tar:
        names = tar.getnames()
        assert names[-1] == "stargz.index.json" and ".no.prefetch.landmark" in names
        toc = tar.extractfile("stargz.index.json").read()
        assert layer["annotations"]["containerd.io/snapshot/stargz/toc.digest"] == "sha256:" + hashlib.sha256(toc).hexdigest()
        for index in (0, FILES - 1):
            assert hashlib.sha256(tar.extractfile(f"data/{index}").read()).hexdigest() == world.sums[index]
    if not shutil.which("podman"):
        return
    # podman wants a short one.
    podman = ["podman", "--root", f"{world.base}/storage", "--runroot", f"{world.base}/run", "--storage-driver", "vfs"]

    def run(*arguments):
        result = subprocess.run([*podman, *arguments], capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()
    run("pull", "--tls-verify=false", "127.0.0.1:5560/team/big:1")
    mounted = run("image", "mount", "127.0.0.1:5560/team/big:1")
    assert hashlib.sha256(pathlib.Path(mounted, "data/3").read_bytes()).hexdigest() == world.sums[3]
    run("image", "umount", "--all")
