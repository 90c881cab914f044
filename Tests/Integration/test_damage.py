"""Walks through the table of docs/recovery.md: every file of a data directory, damaged in every way that a disk or a hand
can, under a running pod. Nothing is lost silently, and no container runs twice."""

import glob
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from conftest import APUS, ROOT, folder, fresh_server, wait_for

DAMAGES = ("absent", "empty", "cut", "flipped", "old", "foreign")
WORDS = {"refused", "found", "again", "same", "exec", "one", "–"}
MARKER = "98765"


def table():
    """The rows of the table: the file's pattern, and what each damage does."""
    text = (ROOT / "docs/recovery.md").read_text()
    rows = re.findall(r"^\| `((?:DATA|RUN)/[^`]+)` \|(.+)\|$", text, re.M)
    return [(name, dict(zip(DAMAGES, (cell.strip() for cell in cells.split("|")), strict=True))) for name, cells in rows]


def test_the_table_is_complete():
    rows = table()
    assert len(rows) > 40 and len({name for name, _ in rows}) == len(rows)
    assert {word for _, cells in rows for word in cells.values()} <= WORDS


def runtime(server):
    return os.path.dirname(next(path for path in glob.glob("/run/apus/*/cluster")
                                if server.data in open(path).read()))


def copies():
    """The processes of the pod's container: there is one, or none for a moment."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(path).read().split("\0")
        except OSError:
            continue
        if words[:2] == ["sleep", MARKER]:
            found.append(int(path.split("/")[2]))
    return found


POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "witness"},
    "spec": {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "containers": [{
            "name": "c", "image": "localhost/web-app:1", "command": ["sh", "-c"],
            "args": [f"echo start >> /data/starts; echo here; exec sleep {MARKER}"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}
MAPS = {f"kept-{number}": {"text": f"value {number} " + "x" * number * 300} for number in range(6)}


def objects(server):
    found = {item["metadata"]["name"]: item["data"] for item in server.json("get", "configmaps")["items"]}
    return {name: data for name, data in found.items() if name.startswith("kept-")}


class Walk:
    """A killed server whose pod runs on, with an earlier state of its files and those of another cluster."""

    def __init__(self, server, old, foreign):
        self.server, self.old, self.foreign = server, old, foreign
        self.runtime = runtime(server)
        self.starts = 0
        self.kept = None

    def files(self, pattern):
        path = pattern.replace("DATA", self.server.data, 1) if pattern.startswith("DATA") else pattern.replace(
            "RUN", self.runtime, 1)
        return sorted(path for path in glob.glob(path) if os.path.isfile(path))

    def twin(self, path, kept):
        """The same file of an earlier time, or of another cluster."""
        for base, name in ((self.server.data, "data"), (self.runtime, "run")):
            if path.startswith(base + "/"):
                return f"{kept}/{name}{path[len(base):]}"

    def damage(self, path, how):
        content = open(path, "rb").read()
        if how == "absent":
            os.unlink(path)
            return
        if how in ("old", "foreign"):
            content = open(self.twin(path, self.old if how == "old" else self.foreign), "rb").read()
        elif how == "empty":
            content = b""
        elif how == "cut":
            # Files of the store may end with zeros that mean nothing.
            content = content[:len(content.rstrip(b"\0")) // 2]
        elif how == "flipped":
            middle = len(content.rstrip(b"\0")) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:]
        # In place: what has it open, or is mounted on it, sees it.
        with open(path, "r+b") as file:
            file.truncate(0)
            file.write(content)

    def start(self):
        """The exit code and the words of a start that is refused; None when it is not."""
        process = subprocess.Popen(
            [APUS, "up", "--data", self.server.data, "--log-level", "info"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        if "is ready" in line:
            self.server.process = process
            # Its log must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return None
        return process.wait(timeout=60), line + process.stderr.read()

    def lines(self):
        """How often the container was started, by its own word."""
        found = glob.glob(f"{self.server.data}/node/pods/*/volumes/data/starts")
        return len(open(found[0]).read().split()) if found else 0

    def has_log(self):
        """Only of a container that it has taken over the node gives out the log."""
        return "here" in self.server.kubectl("logs", "witness", check=False).stdout

    def check(self):
        """Everything is there, and the container is the one that was there, taken over by this server."""
        assert objects(self.server) == MAPS
        wait_for("the pod is taken over", lambda: self.has_log())
        assert self.lines() == self.starts, "it was started again"
        assert len(copies()) == 1

    def check_one(self):
        """The same, or it was ended first and then started again."""
        assert objects(self.server) == MAPS
        seen = []

        def settled():
            seen.append(len(copies()))
            return seen[-1] == 1 and self.has_log()

        wait_for("one container runs", settled)
        self.starts = self.lines()
        assert max(seen) <= 1 and len(copies()) == 1, "it ran twice"

    def kill(self):
        self.server.kill()

    def keep(self, path):
        """Remembers a file, and the store: SQLite begins another log when it finds a damaged one."""
        self.kept = path, open(path, "rb").read(), os.stat(path).st_mode
        shutil.rmtree(f"{self.old}/state", ignore_errors=True)
        shutil.copytree(f"{self.server.data}/state", f"{self.old}/state")

    def put_back(self, with_state=False):
        path, content, mode = self.kept
        if with_state:
            shutil.rmtree(f"{self.server.data}/state")
            shutil.copytree(f"{self.old}/state", f"{self.server.data}/state")
        # In place, for the same reason as in `damage`.
        with open(path, "r+b" if os.path.exists(path) else "wb") as file:
            file.truncate(0)
            file.write(content)
        os.chmod(path, mode)

    def is_bare(self):
        """Whether the file is still away, in a folder that is still there."""
        path = self.kept[0]
        return os.path.isdir(os.path.dirname(path)) and not (os.path.exists(path) and os.path.getsize(path))

    def run_pod(self):
        self.server.kubectl("create", "-f", "-", stdin=json.dumps(POD))
        self.server.kubectl("wait", "--for=condition=Ready", "pod/witness", "--timeout=60s")
        self.starts = 1

    def heal(self):
        """A row that failed says nothing about the next ones: they begin with a pod of their own."""
        if self.server.process.poll() is None:
            self.kill()
        self.put_back(with_state=True)
        assert self.start() is None
        self.server.kubectl("delete", "pod", "witness", "--grace-period=0", "--force", "--ignore-not-found")
        wait_for("it is gone", lambda: not copies())
        self.run_pod()
        self.kill()


@pytest.fixture(scope="module")
def walk(images):
    with folder("it-") as base:
        kept = f"{base}/kept"
        foreign, old = f"{kept}/foreign", f"{kept}/old"
        other = f"{base}/other"
        os.makedirs(other)
        with fresh_server(other) as server:
            server.kubectl("create", "configmap", "other")
            server.kill()
            shutil.copytree(server.data, f"{foreign}/data", symlinks=True, ignore=shutil.ignore_patterns("images"))
            # Without its socket, which is no file.
            shutil.copytree(runtime(server), f"{foreign}/run", symlinks=True,
                            ignore=shutil.ignore_patterns("ns", "shm", "data-plane"))
        main = f"{base}/main"
        os.makedirs(main)
        with fresh_server(main) as server:
            server.kill()
            shutil.copytree(server.data, f"{old}/data", symlinks=True, ignore=shutil.ignore_patterns("images"))
            server.start()
            server.run("image", "import", str(images / "web-app-1.tar"))
            for name, data in MAPS.items():
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
                server.kubectl("create", "-f", "-", stdin=json.dumps(body))
            walk = Walk(server, old, foreign)
            walk.run_pod()
            walk.kill()
            yield walk
            if server.process.poll() is not None:
                server.start()
            server.kubectl("delete", "pod", "witness", "--grace-period=0", "--force")


@pytest.mark.parametrize("pattern,cells", table(), ids=[name for name, _ in table()])
def test_damage(walk, pattern, cells):
    try:
        for how in DAMAGES:
            if cells[how] != "–":
                try_damage(walk, pattern, how, cells[how])
        # What was put back is as it was.
        assert walk.start() is None
        walk.check()
        walk.kill()
    except BaseException:
        walk.heal()
        raise


def try_damage(walk, pattern, how, word):
    paths = walk.files(pattern)
    assert paths, f"there is no {pattern}: the table is out of date"
    # One of many is enough: they are alike.
    path = paths[0]
    walk.keep(path)
    before = copies()
    walk.damage(path, how)
    refusal = walk.start()
    if refusal is None:
        assert word != "refused", f"{path} {how}: it started"
        (walk.check_one if word == "one" else walk.check)()
        walk.kill()
        if word in ("same", "exec") or word == "one" and walk.is_bare():
            walk.put_back()
        return
    code, text = refusal
    assert word in ("refused", "found"), f"{path} {how}: {text}"
    name = path.removesuffix("-wal")
    assert code == 1 and name in text and re.search("backup|Put back|remove it", text), f"{path} {how}: {code} {text}"
    # It says the same again, and the container has not noticed.
    assert walk.start()[0] == code
    assert copies() == before
    walk.put_back(with_state=True)
