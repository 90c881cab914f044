"""Debian's containerd with a root, a state and a network of its own, for the tests whose pods it runs."""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
CONTAINERD = shutil.which("containerd", path=f"{os.environ['PATH']}:{ROOT}/.cache/bin:/usr/sbin:/usr/bin")

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
        for tool in ("sh", "sleep", "echo", "cat", "head", "hostname", "nc", "rm", "tar", "test", "touch", "tr"):
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


def mount_leftover_controllers():
    """Debian's crun does not work while the version 2 hierarchy of a hybrid machine has a controller: it goes to version 1,
    where Apus' own engine has it too. The mount is the test's namespace's."""
    unified = "/sys/fs/cgroup/unified/cgroup.controllers"
    if not os.path.exists(unified):
        return
    with open(unified) as file:
        names = file.read().split()
    for name in names:
        target = f"/sys/fs/cgroup/{name}"
        os.makedirs(target, exist_ok=True)
        subprocess.run(["mount", "-t", "cgroup", "-o", name, "cgroup", target], check=True)


class Containerd:
    def __init__(self, base, *plugins, **bridge):
        """With more plugins of CNI than the bridge, and more settings of the bridge."""
        self.base = base
        self.socket = f"{base}/containerd.sock"
        self.log = open(f"{base}/containerd.log", "ab")
        with open(f"{base}/config.toml", "w") as file:
            file.write(CONFIG.format(base=base))
        os.mkdir(f"{base}/cni")
        with open(f"{base}/cni/10-test.conflist", "w") as file:
            json.dump({"cniVersion": "1.0.0", "name": "test", "plugins": [{
                "type": "bridge", "bridge": "cri0", "isGateway": True, **bridge,
                "ipam": {"type": "host-local", "dataDir": f"{base}/ipam", "ranges": [[{"subnet": "10.99.0.0/24"}]]}},
                *plugins]}, file)
        path = f"{os.path.dirname(CONTAINERD)}:{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {**os.environ, "PATH": path}
        mount_leftover_controllers()
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

    def take(self, path):
        """An image's archive."""
        self.ctr("images", "import", str(path))

    def make(self, name, entrypoint):
        archive(f"{self.base}/image.tar", name, entrypoint)
        self.take(f"{self.base}/image.tar")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()
        subprocess.run(["ip", "link", "delete", "cri0"], capture_output=True)
        print(open(f"{self.base}/containerd.log", errors="replace").read()[-20000:])
