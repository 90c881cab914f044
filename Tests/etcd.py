"""Debian's etcd with a folder and ports of its own, for the tests whose objects it keeps."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATH = f"{ROOT}/.cache/bin:{os.environ['PATH']}:/usr/sbin:/usr/bin"
ETCD = shutil.which("etcd", path=PATH)
ETCDCTL = shutil.which("etcdctl", path=PATH)


def free_ports(count):
    """Ports that nobody has: all are taken before one is given back, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


class Etcd:
    def __init__(self, base, *options, tls=None):
        """With more options of etcd's; with `tls`, a folder of `ca.crt`, `server.crt`, `server.key`, `client.crt` and
        `client.key`, it talks to clients that have a certificate only."""
        self.base = str(base)
        self.tls = tls
        self.options = options
        self.process = None
        self.port, self.peer_port = free_ports(2)
        self.log = open(f"{self.base}/etcd.log", "ab")
        self.start()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def up_options(self):
        """Those of `apus up`."""
        options = ["--datastore", self.url]
        if self.tls:
            options += ["--datastore-cafile", f"{self.tls}/ca.crt", "--datastore-certfile", f"{self.tls}/client.crt",
                        "--datastore-keyfile", f"{self.tls}/client.key"]
        return options

    def start(self):
        peer = f"http://127.0.0.1:{self.peer_port}"
        command = [ETCD, "--name", "default", "--data-dir", f"{self.base}/etcd", "--listen-client-urls", self.url,
                   "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                   "--initial-cluster", f"default={peer}", *self.options]
        if self.tls:
            command += ["--cert-file", f"{self.tls}/server.crt", "--key-file", f"{self.tls}/server.key",
                        "--trusted-ca-file", f"{self.tls}/ca.crt", "--client-cert-auth"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 60
        while True:
            try:
                self.ctl("get", "nothing")
                return
            except subprocess.CalledProcessError as error:
                assert self.process.poll() is None and time.monotonic() < end, f"{error.stderr}; see {self.log.name}"
                time.sleep(0.1)

    def ctl(self, *arguments, stdin=None):
        command = [ETCDCTL, "--endpoints", self.url]
        if self.tls:
            command += ["--cacert", f"{self.tls}/ca.crt", "--cert", f"{self.tls}/client.crt",
                        "--key", f"{self.tls}/client.key"]
        return subprocess.run([*command, *arguments], check=True, capture_output=True, input=stdin,
                              env={**os.environ, "ETCDCTL_API": "3"}).stdout

    def keys(self, prefix="/apus/"):
        return self.ctl("get", "--prefix", "--keys-only", prefix).decode().split()

    def get(self, key):
        """The value's bytes."""
        import base64
        pairs = json.loads(self.ctl("get", "--write-out=json", key)).get("kvs", [])
        return base64.b64decode(pairs[0].get("value", "")) if pairs else None

    def kill(self):
        """Ends it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, keeps_log=False):
        """With `keeps_log` it can be started again."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)
        if keeps_log:
            return
        self.log.close()
        print(open(f"{self.base}/etcd.log", errors="replace").read()[-10000:])
