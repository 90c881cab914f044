"""The objects in an etcd: no acknowledged write is lost and none happens twice, whoever is killed; one server leads."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from random import Random

import pytest

from conftest import APUS, Server, folder, wait_for
from etcd import ETCD, ETCDCTL, Etcd, free_ports

client = pytest.importorskip("kubernetes.client")
config = pytest.importorskip("kubernetes.config")
watch = pytest.importorskip("kubernetes.watch")

pytestmark = pytest.mark.skipif(
    ETCD is None or ETCDCTL is None, reason="etcd and etcdctl are not installed (Scripts/setup tests fetches them)")

ALONE = ("--role", "server", "--registry", "none")


@contextlib.contextmanager
def place():
    """A folder, with an etcd in it."""
    with folder("it-etcd-") as base:
        etcd = Etcd(base)
        try:
            yield base, etcd
        finally:
            etcd.stop()


@contextlib.contextmanager
def server_on(base, options, name="one", keys=None):
    """A server of its own below the folder, not started; it is purged at the end. With `keys`, those of another data
    directory: it belongs to the same cluster."""
    data = f"{base}/{name}/data"
    os.makedirs(data)
    if keys:
        shutil.copytree(f"{keys}/pki", f"{data}/pki")
    server = Server(data, port=free_ports(1)[0], options=(*ALONE, *options))
    try:
        yield server
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        print(open(f"{base}/{name}/server.log", errors="replace").read()[-20000:])
        purge = server.run("down", "--purge", "--yes", check=False)
        print(purge.stdout, purge.stderr)


def api(server):
    return client.CoreV1Api(config.new_client_from_config(server.kubeconfig))


def config_map(name=None, data=None, generate=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, generate_name=generate), data=data)


def refusal(data, *options):
    result = subprocess.run([APUS, "up", "--data", data, "--port", str(free_ports(1)[0]), *ALONE, *options],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode != 0, "it started"
    return result.stderr


class Writers:
    """Threads that create objects with an identity each, and keep what was acknowledged."""

    def __init__(self, core, count=4, kind="w"):
        self.core = core
        self.kind = kind
        # By identity: name and resourceVersion.
        self.acknowledged = {}
        self.attempted = set()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(thread,)) for thread in range(count)]

    def write(self, thread):
        for index in range(100_000):
            if self.stopped.is_set():
                return
            identity = f"{self.kind}-{thread}-{index}"
            self.attempted.add(identity)
            try:
                made = self.core.create_namespaced_config_map(
                    "default", config_map(generate="write-", data={"identity": identity}), _request_timeout=30)
            except Exception:  # Whether it has happened is not known; it must not have happened twice.
                self.stopped.wait(0.05)
                continue
            self.acknowledged[identity] = (made.metadata.name, made.metadata.resource_version)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def more(self, count):
        """Waits until so many more were acknowledged."""
        before = len(self.acknowledged)
        wait_for("writes are acknowledged", lambda: len(self.acknowledged) >= before + count)

    def check(self, core):
        """Each that was acknowledged is there as it was, and none is there twice."""
        found = {}
        for item in core.list_namespaced_config_map("default").items:
            identity = (item.data or {}).get("identity", "")
            if identity.startswith(f"{self.kind}-"):
                assert identity not in found, f"{identity} is there twice"
                found[identity] = (item.metadata.name, item.metadata.resource_version)
        assert {name: found.get(name) for name in self.acknowledged} == self.acknowledged
        assert set(found) <= self.attempted
        revisions = [revision for _, revision in found.values()]
        assert len(set(revisions)) == len(revisions)
        return found


def test_objects_are_kept_there():
    with place() as (base, etcd), server_on(base, etcd.up_options) as server:
        server.start()
        core = api(server)
        seen = []

        def follow():
            # It ends when the server does.
            with contextlib.suppress(Exception):
                for event in watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=60):
                    if event["object"].metadata.name == "kept":
                        seen.append((event["type"], event["object"].metadata.resource_version))

        follower = threading.Thread(target=follow)
        follower.start()
        made = core.create_namespaced_config_map("default", config_map("kept", {"a": "b"}))
        assert "/apus/entry/configmaps/default/kept" in etcd.keys()
        made.data["a"] = "c"
        changed = core.replace_namespaced_config_map("kept", "default", made)
        with pytest.raises(client.ApiException) as conflict:
            core.replace_namespaced_config_map("kept", "default", made)
        assert conflict.value.status == 409
        assert b'"a":"c"' in etcd.get("/apus/entry/configmaps/default/kept")
        wait_for("the watch has seen both", lambda: [kind for kind, _ in seen] == ["ADDED", "MODIFIED"])
        server.stop()
        assert etcd.get("/apus/leader") is None, "whoever stops gives the key back"
        server.start()
        core = api(server)
        again = core.read_namespaced_config_map("kept", "default")
        assert again.metadata.resource_version == changed.metadata.resource_version and again.data == {"a": "c"}
        # Killed, and its lease is still there: the next one waits for it.
        server.kill()
        server.start()
        core = api(server)
        core.delete_namespaced_config_map("kept", "default")
        assert etcd.get("/apus/entry/configmaps/default/kept") is None
        follower.join(timeout=90)
        assert os.path.exists(f"{server.data}/state/datastore") and not os.path.exists(f"{server.data}/state/state.db")


def test_a_commit_that_etcd_does_not_take():
    with place() as (base, etcd), server_on(base, etcd.up_options) as server:
        server.start()
        core = api(server)
        core.create_namespaced_config_map("default", config_map("near", {"a": "x" * 1_000_000}))
        # Each takes six bytes in JSON.
        with pytest.raises(client.ApiException) as refused:
            core.create_namespaced_config_map("default", config_map("over", {"a": "\u0001" * 350_000}))
        assert refused.value.status == 413 and "etcd" in refused.value.body, refused.value.body
        with pytest.raises(client.ApiException) as gone:
            core.read_namespaced_config_map("over", "default")
        assert gone.value.status == 404
        core.create_namespaced_config_map("default", config_map("after", {"a": "b"}))
        # More objects at once than a transaction may change.
        for index in range(300):
            core.create_namespaced_config_map(
                "default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"many-{index}", labels={"many": "yes"})))
        core.delete_collection_namespaced_config_map("default", label_selector="many=yes")
        wait_for("they are gone", lambda: not [key for key in etcd.keys() if "/many-" in key])


def test_a_full_etcd():
    with folder("it-etcd-") as base:
        etcd = Etcd(base, "--quota-backend-bytes", str(16 << 20))
        try:
            with server_on(base, etcd.up_options) as server:
                server.start()
                core = api(server)
                written = []
                with pytest.raises(client.ApiException) as full:
                    for index in range(200):
                        core.create_namespaced_config_map("default", config_map(f"fill-{index}", {"a": "x" * 500_000}))
                        written.append(f"fill-{index}")
                assert full.value.status == 507, full.value.body
                names = {item.metadata.name for item in core.list_namespaced_config_map("default").items}
                assert set(written) <= names and f"fill-{len(written)}" not in names
                assert server.process.poll() is None, "it leads on: a lease takes no space"
                # What was refused is not there either.
                kept = {key.rsplit("/", 1)[1] for key in etcd.keys() if "/configmaps/default/fill-" in key}
                assert kept == set(written)
                # With more space it goes on, and a start finds what was written.
                etcd.stop(keeps_log=True)
                etcd.options = ()
                etcd.start()
                etcd.ctl("alarm", "disarm")
                core.create_namespaced_config_map("default", config_map("later", {"a": "b"}))
                server.stop()
                server.start()
                names = {item.metadata.name for item in api(server).list_namespaced_config_map("default").items}
                assert {*written, "later"} <= names and f"fill-{len(written)}" not in names
        finally:
            etcd.stop()


def test_etcd_is_killed_in_the_middle_of_writes():
    with place() as (base, etcd), server_on(base, (*etcd.up_options, "--datastore-lease", "60")) as server:
        server.start()
        core = api(server)
        process = server.process.pid
        with Writers(core) as writers:
            for _ in range(4):
                writers.more(20)
                etcd.kill()
                etcd.start()
            writers.more(20)
        assert server.process.poll() is None and server.process.pid == process
        found = writers.check(core)
        # What the server has in memory is what etcd has.
        server.stop()
        server.start()
        assert writers.check(api(server)) == found


def test_etcd_that_stays_away_ends_the_server():
    with place() as (base, etcd), server_on(base, (*etcd.up_options, "--datastore-lease", "5")) as server:
        server.start()
        with Writers(api(server)) as writers:
            writers.more(20)
            etcd.kill()
            assert server.process.wait(timeout=60) == 1
        assert "does not lead any more" in open(f"{base}/one/server.log").read()
        etcd.start()
        server.start()
        writers.check(api(server))


def test_a_standby_leads_when_the_leader_dies():
    with place() as (base, etcd), server_on(base, etcd.up_options) as first:
        first.start()
        with server_on(base, etcd.up_options, "two", keys=first.data) as second:
            second.launch()
            log = f"{base}/two/server.log"
            wait_for("it stands by, and says for whom",
                     lambda: f"process {first.process.pid}: this server stands by" in open(log).read())
            with Writers(api(first)) as writers:
                writers.more(50)
                first.kill()
                second.ready()
            core = api(second)
            found = writers.check(core)
            assert found
            # Revisions go on.
            made = core.create_namespaced_config_map("default", config_map("later"))
            assert int(made.metadata.resource_version) > max(int(revision) for _, revision in found.values())
            # A standby that is told to stop does.
            first.launch()
            wait_for("the first one stands by now",
                     lambda: f"process {second.process.pid}: this server stands by" in open(f"{base}/one/server.log").read())
            first.process.terminate()
            assert first.process.wait(timeout=30) == 0
            # One that stops hands over at once.
            first.launch()
            second.stop()
            first.ready()
            writers.check(api(first))


def ask(server, path):
    """The status of an answer to the administrator, or the name of the error."""
    context = ssl.create_default_context(cafile=f"{server.data}/pki/ca.crt")
    context.load_cert_chain(f"{server.data}/pki/admin.crt", f"{server.data}/pki/admin.key")
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__
    except http.client.HTTPException as error:
        return type(error).__name__
    finally:
        connection.close()


def test_a_leader_that_was_frozen_answers_nothing_any_more():
    with place() as (base, etcd), server_on(base, (*etcd.up_options, "--datastore-lease", "5")) as first:
        first.start()
        with server_on(base, (*etcd.up_options, "--datastore-lease", "5"), "two", keys=first.data) as second:
            second.launch()
            wait_for("it stands by", lambda: "stands by" in open(f"{base}/two/server.log").read())
            path = "/api/v1/namespaces/default/configmaps/told"
            api(first).create_namespaced_config_map("default", config_map("told", {"by": "first"}))
            assert ask(first, path) == 200
            context = ssl.create_default_context(cafile=f"{first.data}/pki/ca.crt")
            context.load_cert_chain(f"{first.data}/pki/admin.crt", f"{first.data}/pki/admin.key")
            connected = [http.client.HTTPSConnection("127.0.0.1", first.port, context=context, timeout=60) for _ in range(2)]
            for connection in connected:
                connection.connect()
            first.process.send_signal(signal.SIGSTOP)
            second.ready()
            api(second).replace_namespaced_config_map("told", "default", config_map("told", {"by": "second"}))
            # Questions that wait for it when it goes on: a read, and a write.
            connected[0].request("GET", path)
            connected[1].request("POST", "/api/v1/namespaces/default/configmaps", headers={"Content-Type": "application/json"},
                                 body='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"late"}}')
            first.process.send_signal(signal.SIGCONT)
            for connection in connected:
                with pytest.raises((OSError, http.client.HTTPException)):
                    connection.getresponse()
                connection.close()
            assert first.process.wait(timeout=30) == 1
            assert "does not lead any more" in open(f"{base}/one/server.log").read()
            core = api(second)
            assert core.read_namespaced_config_map("told", "default").data == {"by": "second"}
            with pytest.raises(client.ApiException) as late:
                core.read_namespaced_config_map("late", "default")
            assert late.value.status == 404


def test_what_was_filled_is_never_taken_for_new():
    with place() as (base, etcd), server_on(base, etcd.up_options) as server:
        server.start()
        api(server).create_namespaced_config_map("default", config_map("kept", {"a": "b"}))
        server.stop()
        # Without the etcd.
        text = refusal(server.data)
        assert etcd.url in text and "give --datastore" in text
        # Under another prefix, where nothing is.
        text = refusal(server.data, *etcd.up_options, "--datastore-prefix", "/other/")
        assert "holds no objects" in text and "was filled before" in text
        assert etcd.keys("/other/") == []
        # Another cluster's data directory.
        os.makedirs(f"{base}/foreign")
        text = refusal(f"{base}/foreign", *etcd.up_options)
        assert "of the cluster" in text
        # Objects in a data directory, which an etcd is given to.
        with server_on(base, (), "local") as local:
            local.start()
            local.stop()
            text = refusal(local.data, *etcd.up_options, "--datastore-prefix", "/local/")
            assert "apus datastore copy" in text
            local.start()
            local.stop()
        text = refusal(server.data, *etcd.up_options, "--accept-loss")
        assert "snapshot" in text
        # All that was refused has changed nothing.
        server.start()
        assert api(server).read_namespaced_config_map("kept", "default").data == {"a": "b"}
        server.stop()
        etcd.ctl("del", "--prefix", "/apus/")
        assert "holds no objects" in refusal(server.data, *etcd.up_options)
        assert etcd.keys() == []


@pytest.mark.parametrize("how", ["changed", "missing", "exchanged", "stray", "record changed", "record missing"])
def test_damage_is_named(how):
    with place() as (base, etcd), server_on(base, etcd.up_options) as server:
        server.start()
        core = api(server)
        for name in ("a", "b"):
            core.create_namespaced_config_map("default", config_map(name, {"text": f"value of {name}"}))
        server.stop()
        a, b = (f"/apus/entry/configmaps/default/{name}" for name in "ab")
        if how == "changed":
            value = etcd.get(a)
            etcd.ctl("put", a, stdin=value.replace(b"value of a", b"value of c"))
            expected = f"{a}: it does not match its checksum"
        elif how == "missing":
            etcd.ctl("del", a)
            expected = "some are missing"
        elif how == "exchanged":
            etcd.ctl("put", a, stdin=etcd.get(b))
            expected = f"{a}: it does not match its checksum"
        elif how == "stray":
            etcd.ctl("put", "/apus/stray", "x")
            expected = "/apus/stray: it is no key of a store's"
        elif how == "record changed":
            value = bytearray(etcd.get("/apus/meta"))
            value[3] ^= 1
            etcd.ctl("put", "/apus/meta", stdin=bytes(value))
            expected = "the record of its last revision is not what was written"
        else:
            etcd.ctl("del", "/apus/meta")
            expected = "holds no objects"
        before = {key: etcd.get(key) for key in etcd.keys()}
        text = refusal(server.data, *etcd.up_options)
        assert expected in text and "snapshot" in text, text
        assert {key: etcd.get(key) for key in etcd.keys()} == before


def certificates(base):
    """An authority, a server's certificate for 127.0.0.1 and a client's."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=base)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=etcd-ca", "-days", "2")
    for name, usage in (("server", "serverAuth,clientAuth"), ("client", "clientAuth")):
        with open(f"{base}/{name}.ext", "w") as file:
            file.write(f"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={usage}\n")
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.crt")
    return base


def test_certificates():
    with folder("it-etcd-") as base:
        etcd = Etcd(base, tls=certificates(base))
        try:
            # A member that does not answer comes first.
            dead = f"https://127.0.0.1:{free_ports(1)[0]},{etcd.url}"
            with server_on(base, ("--datastore", dead, *etcd.up_options[2:])) as server:
                server.start()
                api(server).create_namespaced_config_map("default", config_map("sealed"))
                assert "/apus/entry/configmaps/default/sealed" in etcd.keys()
                server.stop()
                # Without the client's certificate, and without trust in the authority.
                for options in (etcd.up_options[:4], etcd.up_options[:2] + etcd.up_options[4:]):
                    assert "etcd does not answer" in refusal(server.data, *options)
        finally:
            etcd.stop()


def cut_short(data, etcd):
    """Brings the data directory back to where it is while it is copied to the etcd."""
    os.rename(f"{data}/state/state.db.copied", f"{data}/state/state.db")
    with open(f"{data}/state/datastore", "w") as record:
        record.write(f"{etcd.url}/apus/\ncopying\n")


def test_a_copy_that_fails_leaves_nothing():
    with folder("it-etcd-") as base:
        etcd = Etcd(base, "--quota-backend-bytes", str(16 << 20))
        try:
            with server_on(base, ()) as server:
                server.start()
                core = api(server)
                for index in range(40):
                    core.create_namespaced_config_map("default", config_map(f"large-{index}", {"a": "x" * 900_000}))
                # More than etcd takes of one object: it is said before anything is written.
                core.create_namespaced_config_map("default", config_map("over", {"a": "\u0001" * 300_000}))
                server.stop()
                text = copy("--from", server.data, "--to", etcd.url, code=1)
                assert "configmaps/default/over has" in text and etcd.keys() == []
                server.start()
                api(server).delete_namespaced_config_map("over", "default")
                server.stop()
                assert "no space" in copy("--from", server.data, "--to", etcd.url, code=1)
                assert etcd.keys() == [] and not os.path.exists(f"{server.data}/state/datastore")
                server.start()
                assert len(api(server).list_namespaced_config_map("default").items) >= 40
        finally:
            etcd.stop()


def test_a_copy_that_is_killed_is_finished():
    """At whatever moment: until then nothing starts on the data directory as if it had the objects, and none is lost."""
    lease = ("--datastore-lease", "3")

    def run(*arguments):
        return [APUS, "datastore", "copy", *arguments, *lease]

    def finish(*arguments):
        # The one that was killed holds the key until its lease ends.
        def once():
            result = subprocess.run(run(*arguments), capture_output=True, text=True, timeout=120)
            assert result.returncode == 0 or "in use" in result.stderr, result.stderr
            return result.returncode == 0
        wait_for("the copy is finished", once)

    def content(server):
        return {item.metadata.name: (item.metadata.uid, item.metadata.resource_version, item.data)
                for item in api(server).list_namespaced_config_map("default").items}

    with place() as (base, etcd), server_on(base, ()) as server:
        server.start()
        core = api(server)
        for index in range(300):
            core.create_namespaced_config_map("default", config_map(f"moved-{index}", {"n": str(index) * 500}))
        kept = content(server)
        server.stop()
        record = f"{server.data}/state/datastore"
        away = ("--from", server.data, "--to", etcd.url)
        back = ("--from", etcd.url, "--to", server.data)
        # How long each takes, and its end.
        times = []
        for arguments in (away, back):
            began = time.monotonic()
            subprocess.run(run(*arguments), check=True, capture_output=True, timeout=120)
            times.append(time.monotonic() - began)
            if arguments is back:
                etcd.ctl("del", "--prefix", "/apus/")
        random = Random(7)
        begun = 0

        def killed(arguments, took):
            """Kills one, and gives what is recorded then: nothing, the place, or the place and what is under way."""
            nonlocal begun
            process = subprocess.Popen(run(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=random.uniform(0.1, 1) * took)
            process.kill()
            process.wait()
            lines = open(record).read().splitlines() if os.path.exists(record) else []
            if len(lines) == 2:
                begun += 1
                for options in ((), etcd.up_options):
                    assert "not finished" in refusal(server.data, *options)
            return len(lines)

        for _ in range(5):
            if killed(away, times[0]) != 1:
                finish(*away)
            with contextlib.suppress(FileNotFoundError):
                # Killed when all was done but this; what it is then is said: test_copy_both_ways.
                os.rename(f"{server.data}/state/state.db", f"{server.data}/state/state.db.copied")
            if killed(back, times[1]) != 0:
                finish(*back)
            server.start()
            assert content(server) == kept
            server.stop()
            etcd.ctl("del", "--prefix", "/apus/")
        assert begun > 0, "none was killed in the middle"


def test_a_refused_start_leaves_no_mark():
    with place() as (base, etcd), server_on(base, etcd.up_options) as server:
        server.start()
        server.stop()
        with server_on(base, etcd.up_options, "two") as other:
            assert "of the cluster" in refusal(other.data, *etcd.up_options)
            assert not os.path.exists(f"{other.data}/cluster")
            # With its keys it is one of the cluster.
            shutil.copytree(f"{server.data}/pki", f"{other.data}/pki")
            other.start()
            other.stop()
        # Keys that do not say which cluster they are of are not taken for those of whatever cluster is there.
        with server_on(base, etcd.up_options, "three", keys=server.data) as third:
            os.unlink(f"{third.data}/pki/cluster")
            assert "does not say which cluster" in refusal(third.data, *etcd.up_options)


def test_a_start_that_fails_gives_the_key_back():
    with place() as (base, etcd), server_on(base, etcd.up_options) as server:
        # The port is taken: it is found when the server leads already.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = subprocess.run(
                [APUS, "up", "--data", server.data, "--port", str(taken.getsockname()[1]), *ALONE, *etcd.up_options],
                capture_output=True, text=True, timeout=120)
        assert result.returncode != 0 and "port" in result.stderr, result.stderr
        assert etcd.get("/apus/meta") is not None and etcd.get("/apus/leader") is None


def copy(*arguments, code=0):
    result = subprocess.run([APUS, "datastore", "copy", *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_copy_both_ways():
    def content(core):
        return {item.metadata.name: (item.metadata.uid, item.metadata.resource_version, item.data)
                for item in core.list_namespaced_config_map("default").items}

    with place() as (base, etcd), server_on(base, ()) as server:
        server.start()
        core = api(server)
        for index in range(200):
            core.create_namespaced_config_map("default", config_map(f"moved-{index}", {"n": str(index)}))
        for index in range(4):
            core.create_namespaced_config_map("default", config_map(f"large-{index}", {"a": "x" * 900_000}))
        core.delete_namespaced_config_map("moved-7", "default")
        before = content(core)
        assert "in use" in copy("--from", server.data, "--to", etcd.url, code=75)
        server.stop()
        assert etcd.keys() == []
        text = copy("--from", server.data, "--to", etcd.url)
        assert "copied" in text and "--datastore" in text
        state = f"{server.data}/state"
        assert os.path.exists(f"{state}/state.db.copied") and not os.path.exists(f"{state}/state.db")
        assert "are in" in copy("--from", server.data, "--to", etcd.url, code=1)
        assert "give --datastore" in refusal(server.data)
        # One that was cut short after its last write is finished by the same command, and changes nothing.
        record = etcd.get("/apus/meta")
        cut_short(server.data, etcd)
        assert "not finished" in refusal(server.data) and "not finished" in refusal(server.data, *etcd.up_options)
        assert "not finished" in copy("--from", server.data, "--to", etcd.url, "--datastore-prefix", "/other/", code=1)
        assert "not finished" in copy("--from", etcd.url, "--to", server.data, code=1)
        copy("--from", server.data, "--to", etcd.url)
        assert etcd.get("/apus/meta") == record
        # Also when a server that stood by leads there already.
        with server_on(base, etcd.up_options, "by", keys=server.data) as by:
            by.start()
            api(by).create_namespaced_config_map("default", config_map("by-then"))
            cut_short(server.data, etcd)
            copy("--from", server.data, "--to", etcd.url)
            assert not os.path.exists(f"{state}/state.db")
            api(by).delete_namespaced_config_map("by-then", "default")
            by.stop()
        # And one that was cut short in the middle.
        cut_short(server.data, etcd)
        etcd.ctl("del", "/apus/meta")
        etcd.ctl("put", "/apus/entry/configmaps/default/half", "x")
        copy("--from", server.data, "--to", etcd.url)
        assert "/apus/entry/configmaps/default/half" not in etcd.keys()
        # A record that cannot be read is not none.
        os.rename(f"{state}/datastore", f"{state}/datastore.away")
        os.mkdir(f"{state}/datastore")
        assert "cannot be read" in refusal(server.data)
        os.rmdir(f"{state}/datastore")
        open(f"{state}/datastore", "w").close()
        assert "not what was written" in refusal(server.data)
        os.rename(f"{state}/datastore.away", f"{state}/datastore")
        server.options = (*ALONE, *etcd.up_options)
        server.start()
        core = api(server)
        assert content(core) == before
        made = core.create_namespaced_config_map("default", config_map("there"))
        assert int(made.metadata.resource_version) > max(int(revision) for _, revision, _ in before.values())
        before = content(core)
        assert "in use" in copy("--from", etcd.url, "--to", server.data, code=75)
        server.stop()
        # A database is in the way.
        open(f"{state}/state.db", "w").close()
        assert "move it away" in copy("--from", etcd.url, "--to", server.data, code=1)
        os.unlink(f"{state}/state.db")
        # A server of the cluster that leads elsewhere.
        with server_on(base, etcd.up_options, "two", keys=server.data) as other:
            other.start()
            assert "in use" in copy("--from", etcd.url, "--to", server.data, code=1)
            other.stop()
        text = copy("--from", etcd.url, "--to", server.data)
        assert "is here now" in text
        # Nobody goes on with what stays in the etcd: not the other server of the cluster, nor another copy.
        with server_on(base, etcd.up_options, "three", keys=server.data) as stale:
            told = refusal(stale.data, *etcd.up_options)
            assert f"were copied to {socket.gethostname()}:{server.data} (" in told
            assert "were copied to" in copy("--from", etcd.url, "--to", stale.data, code=1)
        # Nor the one that has them, when it has lost them: what is in the etcd may be older.
        os.rename(f"{state}/state.db", f"{state}/state.db.lost")
        assert "were copied to" in copy("--from", etcd.url, "--to", server.data, code=1)
        # A copy back that was cut short, before the database had its name or after it, is finished by the same command.
        name = told.split("were copied to ")[1].split(")")[0] + ")"
        for database in (None, f"{state}/state.db.lost"):
            with open(f"{state}/datastore", "w") as record:
                record.write(f"{etcd.url}/apus/\nreturning {name}\n")
            assert "not finished" in refusal(server.data) and "not finished" in refusal(server.data, *etcd.up_options)
            if database:
                os.rename(database, f"{state}/state.db")
            copy("--from", etcd.url, "--to", server.data)
            assert not os.path.exists(f"{state}/datastore")
        server.options = ALONE
        server.start()
        core = api(server)
        assert content(core) == before
        core.create_namespaced_config_map("default", config_map("back"))
        server.stop()
        # The etcd holds what is older now.
        assert "is not empty" in copy("--from", server.data, "--to", etcd.url, code=1)
