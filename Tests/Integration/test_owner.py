"""Containers, networks and directories have one owner: no second server takes them, and no purge removes another's."""

import glob
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import APUS, ROOT, Server, folder, wait_for
from test_pods import create, phase, pod


def apus(*arguments, **options):
    return subprocess.run([APUS, *arguments], capture_output=True, text=True, timeout=90, **options)


def up(directory, *options):
    return apus("up", "--data", directory, *options)


def network():
    """What the kernel has of the first server's network."""
    links = {link["ifname"]: link for link in json.loads(subprocess.check_output(["ip", "-json", "-details", "link"]))}
    rules = re.sub(r"counter packets \d+ bytes \d+", "", subprocess.check_output(["nft", "list", "table", "inet", "apus0"], text=True))
    routes = [line for line in subprocess.check_output(["ip", "route"], text=True).splitlines()
              if "apus0" in line or "10.244." in line or "10.96." in line]
    return links["apus0"].get("ifalias"), links["apus0"]["address"], rules, routes


def left(data):
    """What there still is of a server on these data that had `APART`. Others run beside it."""
    digest = 2166136261
    for byte in data.encode():
        digest = (digest ^ byte) * 16777619 % (1 << 32)
    found = glob.glob(f"/sys/fs/cgroup/**/apus-{digest:08x}", recursive=True) + glob.glob(f"/run/apus/{digest:08x}")
    found += [line.split()[4] for line in open("/proc/self/mountinfo") if data in line.split()[4]]
    found += [line for line in subprocess.check_output(["ip", "route"], text=True).splitlines()
              if "apus7" in line or "10.207." in line or "10.107." in line]
    found += [line for line in subprocess.check_output(["nft", "list", "tables"], text=True).splitlines() if "apus7" in line]
    if subprocess.run(["ip", "link", "show", "apus7"], capture_output=True).returncode == 0:
        found.append("apus7")
    return found + [claim for claim in glob.glob("/run/apus/claims/*") if json.load(open(claim))["directory"] == data]


def name_server(server):
    """The process that the record names; None while it is being written."""
    try:
        return json.load(open(server.data + "/data-plane/record.json"))["processID"]
    except ValueError:
        return None


BESIDE = ("--port", "7443", "--registry", "none")
APART = ("--bridge", "apus7", "--pod-range", "10.207.0.0/24", "--service-range", "10.107.0.0/16")


@pytest.mark.parametrize("options", [
    (), BESIDE,
    BESIDE + ("--bridge", "apus7"),
    BESIDE + ("--bridge", "apus7", "--pod-range", "10.207.0.0/24"),
    BESIDE + ("--bridge", "apus7", "--service-range", "10.107.0.0/16"),
    BESIDE + ("--bridge", "apus7", "--pod-range", "10.244.0.128/25", "--service-range", "10.107.0.0/16"),
    BESIDE + ("--pod-range", "10.207.0.0/24", "--service-range", "10.107.0.0/16"),
    BESIDE + ("--bridge", "apus7", "--pod-range", "10.96.7.0/24", "--service-range", "10.107.0.0/16"),
], ids=str)
def test_a_second_server_takes_nothing_of_the_first(server, options):
    before = network()
    with folder("it-") as base:
        other = base + "/data"
        result = up(other, *options)
        assert result.returncode == 75, result.stderr
        assert server.data in result.stderr and str(server.process.pid) in result.stderr
        assert "errno" not in result.stderr and "descriptor" not in result.stderr
        assert network() == before
        # What would have been the worst: the purge that tidies up after it.
        purge = apus("down", "--purge", "--yes", "--data", other)
        assert purge.returncode == 0, purge.stderr
        assert not os.path.exists(other)
    assert network() == before
    assert server.kubectl("get", "nodes")


def test_the_advice_is_safe_to_follow(server):
    """What a refusal says to type starts a second server, and its purge leaves the first one alone."""
    with folder("it-") as base:
        refused = up(base + "/data")
        command = re.search(r"^ *(apus up .*)$", refused.stderr, re.M).group(1).split()
        before = network()
        process = subprocess.Popen([APUS, *command[1:]], stdout=subprocess.PIPE, text=True)
        try:
            assert "is ready" in process.stdout.readline()
            assert network() == before
            # And there is room for a third one.
            third = up(base + "/third")
            assert third.returncode == 75 and set(third.stderr.split()) & {"apus2", "apus3"}, third.stderr
        finally:
            purge = apus("down", "--purge", "--yes", "--data", base + "/data")
            process.kill()
            process.wait()
            process.stdout.close()
        assert purge.returncode == 0, purge.stderr
        apus("down", "--purge", "--yes", "--data", base + "/third")
        assert network() == before


def test_a_server_that_cannot_listen_has_touched_nothing(server):
    before = network()
    with folder("it-") as base, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for options in (("--port", port, "--registry", "none"), ("--port", "7443", "--registry", "127.0.0.1:" + port)):
            result = up(base + "/data", *options, *APART)
            assert result.returncode == 1 and f"process {os.getpid()}" in result.stderr, result.stderr
            assert "errno" not in result.stderr and "bind(" not in result.stderr
            assert subprocess.run(["ip", "link", "show", "apus7"], capture_output=True).returncode
            assert "apus7" not in subprocess.check_output(["nft", "list", "tables"], text=True)
        # It holds nothing: another one may have it.
        assert [c for c in glob.glob("/run/apus/claims/*") if base in open(c).read()] == []
        assert apus("down", "--purge", "--yes", "--data", base + "/data").returncode == 0
    assert network() == before


def test_a_claim_outlives_its_server(server):
    """The containers of a server that was killed use its network on."""
    create(server, pod("outliving", "sleep 3600"))
    phase(server, "outliving", "Running")
    server.kill()
    try:
        before = network()
        with folder("it-") as base:
            result = up(base + "/data", *BESIDE)
            assert result.returncode == 75 and server.data in result.stderr and "stopped" in result.stderr, result.stderr
            # Not even when the claim is removed by hand: the bridge tells whose it is.
            for claim in glob.glob("/run/apus/claims/*"):
                os.unlink(claim)
            result = up(base + "/data", *BESIDE)
            assert result.returncode == 1 and "apus0" in result.stderr and "another Apus server" in result.stderr, result.stderr
            assert apus("down", "--purge", "--yes", "--data", base + "/data").returncode == 0
        assert network() == before
    finally:
        server.start()
    wait_for("the claim is there again", lambda: glob.glob("/run/apus/claims/*.json"))
    server.kubectl("delete", "pod", "outliving")


def test_a_foreign_bridge_is_left_alone():
    subprocess.run(["ip", "link", "add", "mine", "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "add", "nobridge", "type", "veth", "peer", "name", "nobridge1"], check=True)
    try:
        with folder("it-") as base:
            for name, word in (("mine", "not made by Apus"), ("nobridge", "no bridge")):
                result = up(base + "/data", "--port", "7443", "--registry", "none", *APART, "--bridge", name)
                assert result.returncode == 1 and name in result.stderr and word in result.stderr, result.stderr
            assert apus("down", "--purge", "--yes", "--data", base + "/data").returncode == 0
        assert subprocess.run(["ip", "link", "show", "mine"], capture_output=True).returncode == 0
    finally:
        for name in ("mine", "nobridge"):
            subprocess.run(["ip", "link", "del", name], check=True)


def test_a_name_server_that_does_not_answer_is_replaced(server):
    process = name_server(server)
    address = server.json("get", "service", "kubernetes")["spec"]["clusterIP"]
    os.kill(process, signal.SIGSTOP)
    wait_for("another one runs", lambda: name_server(server) not in (None, process), deadline=90)
    wait_for("it answers", lambda: address in subprocess.run(
        ["busybox", "nslookup", "kubernetes.default.svc.cluster.local", "10.96.0.10"],
        capture_output=True, text=True, timeout=30).stdout)
    assert not os.path.exists(f"/proc/{process}") or open(f"/proc/{process}/stat").read().split()[2] == "Z"


def test_a_name_server_without_a_record_is_replaced(server):
    process = name_server(server)
    server.kill()
    open(server.data + "/data-plane/record.json", "w").write("{")
    os.unlink(server.data + "/data-plane/lock")
    server.start()
    wait_for("another one runs", lambda: name_server(server) not in (None, process))
    assert not os.path.exists(f"/proc/{process}")


def test_a_purge_removes_the_port_plugins_chains():
    if not shutil.which("iptables"):
        pytest.skip("needs iptables")
    saved = lambda: [line for line in subprocess.check_output(["iptables-save", "-t", "nat"], text=True).splitlines() if "CNI-" in line]
    with folder("it-") as base:
        directory = base + "/data"
        os.mkdir(directory)
        server = Server(directory, port=7443, options=("--registry", "none", *APART))
        try:
            server.start()
            archive = base + "/image.tar"
            subprocess.run([str(ROOT / "Examples/web-app/build-image.sh"), "1", archive], check=True)
            server.run("image", "import", archive)
            create(server, pod("port", {"name": "c", "command": ["sleep", "3600"], "ports": [
                {"containerPort": 80, "hostPort": 18080}]}))
            phase(server, "port", "Running")
            assert [line for line in saved() if "10.207.0." in line]
        finally:
            purge = server.run("down", "--purge", "--yes", check=False)
            server.process.wait()
        assert purge.returncode == 0, purge.stderr
        assert [line for line in saved() if "10.207.0." in line] == []


# A purge, and what it must not touch.

def snapshot(directory):
    return {path: (open(path, "rb").read() if os.path.isfile(path) else None)
            for path in sorted(glob.glob(directory + "/**", recursive=True, include_hidden=True))}


def strange(base, kind):
    """A directory that is not Apus', and what lies beside it."""
    directory = base + "/" + kind
    os.mkdir(directory)
    if kind == "files":
        open(directory + "/letter.txt", "w").write("dear")
    elif kind == "pictures":
        os.makedirs(directory + "/images/2024")
        open(directory + "/images/2024/cat.jpg", "w").write("cat")
    elif kind == "registry":
        os.makedirs(directory + "/registry/docker")
    elif kind == "kubeconfig":
        open(directory + "/kubeconfig", "w").write("mine")
    elif kind == "mount":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
        open(directory + "/letter.txt", "w").write("dear")
    elif kind == "false-mark":
        open(directory + "/.apus", "w").write("{}")
        open(directory + "/letter.txt", "w").write("dear")
    elif kind == "link-mark":
        os.symlink(base + "/own/.apus", directory + "/.apus")
        open(directory + "/letter.txt", "w").write("dear")
    elif kind == "configuration":
        open(directory + "/config.json", "w").write('{"auths": {}}')
        open(directory + "/letter.txt", "w").write("dear")
    return directory


@pytest.mark.parametrize("kind", ["empty", "files", "pictures", "registry", "kubeconfig", "mount", "false-mark", "link-mark", "configuration"])
def test_a_purge_of_what_is_not_ours_is_refused(kind):
    with folder("it-") as base:
        directory = strange(base, kind)
        before = snapshot(directory)
        result = apus("down", "--purge", "--yes", "--data", directory)
        assert result.returncode == 1 and "nothing is removed" in result.stderr, result.stderr
        assert snapshot(directory) == before
        if kind not in ("empty",):
            result = up(directory, "--port", "7443", "--registry", "none", *APART)
            assert result.returncode == 1 and "not Apus'" in result.stderr, result.stderr
            assert snapshot(directory) == before
        if kind == "mount":
            subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("path", ["/", "/root", "//", "/root/", "/usr/.."])
def test_the_root_and_homes_are_no_data_directories(path):
    for arguments in (("down", "--purge", "--yes"), ("up", "--port", "7443", "--registry", "none", *APART)):
        result = apus(*arguments, "--data", path)
        assert result.returncode == 1 and ("root of the file system" in result.stderr or "home directory" in result.stderr)
    assert not os.path.exists("/.apus") and not os.path.exists("/root/.apus")


def test_a_purge_of_nothing_says_so():
    with folder("it-") as base:
        result = apus("down", "--purge", "--yes", "--data", base + "/typo")
        assert result.returncode == 69 and "not there" in result.stderr
        for command in (("image", "list"), ("status",), ("image", "remove", "x:1")):
            result = apus(*command, "--data", base + "/typo")
            assert result.returncode == 69, (command, result)
        assert os.listdir(base) == []


@pytest.fixture
def stopped():
    """A data directory on which a server has run."""
    with folder("it-") as base:
        os.mkdir(base + "/data")
        server = Server(base + "/data", port=7443, options=("--registry", "none", *APART))
        server.start()
        server.stop()
        yield server
        subprocess.run([APUS, "down", "--purge", "--yes", "--data", server.data], capture_output=True)
    assert left(server.data) == []


def test_a_purge_asks(stopped):
    # Nobody to ask.
    result = apus("down", "--purge", "--data", stopped.data, stdin=subprocess.DEVNULL)
    assert result.returncode == 64 and f"apus down --purge --yes --data {stopped.data}" in result.stderr
    # Whoever sits at the terminal may say no.
    for answer, gone in (("no", False), ("", False), ("y", False), ("yes", True)):
        primary, secondary = pty.openpty()
        process = subprocess.Popen([APUS, "down", "--purge", "--data", stopped.data], stdin=secondary, stderr=secondary)
        os.close(secondary)
        os.write(primary, answer.encode() + b"\n")
        assert (process.wait(timeout=60) == 0) == gone
        os.close(primary)
        assert os.path.exists(stopped.data) != gone


def test_a_purge_leaves_what_others_put_there(stopped):
    open(stopped.data + "/letter.txt", "w").write("dear")
    os.makedirs(stopped.data + "/photos/2024")
    result = apus("down", "--purge", "--yes", "--data", stopped.data)
    assert result.returncode == 0 and "letter.txt" in result.stderr, result.stderr
    assert sorted(os.listdir(stopped.data)) == ["letter.txt", "photos"]
    # It is nobody's now.
    assert apus("down", "--purge", "--yes", "--data", stopped.data).returncode == 1


def test_a_purge_does_not_unmount_what_others_mounted(stopped):
    for name in ("elsewhere", "images/more", "node"):
        target = f"{stopped.data}/{name}"
        os.makedirs(target, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
        open(target + "/letter.txt", "w").write("dear")
        result = apus("down", "--purge", "--yes", "--data", stopped.data)
        assert result.returncode == 1 and target in result.stderr, result.stderr
        assert open(target + "/letter.txt").read() == "dear" and os.path.exists(stopped.data + "/state")
        subprocess.run(["umount", target], check=True)


def test_another_name_of_a_directory_is_not_another_directory(stopped):
    other = os.path.dirname(stopped.data) + "/other"
    os.mkdir(other)
    subprocess.run(["mount", "--bind", stopped.data, other], check=True)
    try:
        for arguments in (("down", "--purge", "--yes"), ("up", "--port", "7443", "--registry", "none", *APART)):
            result = apus(*arguments, "--data", other)
            assert result.returncode in (1, 75) and stopped.data in result.stderr, result.stderr
    finally:
        subprocess.run(["umount", other], check=True)
    # And a copy is another one, that has nothing on the machine.
    shutil.copytree(stopped.data, other, dirs_exist_ok=True)
    result = apus("down", "--purge", "--yes", "--data", other)
    assert result.returncode == 1 and "copy" in result.stderr
    assert os.path.exists(other + "/state")


def test_a_deleted_directory_is_tidied_up_after(stopped):
    shutil.rmtree(stopped.data)
    assert subprocess.run(["ip", "link", "show", "apus7"], capture_output=True).returncode == 0
    result = apus("down", "--purge", "--yes", "--data", stopped.data)
    assert result.returncode == 0, result.stderr
    assert left(stopped.data) == []


def test_an_emptied_directory_is_tidied_up_after(stopped):
    """What a start on it advises has to work: its mark is gone, too."""
    for name in os.listdir(stopped.data):
        path = os.path.join(stopped.data, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    result = apus("down", "--purge", "--yes", "--data", stopped.data)
    assert result.returncode == 0, result.stderr
    assert left(stopped.data) == []


def test_the_server_of_a_deleted_directory_is_stopped_first(stopped):
    stopped.start()
    # Renamed and not removed: the server goes on writing meanwhile.
    os.rename(stopped.data, stopped.data + "-gone")
    result = apus("down", "--purge", "--yes", "--data", stopped.data)
    assert result.returncode == 0, result.stderr
    assert stopped.process.wait(timeout=30) is not None
    assert left(stopped.data) == []


def test_a_moved_directory_that_left_a_link_behind(stopped):
    """What was started under its first path still runs: it waits there, and nothing is changed."""
    moved = stopped.data + "-moved"
    os.rename(stopped.data, moved)
    os.symlink(moved, stopped.data)
    before = open(moved + "/.apus").read()
    for arguments in (["up", *stopped.options, "--port", "7443"], ["down", "--purge", "--yes"]):
        result = apus(*arguments, "--data", stopped.data)
        assert result.returncode in (1, 75) and f"{moved} was {stopped.data}" in result.stderr, result.stderr
    assert open(moved + "/.apus").read() == before
    os.unlink(stopped.data)
    os.rename(moved, stopped.data)
    stopped.start()
    stopped.stop()


def test_a_server_record_with_any_number_is_read(stopped):
    record = json.load(open(stopped.data + "/server.json"))
    for number in (-1, -(1 << 63), (1 << 63) - 1):
        with open(stopped.data + "/server.json", "w") as file:
            json.dump(record | {"processStart": number}, file)
        assert apus("status", "--data", stopped.data).returncode == 69


def test_a_disk_of_its_own_stays_mounted():
    with folder("it-") as base:
        disk = base + "/disk"
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
        try:
            os.mkdir(disk + "/lost+found")
            open(disk + "/registry.yaml", "w").write("")
            server = Server(disk, port=7443, options=("--registry", "none", *APART))
            server.start()
            server.stop()
            result = apus("down", "--purge", "--yes", "--data", disk)
            assert result.returncode == 0, result.stderr
            # What was there before is left.
            assert sorted(os.listdir(disk)) == ["lost+found", "registry.yaml"]
        finally:
            subprocess.run(["umount", disk], check=True)
    assert left(disk) == []
