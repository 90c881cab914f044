"""What lives is known by more than one witness: a file that is cut, old, false or gone never starts anything twice."""

import glob
import json
import os
import shutil
import signal
import subprocess

import pytest

from conftest import wait_for
from test_pods import create, phase, pod, state


def copies(marker):
    """The processes of the machine that run this command line."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if open(path, "rb").read() == b"sleep\0" + marker.encode() + b"\0":
                found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


class Container:
    def __init__(self, server, name):
        self.server, self.name = server, name
        self.id = state(server, name)["containerStatuses"][0]["containerID"].split("//")[1]
        self.folder = f"{server.data}/containers/containers/{self.id}"
        self.record = json.load(open(self.folder + "/record.json"))
        [self.run] = [path for path in glob.glob("/run/apus/*") if os.path.exists(f"{path}/oci/{self.id}")]

    def write(self, path, content):
        with open(f"{self.folder}/{path}", "w") as file:
            file.write(content)

    def remove(self, *paths):
        for path in paths:
            os.unlink(path if path.startswith("/") else f"{self.folder}/{path}")


def cut(container):
    container.write("record.json", open(container.folder + "/record.json").read()[:100])


def empty(container):
    container.write("record.json", "")


def missing(container):
    container.remove("record.json")


def exit_file(container):
    os.makedirs(container.folder + "/exits", exist_ok=True)
    container.write(f"exits/{container.id}", "0")


def missing_and_exit_file(container):
    missing(container)
    exit_file(container)


def says_it_ended(container):
    container.write("record.json", json.dumps(container.record | {"phase": "exited", "exitCode": 0}))


def of_another_boot(container):
    container.write("record.json", json.dumps(container.record | {"bootID": "another"}))


def no_record_at_all(container):
    container.remove("record.json", "config.json", "container.pid", "conmon.pid", f"{container.run}/oci/{container.id}/config.json")


def no_engine_state(container):
    shutil.rmtree(f"{container.run}/oci/{container.id}")
    missing(container)


def no_monitor_and_exit_file(container):
    os.kill(container.record["monitor"]["pid"], signal.SIGKILL)
    exit_file(container)


def no_sandbox(container):
    shutil.rmtree(f"{container.server.data}/containers/sandboxes/{container.record['podUID']}")
    cut(container)


DAMAGES = [
    cut, empty, missing, exit_file, missing_and_exit_file, says_it_ended, of_another_boot, no_record_at_all, no_engine_state,
    no_monitor_and_exit_file, no_sandbox,
]
TAKEN_UP = [cut, empty, missing, exit_file, missing_and_exit_file, says_it_ended, of_another_boot]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_record_starts_nothing_twice(server, damage):
    name = damage.__name__.replace("_", "-")
    marker = str(700_000 + DAMAGES.index(damage))
    create(server, pod(name, f"exec sleep {marker}"))
    phase(server, name, "Running")
    wait_for("the program runs", lambda: len(copies(marker)) == 1)
    [process] = copies(marker)
    container = Container(server, name)
    restarts = state(server, name)["containerStatuses"][0]["restartCount"]
    server.kill()
    assert copies(marker) == [process]
    damage(container)
    server.start()
    # At no time are there two.
    seen = []
    wait_for("it is running", lambda: seen.append(len(copies(marker))) or (
        len(copies(marker)) == 1 and state(server, name)["phase"] == "Running"
        and "running" in state(server, name)["containerStatuses"][0]["state"]))
    assert max(seen) <= 1, seen
    if damage in TAKEN_UP:
        assert copies(marker) == [process]
        now = state(server, name)["containerStatuses"][0]
        assert now["containerID"].endswith(container.id) and now["restartCount"] == restarts
        # And it is managed again: its end is learnt.
        os.kill(process, signal.SIGKILL)
        wait_for("it is restarted", lambda: state(server, name)["containerStatuses"][0]["restartCount"] == restarts + 1
                 and copies(marker) not in ([], [process]))
    server.kubectl("delete", "pod", name, "--wait=true", timeout=60)
    wait_for("nothing is left of it", lambda: copies(marker) == [])


def test_a_purge_ends_what_no_record_tells_of(server):
    """The fixture's purge has to end these, and proves that it did."""
    for number, damage in enumerate((missing, no_record_at_all)):
        name = f"purged-{number}"
        create(server, pod(name, f"exec sleep {800_000 + number}"))
        phase(server, name, "Running")
        damage(Container(server, name))
    # A server that runs does not need the files to know what it runs.
    assert [len(copies(str(800_000 + number))) for number in range(2)] == [1, 1]


def test_locks_cannot_be_opened_by_others(server):
    """A local user who can open a lock can hold it: no names, no purge, no start."""
    locks = [path for folder in (server.data, "/run/apus") for path in glob.glob(f"{folder}/**/*lock*", recursive=True)
             if os.path.isfile(path)]
    assert any(path.endswith("/data-plane/lock") for path in locks) and "/run/apus/machine.lock" in locks
    for path in locks:
        taken = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "flock", "--nonblock", path, "true"],
            capture_output=True, text=True)
        assert taken.returncode != 0 and "ermission denied" in taken.stderr, (path, taken)
