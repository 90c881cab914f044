"""The registry by HTTP/2 with the clients that people have. Run by Scripts/integration."""

import hashlib
import json
import os
import subprocess

import pytest

from conftest import folder
from test_registry import Registry, digest, need, run

PORT = 5056
NAME = "team/http2"


def curl(*arguments, body=None):
    """The answer's status and HTTP version, and its body."""
    result = subprocess.run(
        ["curl", "-sS", "--max-time", "120", "-w", "%{stderr}%{http_code} %{http_version}", *arguments],
        input=body, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    status, version = result.stderr.decode().split()[-2:]
    return int(status), version, result.stdout


@pytest.fixture(scope="module", params=["plain", "tls"])
def registry(request):
    need("curl", "openssl")
    with folder("it-http2-") as base:
        registry, options, access = Registry(base, port=PORT), (), ("--http2-prior-knowledge",)
        registry.url = f"http://localhost:{PORT}"
        if request.param == "tls":
            certificate, key = f"{base}/tls.crt", f"{base}/tls.key"
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
            options, access = ("--tls-cert", certificate, "--tls-key", key), ("--http2", "--cacert", certificate)
            registry.url = f"https://localhost:{PORT}"
        registry.access = access
        registry.start(*options)
        try:
            yield registry
        finally:
            registry.stop()


def push(registry, data):
    status, version, body = curl(
        *registry.access, "-X", "POST", "-H", "Content-Type: application/octet-stream", "--data-binary", "@-",
        f"{registry.url}/v2/{NAME}/blobs/uploads/?digest={digest(data)}", body=data)
    assert (status, version) == (201, "2"), body


def test_blobs_go_both_ways(registry):
    for size in (0, 1, 70_000, 24 << 20):
        data = os.urandom(size)
        push(registry, data)
        assert curl(*registry.access, f"{registry.url}/v2/{NAME}/blobs/{digest(data)}") == (200, "2", data)
    part = curl(*registry.access, "-r", "1000-1999", f"{registry.url}/v2/{NAME}/blobs/{digest(data)}")
    assert part == (206, "2", data[1000:2000])
    head = curl(*registry.access, "-I", f"{registry.url}/v2/{NAME}/blobs/{digest(data)}")
    assert head[:2] == (200, "2") and f"content-length: {len(data)}".encode() in head[2].lower()


def test_many_streams_of_one_connection(registry, tmp_path):
    if registry.url.startswith("http://"):
        pytest.skip("curl before 8.0 cannot reuse a connection with prior knowledge")
    blobs = [os.urandom(3 << 20) for _ in range(12)]
    for data in blobs:
        push(registry, data)
    arguments = []
    for index, data in enumerate(blobs):
        arguments += ["-o", str(tmp_path / str(index)), f"{registry.url}/v2/{NAME}/blobs/{digest(data)}"]
    result = subprocess.run(
        ["curl", "-sS", "--parallel", "--max-time", "120", "-w", "%{num_connects} ", *registry.access, *arguments],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for index, data in enumerate(blobs):
        assert hashlib.sha256((tmp_path / str(index)).read_bytes()).digest() == hashlib.sha256(data).digest()
    assert sum(map(int, result.stdout.split())) < len(blobs), "they share connections"


def test_refusals_in_the_middle(registry):
    status, version, body = curl(
        *registry.access, "-X", "POST", "-H", "Content-Type: application/octet-stream", "--data-binary", "@-",
        f"{registry.url}/v2/BAD/blobs/uploads/", body=os.urandom(8 << 20))
    assert (status, version) == (400, "2") and b"NAME_INVALID" in body


def test_older_clients_are_served_as_before(registry):
    access = [option for option in registry.access if not option.startswith("--http2")]
    assert curl(*access, "--http1.1", f"{registry.url}/v2/")[:2] == (200, "1.1")
    if registry.url.startswith("http://"):
        # A proposal to change in the middle may be left unanswered (RFC 9110, section 7.8).
        assert curl("--http2", f"{registry.url}/v2/")[:2] == (200, "1.1")


def test_skopeo_and_podman(registry, tmp_path):
    need("skopeo", "podman")
    storage = f"{registry.data}/podman"
    layers = tmp_path / "image"
    layers.mkdir()
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config),
                   "size": len(config)}}).encode()
    (layers / "version").write_text("Directory Transport Version: 1.1\n")
    (layers / "manifest.json").write_bytes(manifest)
    (layers / digest(config).split(":")[1]).write_bytes(config)
    image = f"localhost:{PORT}/{NAME}:1"
    run("skopeo", "copy", "--dest-tls-verify=false", f"dir:{layers}", f"docker://{image}")
    assert digest(manifest) == json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{image}"))["Digest"]
    run("podman", "--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", "vfs", "pull",
        "--tls-verify=false", image)
