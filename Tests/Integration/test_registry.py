"""The registry with the clients that people have, and what it holds when it is killed.

Run by Scripts/integration. A client that is not installed skips its test and says so.
"""

import hashlib
import http.client
import http.server
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.parse

import pytest

from conftest import APUS, ROOT, folder, wait_for

PORT = 5055
OCI = "application/vnd.oci.image.manifest.v1+json"


def need(*tools):
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Registry:
    """`apus registry` on one data directory."""

    def __init__(self, directory, port=PORT, configuration=None):
        self.data = str(directory)
        self.port = port
        self.process = None
        os.makedirs(self.data, exist_ok=True)
        if configuration:
            self.configure(configuration)

    @property
    def host(self):
        return f"localhost:{self.port}"

    def configure(self, text):
        path = os.path.join(self.data, "registry.yaml")
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def start(self, *options):
        self.process = subprocess.Popen(
            [APUS, "registry", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *options],
            stdout=subprocess.PIPE, stderr=open(self.data + "/registry.log", "ab"), text=True)
        line = self.process.stdout.readline()
        assert "is ready" in line, open(self.data + "/registry.log").read()
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=30) == 0
            self.process.stdout.close()

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def push_blob(self, name, data):
        status, headers, body = self.request("POST", f"/v2/{name}/blobs/uploads/", headers={"Content-Length": "0"})
        assert status == 202, body
        status, _, body = self.request("PUT", f"{headers['location']}?digest={digest(data)}", data)
        assert status == 201, body
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(data), "size": len(data)}

    def push_image(self, name, tag, layers):
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [
            digest(layer) for layer in layers]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI,
            "config": {**self.push_blob(name, config), "mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [self.push_blob(name, layer) for layer in layers]}).encode()
        status, _, body = self.request("PUT", f"/v2/{name}/manifests/{tag}", manifest, {"Content-Type": OCI})
        assert status == 201, body
        return digest(manifest)


def run(*arguments, **options):
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=180, **options)
    assert result.returncode == 0, f"{' '.join(arguments)}: exit {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def base():
    with folder("it-registry-") as path:
        yield path


@pytest.fixture(scope="module")
def registry(base):
    registry = Registry(os.path.join(base, "data")).start()
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def archive(base):
    """A docker-archive of one static program, made without a network."""
    need("busybox")
    work = os.path.join(base, "image")
    os.makedirs(work)
    layer = os.path.join(work, "layer.tar")
    with tarfile.open(layer, "w") as tar:
        tar.add(shutil.which("busybox"), "bin/busybox")
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/busybox"], "Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(open(layer, "rb").read())]}}).encode()
    open(os.path.join(work, "config.json"), "wb").write(config)
    open(os.path.join(work, "manifest.json"), "w").write(json.dumps(
        [{"Config": "config.json", "RepoTags": ["localhost/app:1"], "Layers": ["layer.tar"]}]))
    path = os.path.join(base, "app.tar")
    with tarfile.open(path, "w") as tar:
        for name in ("manifest.json", "config.json", "layer.tar"):
            tar.add(os.path.join(work, name), name)
    return path


def test_skopeo(registry, base, archive):
    need("skopeo")
    image = f"docker://{registry.host}/team/app:1"
    run("skopeo", "copy", "--dest-tls-verify=false", f"docker-archive:{archive}", image)
    shown = json.loads(run("skopeo", "inspect", "--tls-verify=false", image))
    assert shown["RepoTags"] == ["1"] and shown["Architecture"] == "amd64"
    layout = os.path.join(base, "layout")
    run("skopeo", "copy", "--src-tls-verify=false", image, f"oci:{layout}:app")
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:app", f"docker://{registry.host}/team/again:1")
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{registry.host}/team/again:1", f"docker-archive:{base}/out.tar")
    # Another repository of the same registry: mounted, not sent again.
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", image, f"docker://{registry.host}/other/app:2")
    assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{registry.host}/other/app"))["Tags"] == ["2"]
    run("skopeo", "delete", "--tls-verify=false", f"docker://{registry.host}/other/app:2")
    assert registry.get("/v2/other/app/manifests/2")[0] == 404


def test_what_is_pushed_is_an_image_here(registry, archive):
    need("skopeo")
    run("skopeo", "copy", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{registry.host}/team/here:1")
    listed = run(APUS, "image", "list", "--data", registry.data)
    assert f"{registry.host}/team/here:1" in listed or "team/here:1" in listed


def test_podman_and_buildah(registry, base, archive):
    need("podman", "buildah")
    storage = ["--root", f"{base}/storage", "--runroot", f"{base}/run", "--storage-driver", "vfs"]
    run("buildah", *storage, "pull", f"docker-archive:{archive}")
    run("buildah", *storage, "push", "--tls-verify=false", "localhost/app:1", f"docker://{registry.host}/buildah/app:1")
    run("podman", *storage, "pull", "--tls-verify=false", f"{registry.host}/buildah/app:1")
    assert f"{registry.host}/buildah/app" in run("podman", *storage, "images")
    run("podman", *storage, "push", "--tls-verify=false", f"{registry.host}/buildah/app:1", f"{registry.host}/podman/app:2")
    assert json.loads(registry.get("/v2/podman/app/tags/list")[2])["tags"] == ["2"]


def test_oras(registry, base):
    oras = pytest.importorskip("oras.client")
    folder = os.path.join(base, "oras")
    os.makedirs(folder)
    open(os.path.join(folder, "artifact.txt"), "w").write("hello artifact")
    client = oras.OrasClient(hostname=registry.host, insecure=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        pushed = client.push(target=f"{registry.host}/oras/artifact:1", files=["artifact.txt:text/plain"])
        assert pushed.status_code in (200, 201)
        out = os.path.join(folder, "out")
        os.makedirs(out)
        pulled = client.pull(target=f"{registry.host}/oras/artifact:1", outdir=out)
        assert open(pulled[0]).read() == "hello artifact"
        assert client.get_tags(f"{registry.host}/oras/artifact") == ["1"]
        attach_and_discover(client, registry, folder)
    finally:
        os.chdir(before)


def attach_and_discover(client, registry, folder):
    """What `oras attach` and `oras discover` do, which this client has no commands for: a push with a subject, and the
    list of referrers by the client's own requests."""
    oci = pytest.importorskip("oras.oci")
    subject = digest(registry.get("/v2/oras/artifact/manifests/1", Accept=OCI)[2])
    size = int(registry.request("HEAD", "/v2/oras/artifact/manifests/1", headers={"Accept": OCI})[1]["content-length"])
    for kind in ("signature", "sbom"):
        open(os.path.join(folder, f"{kind}.txt"), "w").write(f"a {kind}")
        attached = client.push(
            target=f"{registry.host}/oras/artifact:{kind}", files=[f"{kind}.txt:application/x-{kind}"],
            subject=oci.Subject(mediaType=OCI, digest=subject, size=size), manifest_annotations={"kind": kind})
        assert attached.headers["OCI-Subject"] == subject

    def discover(query=""):
        answer = client.do_request(f"http://{registry.host}/v2/oras/artifact/referrers/{subject}{query}", "GET")
        assert answer.status_code == 200 and answer.json()["mediaType"] == "application/vnd.oci.image.index.v1+json"
        return answer

    found = discover().json()["manifests"]
    assert {entry["annotations"]["kind"] for entry in found} == {"signature", "sbom"}
    kinds = {entry["artifactType"] for entry in found}
    filtered = discover(f"?artifactType={urllib.parse.quote(kinds.pop(), safe='')}")
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    # What was discovered is pulled by its digest.
    for entry in found:
        kind = entry["annotations"]["kind"]
        out = os.path.join(folder, f"out-{kind}")
        os.makedirs(out)
        pulled = client.pull(target=f"{registry.host}/oras/artifact@{entry['digest']}", outdir=out)
        assert open(pulled[0]).read() == f"a {kind}"
    # One that is deleted is in no list any more.
    assert registry.request("DELETE", f"/v2/oras/artifact/manifests/{found[0]['digest']}")[0] == 202
    assert [entry["digest"] for entry in discover().json()["manifests"]] == [found[1]["digest"]]


def test_signing_in(base, archive):
    need("skopeo", "htpasswd")
    users = run("htpasswd", "-nbB", "alice", "secret").strip().split(":", 1)
    registry = Registry(os.path.join(base, "auth"), PORT + 1, f"""
users: {{{users[0]}: "{users[1]}"}}
access:
  - {{users: [alice], actions: ["*"]}}
  - {{repositories: ["public/**"], users: [anonymous], actions: [pull]}}
""").start()
    try:
        for challenge in ("bearer", "basic"):
            image = f"docker://{registry.host}/public/{challenge}:1"
            copy = ["skopeo", "copy", "--dest-tls-verify=false", f"docker-archive:{archive}", image]
            assert subprocess.run(copy, capture_output=True, timeout=60).returncode != 0
            assert subprocess.run([*copy, "--dest-creds=alice:wrong"], capture_output=True, timeout=60).returncode != 0
            run(*copy, "--dest-creds=alice:secret")
            run("skopeo", "inspect", "--tls-verify=false", image)
            # Without a restart.
            registry.configure(open(registry.data + "/registry.yaml").read() + "tokens: {challenge: basic}\n")
            if challenge == "bearer":
                wait_for("the configuration counts", lambda: registry.get("/v2/")[1]["www-authenticate"].startswith("Basic"))
        assert registry.get("/v2/private/x/tags/list")[0] == 401
    finally:
        registry.stop()


def test_pull_through(registry, base, archive):
    need("skopeo")
    run("skopeo", "copy", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{registry.host}/team/up:1")
    cache = Registry(os.path.join(base, "cache"), PORT + 2, f"""
upstreams:
  - {{prefix: up, registry: "{registry.host}", freshness: 0s}}
""").start()
    try:
        run("skopeo", "copy", "--src-tls-verify=false", f"docker://{cache.host}/up/team/up:1", f"oci:{base}/cached:1")
        registry.stop()
        try:
            # The upstream is gone; what is kept is served.
            run("skopeo", "copy", "--src-tls-verify=false", f"docker://{cache.host}/up/team/up:1", f"oci:{base}/cached2:1")
        finally:
            registry.start()
        refused = cache.request("POST", "/v2/up/team/up/blobs/uploads/", headers={"Content-Length": "0"})
        assert refused[0] == 403
    finally:
        cache.stop()


def test_replica_and_notifications(base):
    events = []

    class Sink(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            assert self.headers["content-type"].startswith("application/cloudevents+json")
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    target = Registry(os.path.join(base, "replica"), PORT + 4).start()
    source = Registry(os.path.join(base, "source"), PORT + 3, f"""
replicas:
  - {{registry: "{target.host}", path: mirror, deletions: true}}
notifications:
  - {{url: "http://127.0.0.1:{sink.server_port}/events", events: [push, delete]}}
""").start()
    try:
        pushed = source.push_image("prod/app", "1", [b"layer"])
        wait_for("the replica has it", lambda: target.get("/v2/mirror/prod/app/manifests/1", Accept=OCI)[0] == 200)
        assert target.get("/v2/mirror/prod/app/manifests/1", Accept=OCI)[1]["docker-content-digest"] == pushed
        wait_for("the event came", lambda: any(event["type"].endswith("push.v1") for event in events))
        assert events[0]["specversion"] == "1.0" and events[0]["data"]["digest"] == pushed
        # The replica is away, and the source is killed before it is back: nothing is forgotten.
        target.stop()
        source.push_image("prod/app", "2", [b"other layer"])
        source.kill()
        target.start()
        source.start()
        wait_for("the replica catches up", lambda: target.get("/v2/mirror/prod/app/manifests/2", Accept=OCI)[0] == 200)
        # Nor is a deletion.
        target.stop()
        assert source.request("DELETE", "/v2/prod/app/manifests/1")[0] == 202
        source.kill()
        target.start()
        source.start()
        wait_for("the replica deletes it", lambda: target.get("/v2/mirror/prod/app/manifests/1", Accept=OCI)[0] == 404)
        assert target.get("/v2/mirror/prod/app/manifests/2", Accept=OCI)[0] == 200
    finally:
        source.stop()
        target.stop()
        sink.shutdown()


def test_tls(base, archive):
    need("openssl", "skopeo")
    path = os.path.join(base, "tls")
    os.makedirs(f"{path}/trust")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{path}/tls.key", "-out", f"{path}/trust/ca.crt")
    registry = Registry(os.path.join(path, "data"), PORT + 7)
    registry.start("--tls-cert", f"{path}/trust/ca.crt", "--tls-key", f"{path}/tls.key")
    try:
        image = f"docker://{registry.host}/tls/app:1"
        run("skopeo", "copy", f"--dest-cert-dir={path}/trust", f"docker-archive:{archive}", image)
        run("skopeo", "copy", f"--src-cert-dir={path}/trust", image, f"oci:{path}/layout:1")
        large = os.urandom(20 << 20)
        context = ssl.create_default_context(cafile=f"{path}/trust/ca.crt")
        connection = http.client.HTTPSConnection("localhost", registry.port, context=context, timeout=60)
        connection.request("POST", f"/v2/tls/app/blobs/uploads/?digest={digest(large)}", large)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        answer.read()
        connection.request("GET", f"/v2/tls/app/blobs/{digest(large)}")
        assert connection.getresponse().read() == large
    finally:
        registry.stop()


def test_parallel_pushes_while_killed(base):
    """Sixteen clients push images with shared layers while garbage is collected and blobs are scrubbed all the time, and
    the registry is killed again and again. What was acknowledged is there and whole, and no blob is anything else than
    what its digest says."""
    registry = Registry(os.path.join(base, "killed"), PORT + 5, """
garbageCollection: {interval: 1s, untaggedGrace: 0s, trash: 0s}
scrub: {interval: 1s}
""").start()
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    shared = [random.Random(seed + index).randbytes(300_000) for index in range(6)]
    acknowledged, stop = {}, threading.Event()

    def client(number):
        draw = random.Random(seed * 31 + number)
        count = 0
        while not stop.is_set():
            count += 1
            layers = draw.sample(shared, 3) + [draw.randbytes(draw.randrange(1, 200_000))]
            name, tag = f"load/{number % 4}", f"{number}-{count}"
            try:
                acknowledged[(name, tag)] = registry.push_image(name, tag, layers)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                # The registry is away: the next image.
                if isinstance(error, AssertionError) and "errors" not in str(error):
                    raise
                time.sleep(0.05)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in clients:
        thread.start()
    draw = random.Random(seed)
    try:
        for _ in range(8):
            before = len(acknowledged)
            wait_for("pushes are acknowledged", lambda: len(acknowledged) > before + 8)
            time.sleep(draw.random() * 0.5)
            registry.kill()
            registry.start()
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    blobs = set()
    for (name, tag), wanted in acknowledged.items():
        status, headers, body = registry.get(f"/v2/{name}/manifests/{tag}", Accept=OCI)
        assert status == 200 and digest(body) == wanted == headers["docker-content-digest"], (name, tag, status)
        manifest = json.loads(body)
        blobs |= {(name, blob["digest"]) for blob in [manifest["config"], *manifest["layers"]]}
    for name, wanted in sorted(blobs):
        status, _, body = registry.get(f"/v2/{name}/blobs/{wanted}")
        assert status == 200 and digest(body) == wanted, (name, wanted, status)
    registry.stop()
    for algorithm in ("sha256", "sha512"):
        directory = os.path.join(registry.data, "images/blobs", algorithm)
        for name in os.listdir(directory):
            data = open(os.path.join(directory, name), "rb").read()
            assert digest(data, algorithm) == f"{algorithm}:{name}", "a blob that is not what its name says"
    print(f"{len(acknowledged)} pushes acknowledged")


def test_full_disk(base):
    """On a disk without space every push is refused as such and leaves nothing half stored; pulls go on; and with space
    again, so do pushes."""
    data = os.path.join(base, "small")
    os.makedirs(data)
    run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", data)
    registry = Registry(data, PORT + 8)
    filler = os.path.join(data, "filler")
    try:
        registry.start()
        kept = registry.push_image("full/app", "1", [os.urandom(1 << 20)])
        uploads = os.path.join(data, "images/uploads")
        large = os.urandom(80 << 20)
        before = shutil.disk_usage(data).used
        status, _, body = registry.request("POST", f"/v2/full/app/blobs/uploads/?digest={digest(large)}", large)
        assert status == 507 and json.loads(body)["errors"][0]["code"] == "UNAVAILABLE", body
        assert os.listdir(uploads) == [] and shutil.disk_usage(data).used < before + (1 << 20)
        assert registry.request("HEAD", f"/v2/full/app/blobs/{digest(large)}")[0] == 404
        # In pieces: what fitted is kept, and the client learns how much that is.
        _, headers, _ = registry.request("POST", "/v2/full/app/blobs/uploads/", headers={"Content-Length": "0"})
        location = headers["location"]
        assert registry.request("PATCH", location, large)[0] == 507
        status, headers, _ = registry.request("GET", location)
        arrived = int(headers["range"].split("-")[1]) + 1
        assert status == 204 and 0 < arrived < len(large)
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 12)):
                    pass
            except OSError:
                pass
        for _ in range(3):
            small = os.urandom(5000)
            status, _, body = registry.request("POST", f"/v2/full/app/blobs/uploads/?digest={digest(small)}", small)
            assert status == 507, body
            status, _, body = registry.request(
                "PUT", "/v2/full/app/manifests/2", registry.get("/v2/full/app/manifests/1", Accept=OCI)[2] + b" " * 5000,
                {"Content-Type": OCI})
            assert status == 507, body
        assert registry.get("/v2/full/app/manifests/2", Accept=OCI)[0] == 404
        status, _, body = registry.get("/v2/full/app/manifests/1", Accept=OCI)
        assert status == 200 and digest(body) == kept
        for layer in json.loads(body)["layers"]:
            assert digest(registry.get(f"/v2/full/app/blobs/{layer['digest']}")[2]) == layer["digest"]
        # Space again.
        os.remove(filler)
        assert registry.request("DELETE", location)[0] == 204
        registry.push_image("full/app", "2", [os.urandom(1 << 20)])
        registry.kill()
        registry.start()
        for tag in ("1", "2"):
            assert registry.get(f"/v2/full/app/manifests/{tag}", Accept=OCI)[0] == 200
        directory = os.path.join(data, "images/blobs/sha256")
        for name in os.listdir(directory):
            assert digest(open(os.path.join(directory, name), "rb").read()) == f"sha256:{name}"
    finally:
        registry.stop()
        run("umount", data)


def test_memory_stays_flat(base):
    """Half a gigabyte in and out. `make bench` does it with five."""
    registry = Registry(os.path.join(base, "flat"), PORT + 6).start()
    try:
        piece, count = os.urandom(1 << 20), 512
        hasher = hashlib.sha256()
        for _ in range(count):
            hasher.update(piece)
        wanted = "sha256:" + hasher.hexdigest()
        registry.push_blob("warm", os.urandom(8 << 20))
        before = memory(registry)
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=120)
        connection.putrequest("POST", f"/v2/flat/blobs/uploads/?digest={wanted}")
        connection.putheader("Content-Length", str(count << 20))
        connection.endheaders()
        for _ in range(count):
            connection.send(piece)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        answer.read()
        connection.request("GET", f"/v2/flat/blobs/{wanted}")
        answer, hasher = connection.getresponse(), hashlib.sha256()
        while data := answer.read(1 << 20):
            hasher.update(data)
        assert "sha256:" + hasher.hexdigest() == wanted
        assert memory(registry) < before + 40, f"{before} MiB before, {memory(registry)} MiB after"
    finally:
        registry.stop()


def memory(registry):
    """The most memory the process has had, in MiB."""
    for line in open(f"/proc/{registry.process.pid}/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
