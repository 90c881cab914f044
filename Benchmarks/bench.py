#!/usr/bin/env python3
"""Measures what docs/benchmarks.md lists and prints it as a table. Nothing fails on a time.

Run by Scripts/bench in namespaces of its own, with an optimised build. Loads come from wrk on the same machine; they are
bounded in time.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests"))
os.environ.setdefault("APUS", str(ROOT / ".build-release/release/apus"))

import build  # noqa: E402
import registry  # noqa: E402
import watches  # noqa: E402
from conftest import Server, folder, wait_for  # noqa: E402
from kubernetes import client, config, watch  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
rows = []


def row(what, ours, peer="", goal=""):
    rows.append((what, ours, peer, goal))
    print(f"  {what}: {ours}", flush=True)


def cpu(server, process=None):
    """Seconds of processor time that the server, or another process of its, has used."""
    fields = open(f"/proc/{process or server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(server, field="VmRSS", process=None):
    text = open(f"/proc/{process or server.process.pid}/status").read()
    return int(re.search(rf"{field}:\s+(\d+)", text).group(1)) / 1024


def forget_peak(server):
    """Lets the highest use of memory be counted anew from here, and returns what is in use."""
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as file:
        file.write("5")
    return memory(server)


def wrk(server, script, *arguments, connections=1, seconds=5):
    before = cpu(server)
    output = subprocess.run(
        ["wrk", "-t", str(min(connections, 2)), "-c", str(connections), "-d", str(seconds), "--latency", "-s",
         str(ROOT / "Benchmarks" / script), f"https://127.0.0.1:{server.port}", "--", *arguments],
        capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    used = cpu(server) - before
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
    percentile = {p: re.search(rf"\s{p}%\s+(\S+)", output).group(1) for p in ("50", "99")}
    assert "Non-2xx" not in output, output
    return rate, percentile, used / requests * 1000 if requests else 0


def starts(server, data):
    """Start to /readyz on existing data, as the ready line tells and as the caller sees it."""
    seen = []
    for _ in range(5):
        server.stop()
        began = time.monotonic()
        line = server.start()
        seen.append(((time.monotonic() - began) * 1000, int(re.search(r"after (\d+) ms", line).group(1))))
    row(f"start to ready, {data}", f"{statistics.median(s[0] for s in seen):.0f} ms (itself: "
        f"{statistics.median(s[1] for s in seen):.0f} ms)", "2,700 ms", "< 300 ms")


def idle(server):
    """The server with its node, and the data plane beside it."""
    time.sleep(5)
    names = json.load(open(server.data + "/data-plane/record.json"))["processID"]
    before, began = cpu(server) + cpu(server, names), time.monotonic()
    time.sleep(20)
    share = (cpu(server) + cpu(server, names) - before) / (time.monotonic() - began) * 100
    alone, beside = memory(server), memory(server, process=names)
    row("idle memory, server and node", f"{alone + beside:.0f} MiB ({beside:.0f} of them DNS)", "317 MB (server only)", "< 80 MB")
    row("idle CPU, server and node", f"{share:.2f} % of a core", "3 % (server only)", "< 0.5 %")


def create_to_running(server, core):
    """From the create call to the first watch event that says Running."""
    times = []
    for index in range(30):
        name = f"quick-{index}"
        running = threading.Event()
        listed = core.list_namespaced_pod("bench", limit=1)

        def follow():
            stream = watch.Watch()
            for event in stream.stream(core.list_namespaced_pod, "bench", field_selector=f"metadata.name={name}",
                                       resource_version=listed.metadata.resource_version, timeout_seconds=30):
                if event["object"].status.phase == "Running":
                    running.at = time.monotonic()
                    running.set()
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        time.sleep(0.05)
        began = time.monotonic()
        core.create_namespaced_pod("bench", client.V1Pod(
            metadata=client.V1ObjectMeta(name=name),
            spec=client.V1PodSpec(termination_grace_period_seconds=0, containers=[client.V1Container(
                name="c", image="localhost/web-app:1", command=["sleep", "3600"])])))
        assert running.wait(30), f"{name} does not run"
        times.append((running.at - began) * 1000)
        thread.join()
        core.delete_namespaced_pod(name, "bench", grace_period_seconds=0)
    times.sort()
    row("create to Running, image present", f"p50 {statistics.median(times):.0f} ms, longest of {len(times)} {times[-1]:.0f} ms", "1–5 s (k3s)",
        "p50 < 80 ms, p99 < 250 ms")


def twenty_at_once(core):
    """From each create call to the watch event that says Running, of twenty pods that are created together."""
    times = []
    for round_ in range(5):
        names = {f"crowd-{round_}-{index}" for index in range(20)}
        began, running = {}, {}
        listed = core.list_namespaced_pod("bench", limit=1)

        def follow():
            for event in watch.Watch().stream(core.list_namespaced_pod, "bench", timeout_seconds=30,
                                              resource_version=listed.metadata.resource_version):
                name = event["object"].metadata.name
                if event["object"].status.phase == "Running" and name in names:
                    running.setdefault(name, time.monotonic())
                if len(running) == len(names):
                    return

        def create(name):
            began[name] = time.monotonic()
            core.create_namespaced_pod("bench", client.V1Pod(
                metadata=client.V1ObjectMeta(name=name),
                spec=client.V1PodSpec(termination_grace_period_seconds=0, containers=[client.V1Container(
                    name="c", image="localhost/web-app:1", command=["sleep", "3600"])])))

        follower = threading.Thread(target=follow)
        follower.start()
        time.sleep(0.05)
        creators = [threading.Thread(target=create, args=(name,)) for name in names]
        for thread in creators:
            thread.start()
        for thread in [*creators, follower]:
            thread.join()
        assert len(running) == len(names), f"{len(running)} of {len(names)} run"
        times += [(running[name] - began[name]) * 1000 for name in names]
        for name in names:
            core.delete_namespaced_pod(name, "bench", grace_period_seconds=0)
        wait_for("the crowd's end", lambda: not names & {pod.metadata.name for pod in core.list_namespaced_pod("bench").items})
    times.sort()
    row("the same, 20 at once", f"p50 {statistics.median(times):.0f} ms, p99 of {len(times)} {times[-2]:.0f} ms", "",
        "p99 < 200 ms")


def main():
    with folder("bench-") as base:
        measure(base)
        build.measure(base, row)
        registry.measure(base, row)
    print("\n| what | Apus | peer | goal |\n|---|---|---|---|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


def measure(base):
    directory = os.path.join(base, "data")
    os.mkdir(directory)
    server = Server(directory)
    server.start()
    try:
        archive = os.path.join(base, "web-app.tar")
        subprocess.run([str(ROOT / "Examples/web-app/build-image.sh"), "1", archive], check=True)
        server.run("image", "import", archive)
        core = client.CoreV1Api(config.new_client_from_config(server.kubeconfig))
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="bench")))
        wait_for("the default service account", lambda: server.kubectl("get", "-n", "bench", "serviceaccount", "default", check=False).returncode == 0)
        server.kubectl("create", "serviceaccount", "bench", "-n", "bench")
        server.kubectl("create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin", "--serviceaccount=bench:bench")
        token = server.kubectl("create", "token", "bench", "-n", "bench").strip()

        starts(server, "data of an idle cluster")
        idle(server)
        create_to_running(server, core)
        twenty_at_once(core)
        for kind, peers in (("configmap", ("512/s, p50 1.7 ms", "1,705/s, p99 26 ms")), ("pod", ("286/s", "903/s"))):
            for writers, peer in zip((1, 16), peers):
                rate, latency, cost = wrk(server, "create.lua", kind, token, f"{kind}-{writers}", connections=writers)
                row(f"durable {kind} creates, {writers} writer{'s' * (writers > 1)}",
                    f"{rate:,.0f}/s, p50 {latency['50']}, p99 {latency['99']}, {cost:.2f} ms CPU each", peer, "5 ×")
        watches.measure(server, token, wrk, row)
        server.kubectl("create", "configmap", "one", "-n", "bench", "--from-literal=a=b")
        for clients, peer in ((1, "800–1,200/s"), (16, "2,000–3,400/s")):
            rate, latency, cost = wrk(server, "get.lua", "/api/v1/namespaces/bench/configmaps/one", token, connections=clients)
            row(f"GETs, {clients} client{'s' * (clients > 1)}", f"{rate:,.0f}/s, p99 {latency['99']}, {cost:.3f} ms CPU each", peer, "3 ×")

        pod = json.loads(re.search(r"local pod = \[\[(.*?)\]\]", (ROOT / "Benchmarks/create.lua").read_text(), re.S).group(1))
        pod["metadata"]["annotations"] = {"filler": "x" * 1000}
        for count, peer in ((2000, "98 ms"), (10000, "")):
            core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=f"list-{count}")))
            wait_for("the default service account", lambda: server.kubectl(
                "get", "-n", f"list-{count}", "serviceaccount", "default", check=False).returncode == 0)
            for made in range(count):
                pod["metadata"]["name"] = f"pod-{made}"
                core.create_namespaced_pod(f"list-{count}", pod, _preload_content=False)
            path = f"/api/v1/namespaces/list-{count}/pods"
            size = len(server.kubectl("get", "--raw", path))
            for form, accept in (("", "application/json"), (" in protobuf", "application/vnd.kubernetes.protobuf")):
                before = forget_peak(server)
                _, latency, _ = wrk(server, "get.lua", path, token, accept, connections=1)
                row(f"LIST of {count:,} pods{form}", f"{latency['50']} ({size / 1e6:.1f} MB of JSON), memory before and at "
                    f"most {before:.0f} → {memory(server, 'VmHWM'):.0f} MiB", "" if form else peer, "10 ×")
        objects = int(server.kubectl("get", "--raw", "/api/v1/configmaps").count('"uid"')) + 12_000
        starts(server, f"over {objects // 1000 * 1000:,} objects")
    finally:
        server.run("down", "--purge", "--yes", check=False)
        if server.process.poll() is None:
            server.process.kill()


main()
