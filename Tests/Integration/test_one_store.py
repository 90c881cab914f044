"""One content store: what is built here is in the registry and starts on the node, and no byte of it is stored twice.

Run by Scripts/integration. What is compared is what the disk has given away (blocks, each file once), not what files say
of themselves.
"""

import json
import os
import shutil
import subprocess
import urllib.request

import pytest

from conftest import APUS, folder, fresh_server

BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
PORT = 5057
MIB = 1 << 20
COPIED = 64 * MIB
MADE = 16 * MIB
# What is not layers: the catalog and its log, manifests, records, logs, pod files; and a layer's own tar headers and the
# folders' blocks. Far below the smallest thing that must not be stored twice.
SLACK = 4 * MIB


def used(path):
    """Bytes of the disk below a folder, every file once, those that are in use by a mount or a process included."""
    seen, total = set(), 0
    for root, folders, files in os.walk(path):
        for name in [*folders, *files, "."]:
            try:
                status = os.lstat(os.path.join(root, name))
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) not in seen and status.st_dev == DEVICE:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total


def settled(path):
    """The use when everything that was written is on the disk: until then blocks of a file may not be given away yet."""
    os.sync()
    return used(path)


@pytest.fixture(scope="module")
def base():
    global DEVICE
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("busybox-static is not installed")
    with folder("it-store-") as path:
        DEVICE = os.lstat(path).st_dev
        yield path


@pytest.fixture(scope="module")
def server(base):
    with fresh_server(base, "--registry", f"127.0.0.1:{PORT}") as server:
        yield server


def build(server, context, *arguments):
    result = subprocess.run(
        [APUS, "build", "--data", server.data, "--progress", "plain", *arguments, str(context)], capture_output=True,
        text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stderr


def context(base, name, dockerfile):
    path = os.path.join(base, name)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "Dockerfile"), "w") as file:
        file.write(dockerfile)
    return path


def blobs(server):
    """`{digest: bytes on the disk}` of the store."""
    found = {}
    folder = os.path.join(server.data, "images/blobs/sha256")
    for name in os.listdir(folder):
        found["sha256:" + name] = os.lstat(os.path.join(folder, name)).st_blocks * 512
    return found


def events(server, reason):
    items = server.json("get", "events")["items"]
    return [item["message"] for item in items if item["reason"] == reason]


def test_no_byte_is_stored_twice(server, base):
    tools = context(base, "tools", 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n')
    shutil.copy(BUSYBOX, tools)
    build(server, tools, "-t", "localhost/tools:1")
    app = context(base, "app", f"""
FROM localhost/tools:1
COPY big /big
RUN head -c {MADE} /dev/urandom > /made
CMD ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]
""")
    with open(os.path.join(app, "big"), "wb") as file:
        for _ in range(COPIED // MIB):
            file.write(os.urandom(MIB))

    # A name of the node's own registry: the build is the push. Of what COPY brings there is the blob; what RUN made lies
    # unpacked already, because the step ran there, and that folder is the unpacked layer. COPY's layer is under RUN and
    # so is unpacked as well. Every layer: once as a blob, once unpacked.
    name = f"localhost:{PORT}/team/app:1"
    before, known = settled(server.data), set(blobs(server))
    text = build(server, app, "-t", name)
    assert "pushing" not in text
    after_build = settled(server.data)
    grown = after_build - before
    expected = 2 * (COPIED + MADE)
    assert expected <= grown <= expected + SLACK, f"{grown / MIB:.2f} MiB for {expected / MIB} MiB"
    new = {digest: size for digest, size in blobs(server).items() if digest not in known}
    large = sorted(size for size in new.values() if size > MIB)
    assert len(large) == 2 and sum(large) <= COPIED + MADE + SLACK, large

    # The registry has it under that name, the same bytes from the same file: reading is no copying.
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2/team/app/manifests/1") as answer:
        manifest = json.load(answer)
    digests = [layer["digest"] for layer in manifest["layers"]]
    assert {digest for digest, size in new.items() if size > MIB} <= set(digests)
    for digest in digests:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2/team/app/blobs/{digest}") as answer:
            while answer.read(MIB):
                pass
    assert settled(server.data) - after_build <= SLACK

    # A pod: nothing is pulled, and nothing grows but records, logs and the pod's own files.
    server.kubectl("create", "deployment", "app", f"--image={name}")
    server.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
    after_pod = settled(server.data)
    assert after_pod - after_build <= SLACK, f"{(after_pod - after_build) / MIB:.2f} MiB"
    assert not events(server, "Pulling") and any("already present" in text for text in events(server, "Pulled"))
    assert set(blobs(server)) == known | set(new)
    pod = server.json("get", "pods", "-l", "app=app")["items"][0]
    assert pod["status"]["phase"] == "Running"
    size = server.kubectl("exec", pod["metadata"]["name"], "--", "stat", "-c", "%s", "/big", "/made").split()
    assert size == [str(COPIED), str(MADE)]

    # A second pod, and the image under a second name: still nothing.
    server.kubectl("scale", "deployment", "app", "--replicas=2")
    server.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
    server.run("image", "tag", name, f"localhost:{PORT}/other/name:2")
    assert settled(server.data) - after_build <= SLACK
    server.kubectl("delete", "deployment", "app", "--wait=true")
    server.kubectl("wait", "--for=delete", "pod", "-l", "app=app", "--timeout=60s")


def test_a_layer_that_nothing_ran_on_is_unpacked_by_its_first_pod_and_once(server, base):
    """Without RUN: the build stores the blob and nothing else; the first pod unpacks it, the second one does not."""
    image = context(base, "copy-only", """
FROM localhost/tools:1
COPY large /large
CMD ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]
""")
    with open(os.path.join(image, "large"), "wb") as file:
        for _ in range(COPIED // MIB):
            file.write(os.urandom(MIB))
    name = f"localhost:{PORT}/team/copied:1"
    before = settled(server.data)
    build(server, image, "-t", name)
    built = settled(server.data)
    assert COPIED <= built - before <= COPIED + SLACK, f"{(built - before) / MIB:.2f} MiB"
    server.kubectl("create", "deployment", "copied", f"--image={name}")
    server.kubectl("rollout", "status", "deployment/copied", "--timeout=60s")
    first = settled(server.data)
    assert COPIED <= first - built <= COPIED + SLACK, f"{(first - built) / MIB:.2f} MiB"
    server.kubectl("scale", "deployment", "copied", "--replicas=3")
    server.kubectl("rollout", "status", "deployment/copied", "--timeout=60s")
    assert settled(server.data) - first <= SLACK
    server.kubectl("delete", "deployment", "copied", "--wait=true")
    server.kubectl("wait", "--for=delete", "pod", "-l", "app=copied", "--timeout=60s")


def test_an_index_with_provenance_is_an_image_like_any_other(server, base):
    """The node runs it, and other tools read it, and what is about the image comes along."""
    image = context(base, "told", 'FROM localhost/tools:1\nRUN echo told > /told\nCMD ["sleep", "1000000"]\nSTOPSIGNAL SIGKILL\n')
    name = f"localhost:{PORT}/team/told:1"
    build(server, image, "-t", name, "--provenance=mode=max")
    server.kubectl("run", "told", f"--image={name}")
    server.kubectl("wait", "--for=condition=Ready", "pod/told", "--timeout=60s")
    assert server.kubectl("exec", "told", "--", "cat", "/told") == "told\n"
    server.kubectl("delete", "pod", "told", "--wait=true")
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")

    def skopeo(*arguments):
        return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout

    inspected = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    assert len(inspected["Layers"]) >= 3 and inspected["Os"] == "linux"
    index = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert [item["platform"]["os"] for item in index["manifests"]] == ["linux", "unknown"]
    layout = os.path.join(base, "layout")
    skopeo("copy", "-q", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:1")
    attestation = index["manifests"][1]["digest"].replace(":", "/")
    with open(f"{layout}/blobs/{attestation}") as file:
        layer = json.load(file)["layers"][0]["digest"].replace(":", "/")
    with open(f"{layout}/blobs/{layer}") as file:
        statement = json.load(file)
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    # It lives and dies with its image.
    server.run("image", "remove", name)
    assert server.run("image", "list").stdout.count("told") == 0
