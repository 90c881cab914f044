"""Compares two programs by loads of one second in turn:

    sudo .cache/venv/bin/python Benchmarks/compare.py BEFORE AFTER [ROUNDS]

A machine's speed changes from minute to minute by more than what a change costs. So both servers are there at once, each
in namespaces of its own, and of each pair of seconds the ratio is taken; what is printed is the median of the ratios.
"""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOADS = {
    "GET, 1 client": ("get", 1), "GET, 16 clients": ("get", 16),
    "configmap creates, 1 writer": ("configmap", 1), "configmap creates, 16 writers": ("configmap", 16),
    "pod creates, 1 writer": ("pod", 1), "LIST of configmaps": ("list", 1),
}
APART = """
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
exec "$@"
"""


def serve(program):
    """One server, and the loads that are asked for on the standard input."""
    os.environ["APUS"] = program
    os.environ["PATH"] = f"{ROOT}/.cache/bin:{os.environ['PATH']}"
    sys.path.insert(0, str(ROOT / "Tests"))
    from conftest import Server, folder, wait_for

    with folder("compare-") as base, contextlib.ExitStack() as ending:
        os.mkdir(os.path.join(base, "data"))
        server = Server(os.path.join(base, "data"))

        @ending.callback
        def end():
            server.run("down", "--purge", "--yes", check=False)
            # One that was measured under another version may not have gone by itself.
            server.process.kill()
            server.process.wait()

        server.start()
        server.kubectl("create", "namespace", "bench")
        wait_for("the namespace's account", lambda: server.kubectl(
            "get", "-n", "bench", "serviceaccount", "default", check=False).returncode == 0)
        server.kubectl("create", "serviceaccount", "bench", "-n", "bench")
        server.kubectl("create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin", "--serviceaccount=bench:bench")
        server.kubectl("create", "configmap", "one", "-n", "bench", "--from-literal=a=b")
        token = server.kubectl("create", "token", "bench", "-n", "bench").strip()
        maps = "/api/v1/namespaces/bench/configmaps"
        print("ready", flush=True)
        for number, line in enumerate(sys.stdin):
            kind, clients = LOADS[line.strip()]
            arguments = {"get": ["get.lua", f"{maps}/one", token], "list": ["get.lua", f"{maps}?limit=2000", token]}.get(
                kind, ["create.lua", kind, token, f"r{number}"])
            before = processor(server)
            output = subprocess.run(
                ["wrk", "-t", str(min(2, clients)), "-c", str(clients), "-d1", "-s", ROOT / "Benchmarks" / arguments[0],
                 f"https://127.0.0.1:{server.port}", "--", *arguments[1:]], capture_output=True, text=True, check=True).stdout
            assert "Non-2xx" not in output, output
            requests = int(re.search(r"(\d+) requests in", output).group(1))
            print((processor(server) - before) / requests, requests, flush=True)


def processor(server):
    """Seconds that the server's threads have run."""
    total = 0
    for thread in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:  # It has ended.
            pass
    return total / 1e9


def start(program):
    process = subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
         "bash", "-euc", APART, "apart", sys.executable, __file__, "--serve", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if line.strip() != "ready":
        sys.exit(f"{program} does not serve: {line}")
    return process


def ask(process, load):
    print(load, file=process.stdin, flush=True)
    seconds, requests = process.stdout.readline().split()
    return float(seconds), int(requests)


def main(before, after, rounds):
    servers = [start(os.path.abspath(program)) for program in (before, after)]
    results = {load: [] for load in LOADS}
    for number in range(rounds + 1):
        for load, pairs in results.items():
            pair = [None, None]
            for side in (0, 1) if number % 2 else (1, 0):
                pair[side] = ask(servers[side], load)
            if number:  # The first warms up.
                pairs.append(pair)
    for server in servers:
        server.stdin.close()
    for server in servers:
        server.wait()
    print("| what | CPU each, before | after | ratio | requests/s, before | after | ratio |\n|---|---|---|---|---|---|---|")
    for load, pairs in results.items():
        def middle(value):
            return statistics.median(value(before, after) for before, after in pairs)
        print(f"| {load} | {middle(lambda b, a: b[0]) * 1e6:.0f} µs | {middle(lambda b, a: a[0]) * 1e6:.0f} µs "
              f"| {middle(lambda b, a: a[0] / b[0]):.2f} | {middle(lambda b, a: b[1]):,.0f} "
              f"| {middle(lambda b, a: a[1]):,.0f} | {middle(lambda b, a: a[1] / b[1]):.2f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    elif len(sys.argv) in (3, 4):
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 10)
    else:
        sys.exit(__doc__)
