"""Measures the registry, with Debian's docker-registry beside it where it is installed. Nothing fails on a time.

`measure(base, row)` is for bench.py; run alone it prints its own lines. Clients run on the same machine.
"""

import hashlib
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
APUS = os.environ.setdefault("APUS", str(ROOT / ".build-release/release/apus"))
OCI = "application/vnd.oci.image.manifest.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Server:
    def __init__(self, name, port, command, log):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdout=open(log, "ab"), stderr=subprocess.STDOUT)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{name} does not listen; see {log}")

    def memory(self, field="VmHWM"):
        text = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(rf"{field}:\s+(\d+)", text).group(1)) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def apus(base, port):
    return Server("Apus", port, [APUS, "registry", "--data", f"{base}/apus", "--listen", f"127.0.0.1:{port}"], f"{base}/apus.log")


def docker(base, port):
    """Debian's docker-registry 2.8 on files, as it is meant to be run."""
    if not shutil.which("docker-registry"):
        return None
    path = f"{base}/docker-registry.yml"
    with open(path, "w") as file:
        file.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n"
                   f"  filesystem: {{rootdirectory: {base}/docker}}\n  delete: {{enabled: true}}\n"
                   f"http: {{addr: '127.0.0.1:{port}'}}\n")
    return Server("docker-registry", port, ["docker-registry", "serve", path], f"{base}/docker.log")


def push(connection, name, data, known):
    """POST and PUT, as clients do."""
    connection.request("POST", f"/v2/{name}/blobs/uploads/", headers={"Content-Length": "0"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 202, answer.status
    location = answer.headers["location"]
    if location.startswith("http"):
        location = "/" + location.split("/", 3)[3]
    connection.request("PUT", f"{location}{'&' if '?' in location else '?'}digest={known}", body=data)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 201, body


def pusher(port, name, blobs, start, done):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start.wait()
    for data, known in blobs:
        push(connection, name, data, known)
    done.put(time.monotonic())


def pushes(port, size, count, clients):
    """Blobs per second from several client processes; contents and digests are made before."""
    start, done = multiprocessing.Event(), multiprocessing.Queue()
    workers = []
    for number in range(clients):
        blobs = []
        for _ in range(count // clients):
            data = os.urandom(size)
            blobs.append((data, digest(data)))
        workers.append(multiprocessing.Process(target=pusher, args=(port, f"bench/p{number}", blobs, start, done)))
    for worker in workers:
        worker.start()
    time.sleep(0.5)
    began = time.monotonic()
    start.set()
    ended = max(done.get(timeout=600) for _ in workers)
    for worker in workers:
        worker.join()
    return count // clients * clients / (ended - began)


def image(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    config, layer = json.dumps({"architecture": "amd64", "os": "linux"}).encode(), os.urandom(1000)
    for data in (config, layer):
        push(connection, "bench/read", data, digest(data))
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": OCI,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": len(layer)}]})
    connection.request("PUT", "/v2/bench/read/manifests/1", manifest, {"Content-Type": OCI})
    assert connection.getresponse().status == 201


def reads(port, path, connections=16, seconds=5):
    output = subprocess.run(
        ["wrk", "-t", "2", "-c", str(connections), "-d", str(seconds), "--latency", "-s",
         str(ROOT / "Benchmarks/registry_get.lua"), f"http://127.0.0.1:{port}", "--", path],
        capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Non-2xx" not in output, output
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)), re.search(r"\s99%\s+(\S+)", output).group(1)


def streamed(port, megabytes):
    """One blob in and out: MiB per second each way."""
    piece = os.urandom(1 << 20)
    hasher = hashlib.sha256()
    for _ in range(megabytes):
        hasher.update(piece)
    known = "sha256:" + hasher.hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/v2/bench/stream/blobs/uploads/", headers={"Content-Length": "0"})
    answer = connection.getresponse()
    answer.read()
    location = answer.headers["location"]
    if location.startswith("http"):
        location = "/" + location.split("/", 3)[3]
    began = time.monotonic()
    connection.putrequest("PUT", f"{location}{'&' if '?' in location else '?'}digest={known}")
    connection.putheader("Content-Length", str(megabytes << 20))
    connection.endheaders()
    for _ in range(megabytes):
        connection.send(piece)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    answer.read()
    sent = megabytes / (time.monotonic() - began)
    began = time.monotonic()
    connection.request("GET", f"/v2/bench/stream/blobs/{known}")
    answer = connection.getresponse()
    buffer, count = bytearray(1 << 20), 0
    while got := answer.readinto(buffer):
        count += got
    assert count == megabytes << 20
    return sent, megabytes / (time.monotonic() - began)


def measure(base, row, gigabytes=5):
    """Calls `row(what, ours, peer, goal)` for each figure."""
    results = {}
    for make, port in ((docker, 5071), (apus, 5072)):
        server = make(base, port)
        if server is None:
            continue
        try:
            figures = results[server.name] = {}
            figures["push1"] = pushes(port, 1 << 20, 256, 1)
            figures["push8"] = pushes(port, 1 << 20, 256, 8)
            figures["small"] = pushes(port, 4 << 10, 1024, 16)
            image(port)
            figures["reads"] = reads(port, "/v2/bench/read/manifests/1")
            figures["in100"], figures["out100"] = streamed(port, 100)
            before = server.memory("VmRSS")
            figures["in"], figures["out"] = streamed(port, gigabytes << 10)
            figures["memory"] = (before, server.memory())
        finally:
            server.stop()
    ours, peer = results["Apus"], results.get("docker-registry")

    def line(what, key, show, goal):
        row(what, show(ours[key]), show(peer[key]) if peer else "", goal)

    rate = lambda value: f"{value:,.0f}/s"
    speed = lambda value: f"{value:,.0f} MiB/s"
    line("push of 1 MiB blobs, 1 client", "push1", rate, "")
    line("push of 1 MiB blobs, 8 clients", "push8", rate, "130/s")
    line("push of 4 KiB blobs, 16 clients", "small", rate, "")
    line("manifest reads, 16 clients", "reads", lambda value: f"{value[0]:,.0f}/s, p99 {value[1]}", "5,000/s")
    line("push of 100 MiB", "in100", speed, "disk speed")
    line("pull of 100 MiB", "out100", speed, "loopback speed")
    line(f"push of {gigabytes} GiB", "in", speed, "disk speed")
    line(f"pull of {gigabytes} GiB", "out", speed, "loopback speed")
    line(f"memory before and at most, {gigabytes} GiB", "memory", lambda value: f"{value[0]:.0f} → {value[1]:.0f} MiB", "flat")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "Tests"))
    import tempfile

    path = tempfile.mkdtemp(prefix="bench-registry-", dir="/var/tmp")
    try:
        measure(path, lambda *cells: print("| " + " | ".join(cells) + " |", flush=True),
                int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    finally:
        shutil.rmtree(path)
