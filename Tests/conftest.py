"""A running Apus for the client tests, and the proof that it leaves nothing behind.

Run by Scripts/integration inside network, mount and process namespaces of its own.
"""

import contextlib
import fcntl
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from containerd import BUSYBOX, CONTAINERD, Containerd
from etcd import ETCD, ETCDCTL, Etcd

ROOT = pathlib.Path(__file__).resolve().parents[1]
APUS = os.environ.get("APUS", str(ROOT / ".build/debug/apus"))
DEADLINE = 60.0
# A user who owns nothing.
NOBODY = 65534
# What runs the pods of the fixture `server`: Apus' own engine, or a containerd by CRI (APUS_TEST_RUNTIME=containerd).
RUNTIME = os.environ.get("APUS_TEST_RUNTIME", "crun")
assert RUNTIME in ("crun", "containerd"), f"APUS_TEST_RUNTIME={RUNTIME}: crun or containerd"


# Where the servers of `fresh_server` keep their objects: in the data directory, or in an etcd (APUS_TEST_DATASTORE=etcd).
DATASTORE = os.environ.get("APUS_TEST_DATASTORE", "sqlite")
assert DATASTORE in ("sqlite", "etcd"), f"APUS_TEST_DATASTORE={DATASTORE}: sqlite or etcd"


def only_with_crun(reason):
    """Marks a test that is about what Apus' own engine does, or what CRI has no way for."""
    return pytest.mark.skipif(RUNTIME != "crun", reason=f"not on containerd: {reason}")


def as_local_user(attempt, *arguments):
    """What a function answers in a process of a user who owns nothing, or its error's name."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                answer = attempt(*arguments)
            except OSError as error:
                answer = type(error).__name__
            with os.fdopen(write, "w") as pipe:
                json.dump(answer, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


def wait_for(what, check, deadline=DEADLINE):
    """Asks until the answer is true. The deadline only bounds a failure; no assertion is about how long it took."""
    end = time.monotonic() + deadline
    last = None
    while time.monotonic() < end:
        try:
            last = check()
        except (subprocess.CalledProcessError, OSError, KeyError, IndexError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {deadline} s; last: {last!r}")


@contextlib.contextmanager
def folder(prefix):
    """A folder on a real file system that overlay accepts for its upper directories; gone afterwards."""
    path = tempfile.mkdtemp(prefix=prefix, dir="/var/tmp")
    try:
        yield path
    finally:
        shutil.rmtree(path)


def with_sockets(command, sockets):
    """A command that is given listening sockets by their names, as a service manager gives them (sd_listen_fds(3)), and the
    descriptors that it is to inherit for that, which are the caller's to close."""
    # Above what they become there: none is overwritten before it is moved.
    numbers = [fcntl.fcntl(kept, fcntl.F_DUPFD_CLOEXEC, 100) for kept in sockets.values()]
    moves = "".join(f" {3 + index}<&{number} {number}<&-" for index, number in enumerate(numbers))
    script = (f"exec{moves}; export LISTEN_PID=$$ LISTEN_FDS={len(numbers)} LISTEN_FDNAMES={':'.join(sockets)}; "
              'exec "$@"')
    return ["bash", "-euc", script, "bash", *command], numbers


class Server:
    """One data directory and the server that runs on it; with `sockets`, listening ones by name, it is given these."""

    def __init__(self, directory, port=6443, options=(), sockets=None):
        self.data = str(directory)
        self.port = port
        self.options = options
        self.sockets = sockets or {}
        self.process = None
        self.log = open(os.path.join(self.data, "..", "server.log"), "ab")

    @property
    def kubeconfig(self):
        return self.data + "/kubeconfig"

    def launch(self):
        """Starts the process, which may have to wait for its turn before it is ready."""
        command = [APUS, "up", "--data", self.data, "--port", str(self.port), "--log-level", "info", *self.options]
        numbers = []
        if self.sockets:
            command, numbers = with_sockets(command, self.sockets)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, pass_fds=numbers)
        for number in numbers:
            os.close(number)

    def start(self):
        self.launch()
        return self.ready()

    def ready(self):
        line = self.process.stdout.readline()
        assert "is ready" in line, f"no ready line but {line!r}; see {self.log.name}"
        return line

    def kill(self):
        """Ends the server as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=30) == 0
            self.process.stdout.close()

    def run(self, *arguments, check=True, **options):
        return subprocess.run([APUS, *arguments, "--data", self.data], check=check, text=True, capture_output=True, **options)

    def kubectl(self, *arguments, check=True, stdin=None, binary="kubectl", timeout=120):
        result = subprocess.run(
            [binary, *arguments], env={**os.environ, "KUBECONFIG": self.kubeconfig, "HOME": os.path.dirname(self.data)},
            input=stdin, text=True, capture_output=True, timeout=timeout)
        if check and result.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result if not check else result.stdout

    def json(self, *arguments):
        return json.loads(self.kubectl(*arguments, "-o", "json"))


def mount_cgroups():
    """Mounts the version 1 hierarchies that have no mount, as the server would, so that what is in them is seen."""
    mounted = {option for line in open("/proc/self/mountinfo") for fields in [line.split()]
               if fields[fields.index("-") + 1] == "cgroup" for option in fields[-1].split(",")}
    for line in open("/proc/self/cgroup"):
        names = line.split(":")[1]
        if names and not names.startswith("name=") and not mounted & set(names.split(",")):
            target = f"/sys/fs/cgroup/{names}"
            os.makedirs(target, exist_ok=True)
            subprocess.run(["mount", "-t", "cgroup", "-o", names, "cgroup", target], check=True)


def cgroups():
    return set(glob.glob("/sys/fs/cgroup/**/apus*", recursive=True))


mount_cgroups()
# Cgroups are the machine's: what a killed run left there, or another server has, is not this run's leak.
EARLIER_CGROUPS = cgroups()


def leftovers(bridge="apus0"):
    """What must not outlive a purge."""
    found = [line.split()[4] for line in open("/proc/self/mountinfo") if "apus" in line.split()[4]]
    found += sorted(cgroups() - EARLIER_CGROUPS)
    links = json.loads(subprocess.check_output(["ip", "-json", "link"]))
    found += [link["ifname"] for link in links if link["ifname"] == bridge or link["ifname"].startswith("veth")]
    tables = subprocess.check_output(["nft", "list", "tables"], text=True)
    found += [line for line in tables.splitlines() if "apus" in line]
    for status in glob.glob("/proc/[0-9]*/comm"):
        try:
            name = open(status).read().strip()
        except OSError:
            continue
        if name in ("conmon", "crun", "apus"):
            found.append(f"{status}: {name}")
    found += glob.glob("/run/apus/*/*")
    routes = subprocess.check_output(["ip", "route", "show", "table", "all"], text=True)
    found += [line for line in routes.splitlines() if "blackhole" in line or bridge in line]
    return found


def network_namespace(server, pod):
    """The file of a pod's network namespace, by the sandbox's record: it may have been made before the pod."""
    uid = server.json("get", "pod", pod)["metadata"]["uid"]
    record = json.load(open(f"{server.data}/containers/sandboxes/{uid}/record.json"))
    return glob.glob(f"/run/apus/*/ns/{record.get('networkID', uid)}/net")[0]


@contextlib.contextmanager
def fresh_server(base, *options):
    """A server on a data directory below the folder, with its node ready. At the end everything is purged and nothing may
    be left."""
    assert leftovers() == [], "the run must start clean"
    directory = os.path.join(base, "data")
    os.mkdir(directory)
    etcd = None
    if DATASTORE == "etcd":
        if ETCD is None or ETCDCTL is None:
            pytest.skip("APUS_TEST_DATASTORE=etcd needs etcd and etcdctl (Scripts/setup tests fetches them)")
        etcd = Etcd(base)
        options = (*options, *etcd.up_options)
    server = Server(directory, options=options)
    try:
        server.start()
        wait_for("the node is ready", lambda: "True" in server.kubectl(
            "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))
        yield server
    finally:
        purge = server.run("down", "--purge", "--yes", check=False)
        if server.process.poll() is None:
            server.process.kill()
        if etcd:
            etcd.stop()
        print(open(os.path.join(base, "server.log"), errors="replace").read()[-20000:])
    assert purge.returncode == 0, purge.stdout + purge.stderr
    assert leftovers() == []
    assert not os.path.exists(directory)


@pytest.fixture(scope="session")
def kubectls():
    """Every kubectl of the machine: the one on the path and those that Debian's package puts beside it."""
    found = [shutil.which("kubectl")]
    listing = subprocess.run(["dpkg", "-L", "kubectl"], capture_output=True, text=True).stdout
    found += sorted(line for line in listing.splitlines() if "/bin/kubectl." in line and os.access(line, os.X_OK))
    return [path for path in found if path]


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """The example's two versions as archives."""
    directory = tmp_path_factory.mktemp("images")
    for version in ("1", "2"):
        subprocess.run(
            [str(ROOT / "Examples/web-app/build-image.sh"), version, str(directory / f"web-app-{version}.tar")], check=True)
    return directory


@contextlib.contextmanager
def containerd_server(images):
    """A fresh server whose pods a containerd runs, with the example's images in that."""
    if CONTAINERD is None or not os.access(BUSYBOX, os.X_OK):
        pytest.skip("APUS_TEST_RUNTIME=containerd needs containerd (Scripts/setup tests fetches it) and busybox-static")
    with folder("it-cri-") as base:
        # Services are reached through the gateway, also from the pod that serves them; ports of the host by their plugin.
        runtime = Containerd(
            base, {"type": "portmap", "capabilities": {"portMappings": True}}, isDefaultGateway=True, hairpinMode=True)
        try:
            wait_for("containerd answers", lambda: runtime.ctr("version"))
            runtime.make("localhost/pause:1", ["/bin/sleep", "1000000"])
            for version in ("1", "2"):
                runtime.take(images / f"web-app-{version}.tar")
            with folder("it-") as data, fresh_server(
                    data, "--registry", "none", "--container-runtime-endpoint", f"unix://{runtime.socket}") as server:
                yield server
            assert runtime.containers() == set(), "a purge leaves nothing in the runtime"
        finally:
            runtime.stop()


@pytest.fixture(scope="module")
def server(images):
    """A fresh server with the example's images."""
    if RUNTIME == "containerd":
        with containerd_server(images) as server:
            yield server
        return
    with folder("it-") as base, fresh_server(base) as server:
        for version in ("1", "2"):
            server.run("image", "import", str(images / f"web-app-{version}.tar"))
        yield server
