"""Images from a registry: Debian's docker-registry on the loopback address, with and without a password."""

import base64
import contextlib
import copy
import gzip
import hashlib
import http.client
import json
import shutil
import signal
import socket
import subprocess
import tarfile

import pytest

from conftest import folder, wait_for

pytestmark = pytest.mark.skipif(
    not shutil.which("docker-registry"), reason="needs docker-registry: apt-get install docker-registry")

USER, PASSWORD = "puller", "a secret"
# bcrypt of the password: the registry takes nothing else, and Python has no bcrypt of its own.
HTPASSWD = "$2b$04$0L9ZDLVpKliR9kExxjZnVe9Aw0BIzfgmh/tGNo8osKgngVCHzl0dm"


class Registry:
    """A registry of its own; with a password when one is given."""

    def __init__(self, base, port, password=None):
        self.name = f"127.0.0.1:{port}"
        self.port = port
        self.base = base
        self.headers = {}
        self.process = None
        config = {
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": f"{base}/{port}"}, "delete": {"enabled": True}},
            "http": {"addr": self.name}}
        if password:
            with open(f"{base}/{port}.htpasswd", "w") as file:
                file.write(f"{USER}:{HTPASSWD}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": f"{base}/{port}.htpasswd"}}
            self.headers["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()
        self.config = f"{base}/{port}.json"
        with open(self.config, "w") as file:
            json.dump(config, file)  # JSON is YAML, too.

    def start(self):
        self.log = open(f"{self.base}/{self.port}.log", "ab")
        self.process = subprocess.Popen(["docker-registry", "serve", self.config], stdout=self.log, stderr=self.log)

        def listens():
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout=1)):
                return True
        wait_for(f"the registry at {self.name} listens", listens)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.log.close()

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {data[:300]}"
        return answer, data

    def push(self, repository, tag, image):
        """Pushes what `layout` read; gives the manifest's digest."""
        for blob in image.blobs.values():
            answer, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
            location = answer.headers["Location"].split(self.name)[-1]
            self.request("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest(blob)}", blob,
                         Content_Type="application/octet-stream")
        answer, _ = self.request("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest,
                                 Content_Type="application/vnd.oci.image.manifest.v1+json")
        assert answer.headers["Docker-Content-Digest"] == digest(image.manifest)
        return digest(image.manifest)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Image:
    """The one image of an OCI layout in a tar."""

    def __init__(self, path):
        with tarfile.open(path) as tar:
            def read(name):
                return tar.extractfile(next(m for m in tar.getmembers() if m.name.removeprefix("./") == name)).read()
            entry = json.loads(read("index.json"))["manifests"][0]
            manifest = json.loads(read("blobs/sha256/" + entry["digest"].split(":")[1]))
            self.config = json.loads(read("blobs/sha256/" + manifest["config"]["digest"].split(":")[1]))
            self.layers = [read("blobs/sha256/" + layer["digest"].split(":")[1]) for layer in manifest["layers"]]
        # Compressed, as registries have them.
        self.layers = [layer if layer[:2] == b"\x1f\x8b" else gzip.compress(layer, 1, mtime=0) for layer in self.layers]

    def changed(self, **config):
        """The same image with another configuration."""
        other = copy.deepcopy(self)
        other.config["config"].update(config)
        return other

    @property
    def config_bytes(self):
        return json.dumps(self.config).encode()

    @property
    def blobs(self):
        return {digest(blob): blob for blob in [self.config_bytes, *self.layers]}

    @property
    def manifest(self):
        def descriptor(kind, blob):
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(blob), "size": len(blob)}
        return json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", self.config_bytes),
            "layers": [descriptor("layer.v1.tar+gzip", layer) for layer in self.layers]}).encode()


@pytest.fixture(scope="module")
def image(images):
    return Image(images / "web-app-1.tar")


@pytest.fixture(scope="module")
def registries():
    with folder("registry-") as base:
        opened, closed = Registry(base, 5551), Registry(base, 5552, PASSWORD)
        try:
            opened.start()
            closed.start()
            yield opened, closed
        finally:
            opened.stop()
            closed.stop()


def pod(name, image, secrets=(), **container):
    return json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "imagePullSecrets": [{"name": secret} for secret in secrets],
            "containers": [{"name": "main", "image": image, "command": ["sleep", "3600"], **container}]}})


def status(server, name):
    return server.json("get", "pod", name)["status"].get("containerStatuses", [{}])[0]


def waiting(server, name):
    return status(server, name).get("state", {}).get("waiting", {})


def running(server, name):
    return "running" in status(server, name).get("state", {})


def events(server, name):
    items = server.json("get", "events", "--field-selector", f"involvedObject.name={name}")["items"]
    return [(item["type"], item["reason"], item["message"]) for item in items]


def secret(server, name, registry, password=PASSWORD):
    server.kubectl("create", "secret", "docker-registry", name, f"--docker-server={registry.name}",
                   f"--docker-username={USER}", f"--docker-password={password}")


def test_an_image_is_pulled_and_pinned_by_its_digest(server, registries, image):
    registry, _ = registries
    pushed = registry.push("team/app", "1", image)
    name = f"{registry.name}/team/app:1"
    server.kubectl("create", "-f", "-", stdin=pod("pull", name))
    wait_for("the pod runs", lambda: running(server, "pull"))
    assert status(server, "pull")["imageID"] == f"{registry.name}/team/app@{pushed}"
    told = wait_for("events", lambda: [e for e in events(server, "pull") if e[1] == "Started"] and events(server, "pull"))
    assert ("Normal", "Pulling", f'Pulling image "{name}"') in told
    pulled = [message for kind, reason, message in told if (kind, reason) == ("Normal", "Pulled")]
    assert len(pulled) == 1 and pulled[0].startswith(f'Successfully pulled image "{name}" in '), told
    assert pulled[0].endswith(" bytes.") and " including waiting). Image size: " in pulled[0]

    # By its digest, and by its name while the registry is away: it is here.
    registry.stop()
    try:
        server.kubectl("create", "-f", "-", stdin=pod("by-digest", f"{registry.name}/team/app@{pushed}"))
        server.kubectl("create", "-f", "-", stdin=pod("here", name, imagePullPolicy="IfNotPresent"))
        for other in ("by-digest", "here"):
            wait_for(f"{other} runs", lambda: running(server, other))
            assert status(server, other)["imageID"] == f"{registry.name}/team/app@{pushed}"
        # Always means to ask.
        server.kubectl("create", "-f", "-", stdin=pod("asks", name, imagePullPolicy="Always"))
        wait_for("asking fails", lambda: waiting(server, "asks").get("reason") in ("ErrImagePull", "ImagePullBackOff"))
        assert registry.name in waiting(server, "asks")["message"]
    finally:
        registry.start()
    wait_for("it asks again", lambda: running(server, "asks"))
    server.kubectl("delete", "pod", "pull", "by-digest", "here", "asks")


def test_a_wrong_tag_backs_off_and_recovers_when_it_is_pushed(server, registries, image):
    registry, _ = registries
    registry.push("team/late", "1", image)
    name = f"{registry.name}/team/late:2"
    server.kubectl("create", "-f", "-", stdin=pod("late", name))
    wait_for("ErrImagePull", lambda: any(e[1:] == ("Failed", "Error: ErrImagePull") for e in events(server, "late")))
    wait_for("ImagePullBackOff", lambda: waiting(server, "late").get("reason") == "ImagePullBackOff")
    message = waiting(server, "late")["message"]
    assert message.startswith(f'Back-off pulling image "{name}": ErrImagePull: '), message
    wait_for("the back-off is told", lambda: ("Normal", "BackOff", f'Back-off pulling image "{name}"') in events(server, "late"))
    assert server.json("get", "pod", "late")["status"]["phase"] == "Pending"
    log = server.kubectl("logs", "late", check=False)
    assert log.returncode and "trying and failing to pull image" in log.stderr
    registry.push("team/late", "2", image)
    wait_for("it recovers", lambda: running(server, "late"))
    assert status(server, "late")["restartCount"] == 0
    server.kubectl("delete", "pod", "late")


def test_secrets_open_a_private_registry(server, registries, image):
    _, registry = registries
    pushed = registry.push("private/app", "1", image.changed(Labels={"private": "1"}))
    name = f"{registry.name}/private/app:1"
    secret(server, "wrong", registry, "not it")
    secret(server, "right", registry)
    server.kubectl("create", "-f", "-", stdin=pod("nobody", name))
    server.kubectl("create", "-f", "-", stdin=pod("mistaken", name, ["wrong"]))
    for other in ("nobody", "mistaken"):
        wait_for(f"{other} may not", lambda: waiting(server, other).get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    told = json.dumps([events(server, "mistaken"), waiting(server, "mistaken")])
    assert "not it" not in told and PASSWORD not in told
    # Several are tried in their order; one that does not exist is told and does not hold up the others.
    server.kubectl("create", "-f", "-", stdin=pod("several", name, ["missing", "wrong", "right"], imagePullPolicy="Always"))
    wait_for("the right one is found", lambda: running(server, "several"))
    assert status(server, "several")["imageID"] == f"{registry.name}/private/app@{pushed}"
    assert any(reason == "FailedToRetrieveImagePullSecret" and "missing" in message
               for _, reason, message in events(server, "several"))
    server.kubectl("delete", "pod", "nobody", "mistaken", "several")


def test_a_service_account_brings_its_secrets(server, registries, image):
    _, registry = registries
    registry.push("private/account", "1", image.changed(Labels={"private": "2"}))
    secret(server, "of-account", registry)
    server.kubectl("create", "serviceaccount", "puller")
    server.kubectl("patch", "serviceaccount", "puller", "-p", json.dumps({"imagePullSecrets": [{"name": "of-account"}]}))
    body = json.loads(pod("account", f"{registry.name}/private/account:1"))
    body["spec"]["serviceAccountName"] = "puller"
    server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    wait_for("the pod runs", lambda: running(server, "account"))
    server.kubectl("delete", "pod", "account")


def test_many_pods_pull_once_and_survive_a_kill(server, registries, image):
    registry, _ = registries
    registry.push("team/many", "1", image.changed(Labels={"many": "1"}))
    names = [f"many-{index}" for index in range(6)]
    server.kubectl("create", "-f", "-", stdin="\n---\n".join(pod(name, f"{registry.name}/team/many:1") for name in names))
    for name in names:
        wait_for(f"{name} runs", lambda: running(server, name))
    before = [status(server, name) for name in names]
    server.kill()
    server.start()
    wait_for("the node is ready", lambda: "True" in server.kubectl(
        "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))
    wait_for("everything is as it was", lambda: [status(server, name) for name in names] == before)
    server.kubectl("delete", "pod", *names)


def test_a_pod_that_goes_while_it_pulls(server, registries):
    """A registry that accepts and never answers: the pod's end does not wait for it."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 5553))) as silent:
        server.kubectl("create", "-f", "-", stdin=pod("stuck", "127.0.0.1:5553/team/app:1"))
        silent.settimeout(60)
        connection, _ = silent.accept()
        with contextlib.closing(connection):
            server.kubectl("delete", "pod", "stuck", "--timeout=20s")


def test_the_images_health_check_makes_ready(server, registries, image):
    registry, _ = registries
    second = 10 ** 9
    registry.push("team/healthy", "1", image.changed(Healthcheck={
        "Test": ["CMD-SHELL", "test -e /tmp/healthy"], "Interval": second, "Timeout": 5 * second,
        "StartPeriod": 600 * second, "StartInterval": second, "Retries": 2}))
    server.kubectl("create", "-f", "-", stdin=pod("healthy", f"{registry.name}/team/healthy:1"))
    wait_for("the pod runs", lambda: running(server, "healthy"))
    assert not status(server, "healthy")["ready"]
    server.kubectl("exec", "healthy", "--", "sh", "-c", "echo >/tmp/healthy")
    wait_for("it is healthy", lambda: status(server, "healthy")["ready"])
    server.kubectl("exec", "healthy", "--", "rm", "/tmp/healthy")
    wait_for("it is not", lambda: not status(server, "healthy")["ready"])
    wait_for("that is told", lambda: any(
        reason == "Unhealthy" and message.startswith("Health check failed: ") for _, reason, message in events(server, "healthy")))
    assert status(server, "healthy")["restartCount"] == 0
    server.kubectl("delete", "pod", "healthy")
