"""The data plane outlives the server, and is replaced without a gap: the next one is given its sockets."""

import glob
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import threading

from conftest import as_local_user, wait_for

NAMES = ("10.96.0.10", 53)
REQUEST = b"APHO\x01"


def record(server):
    """What the data plane says of itself; None while that is being written."""
    try:
        return json.load(open(server.data + "/data-plane/record.json"))
    except ValueError:
        return None


def process(server):
    return (record(server) or {}).get("processID")


def hand_over(server):
    """The path of the socket by which the sockets go to the next one."""
    run = next(path for path in glob.glob("/run/apus/*/cluster") if server.data in open(path).read())
    return os.path.dirname(run) + "/data-plane/hand-over"


def has_ended(number):
    try:
        return open(f"/proc/{number}/stat").read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def outdate(server):
    """To the next server it is one that was started for something else."""
    text = json.dumps(record(server) | {"identity": "another"})
    with open(server.data + "/data-plane/record.json.new", "w") as file:
        file.write(text)
    os.rename(file.name, server.data + "/data-plane/record.json")


def question(number):
    name = b"".join(bytes([len(label)]) + label for label in b"kubernetes.default.svc.cluster.local".split(b".")) + b"\0"
    return struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)


def is_answer(message, number):
    identifier, flags, _, answers = struct.unpack("!4H", message[:8])
    return identifier == number and flags & 0x8000 and flags & 0xF == 0 and answers == 1


def ask(kind):
    """One question, sent once, and whether it is answered."""
    number = random.randrange(1 << 16)
    with socket.socket(socket.AF_INET, kind) as client:
        # What is lost is lost for good.
        client.settimeout(20)
        client.connect(NAMES)
        if kind == socket.SOCK_DGRAM:
            client.send(question(number))
            return is_answer(client.recv(1500), number)
        body = question(number)
        client.sendall(struct.pack("!H", len(body)) + body)
        reader = client.makefile("rb")
        return is_answer(reader.read(struct.unpack("!H", reader.read(2))[0]), number)


class Asking:
    """Asks without pause, by both protocols, for as long as the body takes."""

    def __enter__(self):
        self.counts, self.failures, self.over = {}, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(kind,)) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        for thread in self.threads:
            thread.start()
        wait_for("questions are answered", lambda: len(self.counts) == 2)
        return self

    def run(self, kind):
        while not self.over.is_set():
            try:
                if not ask(kind):
                    self.failures.append((kind, "another answer"))
            except (OSError, struct.error) as error:
                self.failures.append((kind, repr(error)))
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def answers():
    return ask(socket.SOCK_DGRAM) and ask(socket.SOCK_STREAM)


def test_no_question_is_lost_while_it_is_replaced(server):
    wait_for("it answers", answers)
    with Asking() as asking:
        for _ in range(10):
            before = process(server)
            server.kill()
            outdate(server)
            server.start()
            wait_for("another one serves", lambda: process(server) not in (None, before))
            wait_for("the one before has ended", lambda: has_ended(before))
            assert record(server)["identity"] != "another"
    assert asking.failures == [] and min(asking.counts.values()) > 10


def test_a_new_one_that_dies_leaves_the_old_one_serving(server):
    """At each step that is seen from here; whatever it was given is closed by the kernel."""
    before = record(server)
    with Asking() as asking:
        for step in range(4):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as new:
                new.settimeout(20)
                new.connect(hand_over(server))
                if step > 0:
                    new.sendall(REQUEST)
                if step > 1:
                    offer, descriptors, flags, _ = socket.recv_fds(new, 16, 64)
                    # The lock, the socket for this, and two of the name server.
                    assert offer == REQUEST + bytes([len(descriptors)]) and len(descriptors) == 4 and not flags & socket.MSG_CTRUNC
                    for descriptor in descriptors:
                        os.close(descriptor)
                if step > 2:
                    # It had written its record.
                    outdate(server)
        # One asks after the other: it has noticed.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as new:
            new.settimeout(20)
            new.connect(hand_over(server))
            new.sendall(REQUEST)
            _, descriptors, _, _ = socket.recv_fds(new, 16, 64)
            for descriptor in descriptors:
                os.close(descriptor)
        wait_for("its record is its own again", lambda: record(server) == before)
    assert asking.failures == []


def test_a_stranger_is_given_nothing(server):
    path = hand_over(server)
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    for words in (b"", b"x", b"GET / HTTP/1.1\r\n\r\n", b"APHO\x02", REQUEST + b"\x00", b"s", os.urandom(4096)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.settimeout(20)
            stranger.connect(path)
            stranger.sendall(words)
            stranger.shutdown(socket.SHUT_WR)
            try:
                assert socket.recv_fds(stranger, 16, 64)[:2] == (b"", []), words
            except ConnectionResetError:
                pass
    # Another user does not come as far as this; and where he does, he is known by the kernel's word.
    def attempt():
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(20)
            other.connect(path)
            other.sendall(REQUEST)
            data, descriptors = socket.recv_fds(other, 16, 64)[:2]
            return [data.decode("latin1"), len(descriptors)]

    assert as_local_user(attempt) == "PermissionError"
    folders = [str(folder) for folder in pathlib.Path(path).parents if str(folder) not in ("/run", "/")]
    modes = [os.stat(folder).st_mode & 0o7777 for folder in folders] + [os.stat(path).st_mode & 0o7777]
    try:
        for name in (*folders, path):
            os.chmod(name, 0o777)
        opened = as_local_user(attempt)
    finally:
        for name, mode in zip((*folders, path), modes):
            os.chmod(name, mode)
    assert opened in (["", 0], "ConnectionResetError", "BrokenPipeError"), opened
    assert answers()


def test_an_old_one_that_does_not_answer_is_stopped(server):
    before = process(server)
    server.kill()
    outdate(server)
    os.kill(before, signal.SIGSTOP)
    server.start()
    wait_for("another one serves", lambda: process(server) not in (None, before))
    wait_for("the one before has ended", lambda: has_ended(before))
    wait_for("it answers", answers)


def test_the_name_server_of_an_earlier_version_is_replaced(server):
    """It was a process alone, with a record of its own."""
    server.kill()
    os.kill(process(server), signal.SIGKILL)
    wait_for("the data plane has ended", lambda: has_ended(process(server)))
    program = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
               f"s.bind({NAMES!r}); print('bound', flush=True); input()")
    earlier = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert earlier.stdout.readline() == "bound\n"
        start = int(open(f"/proc/{earlier.pid}/stat").read().rpartition(")")[2].split()[19])
        files = server.data + "/network/name-server"
        with open(files + ".json", "w") as file:
            json.dump({"processID": earlier.pid, "startTime": start, "identity": "12345678"}, file)
        for ending in ("lock", "log"):
            open(f"{files}.{ending}", "w").close()
        server.start()
        # By its signal to end, as it was always ended.
        assert earlier.wait(timeout=60) == -signal.SIGTERM
        wait_for("the data plane answers", answers)
        assert glob.glob(files + ".*") == [files + ".kubeconfig"]
    finally:
        earlier.kill()
        earlier.communicate()
