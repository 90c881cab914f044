"""Random kills, damaged files and hostile requests under load: `make soak`.

One seed decides what is done and in which order, and it is printed, so that a failure can be looked for again with
`SOAK_SEED`. After every blow the same promises are checked:

- every write that was acknowledged is there, and a LIST is JSON;
- no container runs twice, and no container was ended because the server died or a file of its was damaged;
- the application answers while the server is down;
- damage that Apus cannot mend is refused at the start with the file's name, and costs no container.

Run by Scripts/soak in namespaces of its own.
"""

import collections
import contextlib
import glob
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import yaml

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in (".", "Integration")]
from conftest import APUS, ROOT, Server, folder, leftovers, wait_for  # noqa: E402
from test_bad_input import Raw, config_map, MAPS  # noqa: E402
from test_kubectl import Load, pods, ready, url  # noqa: E402

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(1 << 32)))
REGISTRY_PORT = 5059
# A bound of each thread's work, beside the time.
MOST_REQUESTS = 200_000


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Worker(threading.Thread):
    """Does one thing again and again until the run ends; what it must not see is a failure of the run."""

    def __init__(self, run, name):
        super().__init__(name=name, daemon=True)
        self.run_state = run
        self.random = random.Random(f"{SEED} {name}")
        self.done = 0

    def run(self):
        for _ in range(MOST_REQUESTS):
            if self.run_state.ended.is_set():
                return
            try:
                self.step()
                self.done += 1
            # The server is away now and then, and refuses.
            except (OSError, http.client.HTTPException, ValueError):
                self.run_state.ended.wait(0.05)
            except Failure as failure:
                self.run_state.fail(f"{self.name}: {failure}")
                return


class Writer(Worker):
    """Creates, changes and deletes ConfigMaps, and remembers what was acknowledged."""

    def __init__(self, run, number):
        super().__init__(run, f"writer-{number}")
        self.number = number
        # What must be there: name to value; None where a deletion was acknowledged, absent where nobody knows.
        self.acknowledged = {}
        self.index = 0
        # Held for a write and its being remembered, so that a check sees nothing in between.
        self.between_writes = threading.Lock()

    def step(self):
        with self.between_writes:
            self.change()

    def change(self):
        raw = self.run_state.raw()
        action = self.random.random()
        known = [name for name, value in self.acknowledged.items() if value is not None]
        if action < 0.6 or not known:
            self.index += 1
            name, value = f"soak-{self.number}-{self.index}", str(self.random.random())
            self.write(name, value, lambda: raw("POST", MAPS, config_map(name, data={"value": value})), (201,))
        elif action < 0.85:
            name, value = self.random.choice(known), str(self.random.random())
            body = {"data": {"value": value}}
            self.write(name, value, lambda: raw(
                "PATCH", f"{MAPS}/{name}", body, content="application/merge-patch+json"), (200,))
        else:
            name = self.random.choice(known)
            self.write(name, None, lambda: raw("DELETE", f"{MAPS}/{name}"), (200,))

    def write(self, name, value, request, good):
        self.acknowledged.pop(name, None)
        status, answer, _ = request()
        if status in good:
            self.acknowledged[name] = value
        else:
            check(status in (409, 404, 429, 503, 504, 507), f"{name}: {status} {answer.get('message')}")


class Pusher(Worker):
    """Pushes blobs to the registry and reads back what was acknowledged."""

    def __init__(self, run):
        super().__init__(run, "pusher")
        self.digests = collections.deque(maxlen=50)

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", REGISTRY_PORT, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def step(self):
        if self.digests and self.random.random() < 0.5:
            digest = self.random.choice(self.digests)
            status, body, _ = self.request("GET", f"/v2/soak/blobs/{digest}")
            check(status == 200 or status == 429 or status >= 500, f"{digest}: {status}")
            if status == 200:
                check("sha256:" + hashlib.sha256(body).hexdigest() == digest, f"{digest} has other bytes")
            return
        data = self.random.randbytes(self.random.choice((10, 4096, 300_000)))
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, _, _ = self.request("POST", f"/v2/soak/blobs/uploads/?digest={digest}", data)
        if status == 201:
            self.digests.append(digest)


HEADS = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /api/v1/pods?watch=1&timeoutSeconds=-1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v2/_catalog?n=99999999999999999999 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v2/soak/blobs/sha256:../../../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT /v2/a/manifests/%2e%2e%2f%2e%2e HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\nabc",
]


class Attacker(Worker):
    """Sends what no client sends to both ports: random bytes, broken heads, cut bodies, heads that never end."""

    def __init__(self, run):
        super().__init__(run, "attacker")
        self.held = []

    def step(self):
        port = self.random.choice((self.run_state.server.port, REGISTRY_PORT))
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        if port == self.run_state.server.port and self.random.random() < 0.8:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        data = bytearray(self.random.choice(HEADS))
        for _ in range(self.random.randrange(4)):
            place = self.random.randrange(len(data))
            data[place:place + self.random.randrange(3)] = self.random.randbytes(self.random.randrange(3))
        if self.random.random() < 0.2:
            data = self.random.randbytes(self.random.randrange(1, 3000))
        connection.sendall(data[:self.random.randrange(1, len(data) + 1)] if self.random.random() < 0.3 else data)
        # Some stay open without an end, up to a bound of ours; the server closes them when its own is reached.
        if self.random.random() < 0.3:
            self.held.append(connection)
            if len(self.held) > 200:
                self.held.pop(self.random.randrange(len(self.held))).close()
        else:
            connection.settimeout(0.2)
            try:
                connection.recv(65536)
            except TimeoutError:
                pass
            connection.close()
        self.run_state.ended.wait(0.01)


class BadBodies(Worker):
    """Sends objects that are wrong with a right certificate: none may be answered with a 500."""

    def step(self):
        raw = self.run_state.raw()
        text = json.dumps(self.random.choice((
            config_map("bad", data={"a": "b"}),
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"containers": [
                {"name": "c", "image": "x", "ports": [{"containerPort": 1}], "env": [{"name": "A", "value": "b"}]}]}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bad"}, "spec": {
                "ports": [{"port": 1}], "externalIPs": ["127.0.0.1"], "selector": {"a": "b"}}},
        )))
        body = bytearray(text.encode())
        for _ in range(self.random.randrange(1, 6)):
            place = self.random.randrange(len(body))
            body[place:place + self.random.randrange(1, 4)] = self.random.choice(
                (b"{", b"}", b"[", b'"', b"null", b"1e999", b"-1", b"\\u0000", b"\xff", b"[" * 200, b'"a":1,'))
        plural = self.random.choice(("configmaps", "pods", "services"))
        status, answer, _ = raw("POST", f"/api/v1/namespaces/default/{plural}?dryRun=All", bytes(body))
        check(status < 500 or status in (503, 504, 507), f"{status} for {bytes(body)!r}: {answer}")


class Run:
    def __init__(self, base):
        self.random = random.Random(SEED)
        self.ended = threading.Event()
        self.failures = []
        self.client = None
        os.mkdir(os.path.join(base, "data"))
        self.server = Server(os.path.join(base, "data"), options=("--registry", f"127.0.0.1:{REGISTRY_PORT}"))
        self.writers = [Writer(self, number) for number in range(3)]
        self.workers = [*self.writers, Pusher(self), Attacker(self), BadBodies(self, "bad-bodies")]
        self.blows = collections.Counter()
        # When a blow at the containers began and when all was well again: requests between may fail.
        self.blows_at_containers = []
        self.load = None

    def fail(self, text):
        self.failures.append(text)
        self.ended.set()

    def raw(self):
        return self.client

    # What is checked

    def containers(self):
        """Containers that have a living process, by the cgroup of their pod: `{pod: {container: [process]}}`."""
        found = collections.defaultdict(lambda: collections.defaultdict(list))
        for path in glob.glob("/proc/[0-9]*/cgroup"):
            try:
                lines = open(path).read().splitlines()
            except OSError:
                continue
            for line in lines:
                pod, _, container = line.split(":", 2)[2].rpartition("/")
                if "/apus" in pod and re.fullmatch("[0-9a-f]{64}", container):
                    found[pod.rpartition("/")[2]][container].append(int(path.split("/")[2]))
                    break
        return {pod: dict(containers) for pod, containers in found.items()}

    def running(self):
        """The same without the processes, which come and go."""
        return {pod: set(containers) for pod, containers in self.containers().items()}

    def everything_is_there(self):
        with contextlib.ExitStack() as stopped:
            for writer in self.writers:
                stopped.enter_context(writer.between_writes)
            self.acknowledged_is_there()

    def acknowledged_is_there(self):
        status, answer, _ = self.client("GET", MAPS)
        check(status == 200, f"LIST: {status}")
        there = {item["metadata"]["name"]: item["data"]["value"] for item in answer["items"]
                 if item["metadata"]["name"].startswith("soak-")}
        for writer in self.writers:
            for name, value in writer.acknowledged.items():
                check(there.get(name) == value, f"{name}: acknowledged {value}, found {there.get(name)}")

    def all_is_well(self):
        # And those that are deleted have gone: their containers end by themselves.
        wait_for("three pods are there, and ready",
                 lambda: (found := pods(self.server)) and len(found) == 3 and all(map(ready, found)), 120)
        for pod, containers in self.running().items():
            check(len(containers) == 1, f"{pod} runs its container more than once: {sorted(containers)}")
        self.everything_is_there()

    def up(self):
        self.server.start()
        self.client = Raw(self.server)

    def no_request_was_lost(self):
        for began, ended, text in self.load.failures:
            if not any(began < end and ended > start for start, end in self.blows_at_containers):
                raise Failure(f"a request failed that began {began - self.began:.2f} s after the start and ended "
                              f"{ended - began:.2f} s later: {text}\n{self.scene()}")

    def scene(self):
        """What there is to look at when a request was lost."""
        blows = ", ".join(f"{start - self.began:.2f} to {end - self.began:.2f}"
                          for start, end in self.blows_at_containers[-4:])
        commands = (["nft", "list", "ruleset"], ["ss", "-tanp"], ["ip", "addr"], ["ip", "neigh"],
                    ["cat", "/proc/net/nf_conntrack"])
        parts = [f"blows at containers: {blows}", self.server.kubectl("get", "pods", "-o", "wide", check=False).stdout,
                 self.server.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False).stdout[-4000:]]
        for command in commands:
            result = subprocess.run(command, capture_output=True, text=True)
            parts.append(f"# {' '.join(command)}\n{result.stdout or result.stderr}")
        return "\n".join(parts)

    # Blows

    def kill_and_start(self):
        served = self.load.sent
        self.server.kill()
        if self.random.random() < 0.5:
            wait_for("the application answers without the server", lambda: self.load.sent > served + 5)
        self.up()

    def kill_while_starting(self):
        self.server.kill()
        process = subprocess.Popen(
            [APUS, "up", "--data", self.server.data, "--port", str(self.server.port), *self.server.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.random() * 0.3)
        process.kill()
        process.wait()
        self.up()

    def second_server(self):
        result = subprocess.run([APUS, "up", "--data", self.server.data, "--port", "7443"],
                                capture_output=True, text=True, timeout=60)
        check(result.returncode == 75, f"a second server: {result.returncode} {result.stderr}")

    def stop_name_server(self):
        for line in subprocess.check_output(["ps", "-eo", "pid=,args="], text=True).splitlines():
            pid, _, arguments = line.strip().partition(" ")
            if " data-plane --data " in arguments:
                os.kill(int(pid), self.random.choice((signal.SIGSTOP, signal.SIGKILL)))

    def kill_a_container(self):
        processes = sorted(process for containers in self.containers().values()
                           for processes in containers.values() for process in processes)
        with contextlib.suppress(ProcessLookupError):  # It has ended meanwhile, as a probe's does.
            os.kill(self.random.choice(processes), signal.SIGKILL)

    def delete_a_pod(self):
        pod = self.random.choice(pods(self.server))["metadata"]["name"]
        self.server.kubectl("delete", "pod", pod, "--wait=false", check=False)

    def damage_records(self):
        """Records of containers are cut, emptied or removed while the server is down: nothing runs twice or is lost."""
        self.server.kill()
        records = sorted(pathlib.Path(self.server.data).glob("containers/**/*.json"))
        for record in self.random.sample(records, min(len(records), 2)):
            data = record.read_bytes()
            kind = self.random.choice(("cut", "empty", "remove", "flip"))
            if kind == "remove":
                record.unlink()
            elif kind == "flip":
                place = self.random.randrange(len(data) or 1)
                record.write_bytes(data[:place] + bytes([(data[place] if data else 0) ^ 0x55]) + data[place + 1:])
            else:
                record.write_bytes(data[:self.random.randrange(len(data) or 1)] if kind == "cut" else b"")
        self.up()

    def remove_what_can_be_made_again(self):
        self.server.kill()
        for name in self.random.sample(["kubeconfig", "server.json", "state/lock"], 2):
            path = os.path.join(self.server.data, name)
            if os.path.exists(path):
                os.unlink(path)
        self.up()

    def damage_what_cannot_be_mended(self):
        """The store or a key is damaged: the start is refused by name, no container ends, and with the file back all is
        as it was."""
        self.server.kill()
        before = self.running()
        name = self.random.choice(["state/state.db", "pki/ca.crt", "pki/ca.key", "pki/sa.key"])
        path = os.path.join(self.server.data, name)
        folder_copy = shutil.copytree(os.path.dirname(path), os.path.dirname(path) + ".soak", symlinks=True)
        kind = self.random.choice(("empty", "remove"))
        os.truncate(path, 0) if kind == "empty" else os.unlink(path)
        try:
            result = subprocess.run(
                [APUS, "up", "--data", self.server.data, "--port", str(self.server.port), *self.server.options],
                capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            raise Failure(f"{name} ({kind}): the server started") from None
        check(result.returncode != 0, f"{name} ({kind}): the start ended with 0")
        check(os.path.basename(name) in result.stderr, f"{name} ({kind}): {result.stderr!r} does not name it")
        check(self.running() == before, f"{name} ({kind}): containers changed")
        shutil.rmtree(os.path.dirname(path))
        os.rename(folder_copy, os.path.dirname(path))
        self.up()

    def go(self):
        self.up()
        for version in ("1", "2"):
            archive = os.path.join(self.server.data, "..", f"web-app-{version}.tar")
            subprocess.run([str(ROOT / "Examples/web-app/build-image.sh"), version, archive], check=True)
            self.server.run("image", "import", archive)
        self.server.kubectl("apply", "-f", str(ROOT / "Examples/web-app/app.yaml"))
        self.server.kubectl("rollout", "status", "deployment/web-app", "--timeout=90s")
        blows = [self.kill_and_start, self.kill_while_starting, self.second_server, self.stop_name_server,
                 self.kill_a_container, self.delete_a_pod, self.damage_records, self.remove_what_can_be_made_again,
                 self.damage_what_cannot_be_mended]
        self.began = time.monotonic()
        end = self.began + SECONDS
        # The application's own failures count only between blows at its containers: a request to a container that is
        # killed fails, as it must.
        harmless = (self.kill_and_start, self.kill_while_starting, self.second_server,
                    self.remove_what_can_be_made_again, self.damage_what_cannot_be_mended)
        with Load(url(self.server)) as self.load:
            for worker in self.workers:
                worker.start()
            try:
                while time.monotonic() < end and not self.failures:
                    blow = self.random.choice(blows)
                    self.blows[blow.__name__] += 1
                    print(f"{time.monotonic() - self.began:6.1f} s  {blow.__name__}", flush=True)
                    start = time.monotonic()
                    blow()
                    self.all_is_well()
                    if blow not in harmless:
                        wait_for("the service answers", lambda sent=self.load.sent: self.load.sent > sent + 5)
                        self.blows_at_containers.append((start, time.monotonic()))
                    self.no_request_was_lost()
            finally:
                self.ended.set()
        for worker in self.workers:
            worker.join(60)
        self.everything_is_there()


def main():
    print(f"seed {SEED}, {SECONDS:.0f} s; again with SOAK_SEED={SEED}", flush=True)
    status = 1
    with folder("soak-") as base:
        run = Run(base)
        try:
            run.go()
            status = 0
        except (Failure, AssertionError) as failure:
            run.fail(str(failure))
        finally:
            peak = "?"
            if run.server.process and run.server.process.poll() is None:
                peak = next((line.split()[1] for line in open(f"/proc/{run.server.process.pid}/status")
                             if line.startswith("VmHWM")), "?")
            purge = run.server.run("down", "--purge", "--yes", check=False)
            if purge.returncode:
                run.fail(purge.stdout + purge.stderr)
            if run.server.process:
                # Ours, and a zombie until it is waited for.
                run.server.process.wait(30)
            if leftovers():
                run.fail(f"left over: {leftovers()}")
        if run.failures:
            status = 1
            print(open(os.path.join(base, "server.log"), errors="replace").read()[-30000:])
    print(f"blows {dict(run.blows)}")
    print("steps " + str({worker.name: worker.done for worker in run.workers}) + f", requests served {run.load.sent if run.load else 0}")
    print(f"acknowledged objects {sum(len(w.acknowledged) for w in run.writers)}, the last server's peak {peak} KiB")
    for failure in run.failures:
        print(f"FAILED (seed {SEED}): {failure}")
    print("passed" if status == 0 else "failed")
    return status


if __name__ == "__main__":
    sys.exit(main())
