"""Pods on another container runtime: Debian's containerd, asked by CRI, with a root, a state and a network of its own.

Run by Scripts/integration. Its low-level runtime is crun, which the other tests need, too.
"""

import glob
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from conftest import ROOT, folder, fresh_server, wait_for
from test_pod_life import create, events, finished, log, ready, status

BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
CONTAINERD = shutil.which("containerd", path=f"{os.environ['PATH']}:{ROOT}/.cache/bin:/usr/sbin:/usr/bin")
BOX = "localhost/box:1"

pytestmark = pytest.mark.skipif(CONTAINERD is None, reason="containerd is not installed: Scripts/setup tests fetches it")

CONFIG = """\
version = 2
root = "{base}/root"
state = "{base}/state"
[grpc]
  address = "{base}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{base}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "crun"
"""


def archive(path, name, entrypoint):
    """An image of Debian's static busybox, as `docker save` writes it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        program = pathlib.Path(BUSYBOX).read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
        for tool in ("sh", "sleep", "echo", "cat", "test", "touch", "hostname"):
            link = tarfile.TarInfo(f"bin/{tool}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for directory, mode in (("tmp", 0o1777), ("etc", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755)):
            made = tarfile.TarInfo(directory)
            made.type, made.mode = tarfile.DIRTYPE, mode
            tar.addfile(made)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps({
        "architecture": os.uname().machine.replace("x86_64", "amd64").replace("aarch64", "arm64"), "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["FROM_IMAGE=yes"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}).encode()
    name_of_config = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name_of_config, "RepoTags": [name], "Layers": [f"{digest}.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in ((name_of_config, config), (f"{digest}.tar", layer.getvalue()), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


class Containerd:
    def __init__(self, base):
        self.base = base
        self.socket = f"{base}/containerd.sock"
        self.log = open(f"{base}/containerd.log", "ab")
        with open(f"{base}/config.toml", "w") as file:
            file.write(CONFIG.format(base=base))
        os.mkdir(f"{base}/cni")
        with open(f"{base}/cni/10-test.conflist", "w") as file:
            json.dump({"cniVersion": "1.0.0", "name": "test", "plugins": [{
                "type": "bridge", "bridge": "cri0", "isGateway": True,
                "ipam": {"type": "host-local", "dataDir": f"{base}/ipam", "ranges": [[{"subnet": "10.99.0.0/24"}]]}}]}, file)
        path = f"{os.path.dirname(CONTAINERD)}:{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {**os.environ, "PATH": path}
        self.process = subprocess.Popen(
            [CONTAINERD, "--config", f"{base}/config.toml"], stdout=self.log, stderr=self.log, env=self.environment)

    def ctr(self, *arguments):
        return subprocess.run(
            ["ctr", "--address", self.socket, "--namespace", "k8s.io", *arguments], check=True, capture_output=True,
            text=True, env=self.environment).stdout

    def containers(self, *filters):
        """Ids of containers and sandboxes by containerd's own filters."""
        return set(self.ctr("containers", "list", "--quiet", *filters).split())

    def of(self, uid):
        return self.containers(f'labels."io.kubernetes.pod.uid"=={uid}')

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


@pytest.fixture(scope="module")
def containerd():
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("busybox-static is not installed")
    with folder("it-cri-") as base:
        runtime = Containerd(base)
        try:
            wait_for("containerd answers", lambda: runtime.ctr("version"))
            for name, entrypoint in (("localhost/pause:1", ["/bin/sleep", "1000000"]), (BOX, ["/bin/sh"])):
                archive(f"{base}/image.tar", name, entrypoint)
                runtime.ctr("images", "import", f"{base}/image.tar")
            # What is somebody else's stays.
            runtime.ctr("containers", "create", BOX, "foreign")
            yield runtime
            assert runtime.containers() == {"foreign"}, "a purge takes what it made, and nothing else"
            runtime.ctr("containers", "delete", "foreign")
        finally:
            runtime.stop()
            subprocess.run(["ip", "link", "delete", "cri0"], capture_output=True)
            print(open(f"{base}/containerd.log", errors="replace").read()[-20000:])


@pytest.fixture(scope="module")
def server(containerd):
    with folder("it-") as base, fresh_server(
            base, "--registry", "none", "--container-runtime-endpoint", f"unix://{containerd.socket}") as server:
        yield server


def pod(name, *scripts, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 30, **spec, "containers": [
            {"name": f"c{number}", "image": BOX, **(
                script if isinstance(script, dict) else {"command": ["/bin/sh", "-c", script]})}
            for number, script in enumerate(scripts)]}}


LIVES = "trap 'exit 0' TERM; echo lives; while true; do sleep 0.1; done"


def container_status(server, name, index=0):
    return sorted(status(server, name)["containerStatuses"], key=lambda status: status["name"])[index]


def test_a_pod_runs_and_tells(server, containerd):
    node = server.json("get", "nodes")["items"][0]
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://1.")
    assert any(BOX in image["names"] for image in node["status"]["images"])
    create(server, pod(
        "first", {"command": ["/bin/sh", "-c", "cat /etc/hosts; hostname; echo $FROM_IMAGE $OWN; " + LIVES],
                  "env": [{"name": "FROM_POD", "value": "too"}, {"name": "OWN", "value": "$(FROM_POD)"}],
                  "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}},
        LIVES, hostAliases=[{"ip": "10.1.2.3", "hostnames": ["alias.test"]}]))
    found = ready(server, "first")
    assert found["podIP"].startswith("10.99.0.")
    text = log(server, "first", "lives", "-c", "c0")
    assert "10.1.2.3\talias.test" in text and f"{found['podIP']}\tfirst" in text and "\nfirst\n" in text
    assert "\nyes too\n" in text
    ids = {entry["containerID"] for entry in found["containerStatuses"]}
    assert len(ids) == 2 and all(entry.startswith("containerd://") for entry in ids)
    uid = server.json("get", "pod", "first")["metadata"]["uid"]
    # Two containers and their sandbox.
    assert len(containerd.of(uid)) == 3 and {entry.split("//")[1] for entry in ids} < containerd.of(uid)


def test_ends_are_told_and_policies_kept(server):
    create(
        server, pod("fails", "echo last words >/dev/termination-log; exit 3", restartPolicy="Never"),
        pod("succeeds", "exit 0", restartPolicy="OnFailure"), pod("returns", "echo again; exit 4"))
    end = finished(server, "fails")
    ended = end["containerStatuses"][0]["state"]["terminated"]
    assert end["phase"] == "Failed" and ended["exitCode"] == 3 and ended["message"] == "last words\n"
    assert finished(server, "succeeds")["phase"] == "Succeeded"
    back = wait_for("it was started again", lambda: (
        lambda found: found["restartCount"] >= 1 and found["lastState"].get("terminated") and found)(
            container_status(server, "returns")))
    assert back["lastState"]["terminated"]["exitCode"] == 4
    server.kubectl("delete", "pod", "fails", "succeeds", "returns", "--timeout=60s")


def test_probes_run_commands(server):
    create(server, pod("probed", {
        "command": ["/bin/sh", "-c", "while ! test -e /tmp/asked-twice; do sleep 0.1; done; touch /tmp/ok; exec sleep 3600"],
        "readinessProbe": {"periodSeconds": 1, "exec": {"command": [
            "/bin/sh", "-c",
            "test -e /tmp/asked && touch /tmp/asked-twice; touch /tmp/asked; test -e /tmp/ok"]}}}))
    ready(server, "probed")
    assert any("Readiness probe failed" in message for message in events(server, "probed", "Unhealthy"))
    server.kubectl("delete", "pod", "probed", "--grace-period=1", "--timeout=60s")


def test_volumes_are_mounted(server, tmp_path):
    (tmp_path / "given").write_text("by the host")
    create(server, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"key": "value"}}, pod(
        "mounts", {
            "command": ["/bin/sh", "-c", "cat /map/key; echo; cat /host/given; echo; cat /one; echo; "
                        "echo done >/shared/file; exec sleep 3600"],
            "volumeMounts": [
                {"name": "map", "mountPath": "/map"}, {"name": "host", "mountPath": "/host", "readOnly": True},
                {"name": "map", "mountPath": "/one", "subPath": "key"}, {"name": "empty", "mountPath": "/shared"}]},
        {"command": ["/bin/sh", "-c", "while ! test -e /shared/file; do sleep 0.1; done; cat /shared/file; exec sleep 3600"],
         "volumeMounts": [{"name": "empty", "mountPath": "/shared"}]},
        volumes=[{"name": "map", "configMap": {"name": "map"}}, {"name": "host", "hostPath": {"path": str(tmp_path)}},
                 {"name": "empty", "emptyDir": {}}]))
    ready(server, "mounts")
    log(server, "mounts", "value\nby the host\nvalue", "-c", "c0")
    log(server, "mounts", "done", "-c", "c1")
    server.kubectl("delete", "pod", "mounts", "--grace-period=1", "--timeout=60s")


def test_what_cannot_be_done_is_said(server):
    refused = server.kubectl("exec", "first", "-c", "c0", "--", "echo", "hi", check=False)
    assert refused.returncode != 0 and "not supported" in refused.stdout + refused.stderr
    create(server, pod("users", LIVES, hostUsers=False))
    wait_for("the reason is told", lambda: any(
        "hostUsers" in message for message in events(server, "users", "FailedCreatePodSandBox")))
    create(server, {**pod("missing", LIVES), "spec": {
        **pod("missing", LIVES)["spec"],
        "containers": [{"name": "c0", "image": "localhost/none:1", "imagePullPolicy": "Never"}]}})
    wait_for("the image is missed", lambda: "ErrImageNeverPull" in json.dumps(status(server, "missing")))
    server.kubectl("delete", "pod", "users", "missing", "--timeout=60s")


def test_a_killed_server_finds_its_pods(server, containerd):
    create(server, pod("ends", "while ! test -e /tmp/end; do sleep 0.1; done; exit 5"))
    ready(server, "ends")
    before = {entry["name"]: entry for entry in status(server, "first")["containerStatuses"]}
    made = containerd.containers()
    ending = container_status(server, "ends")["containerID"].split("//")[1]
    server.kill()
    containerd.ctr("tasks", "exec", "--exec-id", "end", ending, "/bin/touch", "/tmp/end")
    wait_for("it ended while nobody listened", lambda: "STOPPED" in "".join(
        line for line in containerd.ctr("tasks", "list").splitlines() if ending in line)
        or ending not in containerd.ctr("tasks", "list"))
    assert containerd.containers() == made
    server.start()
    again = wait_for("its end is told", lambda: (
        lambda found: found["restartCount"] == 1 and found["lastState"].get("terminated") and found)(
            container_status(server, "ends")))
    assert again["lastState"]["terminated"]["exitCode"] == 5
    ready(server, "first")
    after = {entry["name"]: entry for entry in status(server, "first")["containerStatuses"]}
    for name, entry in before.items():
        assert after[name]["containerID"] == entry["containerID"] and after[name]["restartCount"] == 0
        assert after[name]["state"]["running"]["startedAt"] == entry["state"]["running"]["startedAt"]
    uid = server.json("get", "pod", "first")["metadata"]["uid"]
    assert len(containerd.of(uid)) == 3, "nothing was started twice"
    server.kubectl("delete", "pod", "ends", "--grace-period=1", "--timeout=60s")


def test_another_runtime_is_refused_on_the_same_data(server, containerd):
    server.stop()
    result = subprocess.run(
        [server.process.args[0], "up", "--data", server.data, "--port", str(server.port), "--registry", "none"],
        capture_output=True, text=True, timeout=60)
    assert result.returncode != 0 and "--container-runtime-endpoint" in result.stderr
    server.start()
    ready(server, "first")


def test_deletion_leaves_nothing(server, containerd):
    uid = server.json("get", "pod", "first")["metadata"]["uid"]
    assert containerd.of(uid)
    server.kubectl("delete", "pod", "first", "--timeout=60s")
    assert containerd.of(uid) == set()
    assert not glob.glob(f"{server.data}/containers/cri/pods/{uid}") and not glob.glob(f"{server.data}/node/pods/{uid}")
    # One more, for the purge at the end.
    create(server, pod("stays", LIVES))
    ready(server, "stays")
