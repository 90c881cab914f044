"""Bad input gets an exact answer, and nothing is lost."""

import http.client
import json
import os
import socket
import ssl
import subprocess

import pytest

from conftest import Server, wait_for

yaml = pytest.importorskip("yaml")


class Raw:
    """Requests that no client would send."""

    def __init__(self, server):
        cluster = yaml.safe_load(open(server.kubeconfig))
        import base64
        import tempfile

        user = cluster["users"][0]["user"]
        self.context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["clusters"][0]["cluster"]["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self.context.load_cert_chain(pair.name)
        self.port = server.port

    def __call__(self, method, path, body=None, content="application/json", **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=30)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": content, **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def raw(server):
    return Raw(server)


MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def config_map(name, **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def pod(**spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"},
            "spec": {"containers": [{"name": "c", "image": "localhost/web-app:1"}], **spec}}


@pytest.mark.parametrize("body, message", [
    (b"{", "unexpected end"), (b"[]", "object"), (b'{"a":1,}', "key"), (b"\xff", "unexpected"), (b"", ""),
])
def test_malformed_json(raw, body, message):
    status, answer, _ = raw("POST", MAPS, body)
    assert status == 400 and answer["reason"] == "BadRequest" and message in answer["message"]


def test_malformed_yaml(raw):
    status, answer, _ = raw("POST", MAPS, b"a: [1", content="application/yaml")
    assert status == 400 and "line" in answer["message"]


def test_wrong_types_name_the_field(raw):
    status, answer, _ = raw("POST", MAPS, config_map("bad", data={"a": 1}))
    assert status in (400, 422) and "data" in answer["message"]
    status, answer, _ = raw("POST", PODS, pod(hostNetwork="yes"))
    assert status in (400, 422) and "hostNetwork" in answer["message"]


def test_unknown_fields(raw, server):
    body = config_map("unknown", dat={"a": "b"})
    status, answer, _ = raw("POST", MAPS + "?fieldValidation=Strict&dryRun=All", body)
    assert status == 400 and 'unknown field "dat"' in answer["message"]
    status, _, headers = raw("POST", MAPS + "?fieldValidation=Warn&dryRun=All", body)
    assert status == 201 and 'unknown field \\"dat\\"' in headers["Warning"]
    status, answer, headers = raw("POST", MAPS + "?fieldValidation=Ignore&dryRun=All", body)
    assert status == 201 and "dat" not in answer and "Warning" not in headers
    result = server.kubectl("apply", "-f", "-", stdin=json.dumps(body), check=False)
    assert result.returncode == 1 and "dat" in result.stderr


def counted(server, code):
    """How many creates of ConfigMaps the server says that it has answered so."""
    line = f'apiserver_request_total{{verb="create",resource="configmaps",code="{code}"}} '
    found = [each for each in server.kubectl("get", "--raw", "/metrics").splitlines() if each.startswith(line)]
    return float(found[0].split()[-1]) if found else 0


def test_large_bodies(raw, server):
    before = counted(server, 413)
    status, answer, _ = raw("POST", MAPS, config_map("large", data={"a": "x" * (3 << 20)}))
    assert status == 413 and answer["reason"] == "RequestEntityTooLarge"
    assert counted(server, 413) == before + 1
    status, answer, _ = raw("POST", MAPS, config_map("large", data={"a": "x" * (1 << 20) + "y"}))
    assert status == 422 and "Too long" in answer["message"]


@pytest.mark.parametrize("name", ["Upper", "a_b", "-a", "a-", "a..b", "x" * 254, "", "a/b"])
def test_names(raw, name):
    status, answer, _ = raw("POST", MAPS, config_map(name))
    assert status == 422 and answer["reason"] == "Invalid"
    assert answer["details"]["causes"][0]["field"] == "metadata.name"


def test_immutable_fields(server, raw):
    path = "/apis/apps/v1/namespaces/default/deployments"
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fixed"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    assert raw("POST", path, body)[0] == 201
    body["spec"]["selector"]["matchLabels"]["a"] = body["spec"]["template"]["metadata"]["labels"]["a"] = "c"
    status, answer, _ = raw("PUT", path + "/fixed", body)
    assert status == 422 and "field is immutable" in answer["message"] and "spec.selector" in answer["message"]
    server.kubectl("delete", "deployment", "fixed")


def test_unknown_kinds_and_paths(server, raw):
    assert raw("GET", "/api/v1/namespaces/default/nothings")[0] == 404
    assert raw("GET", "/apis/no.such/v1/things")[0] == 404
    assert raw("GET", MAPS + "/missing")[1]["message"] == 'configmaps "missing" not found'
    result = server.kubectl("apply", "-f", "-", stdin="apiVersion: no.such/v1\nkind: Thing\nmetadata: {name: a}\n", check=False)
    assert result.returncode == 1 and "no matches for kind" in result.stderr


def test_selectors(raw):
    assert raw("GET", MAPS + "?labelSelector=a%3D%3D%3Db")[0] == 400
    status, answer, _ = raw("GET", PODS + "?fieldSelector=spec.nothing%3Da")
    assert status == 400 and "field label not supported" in answer["message"]
    assert raw("GET", MAPS + "?limit=x")[0] == 400
    assert raw("GET", MAPS + "?limit=1&continue=garbage")[0] == 400


def test_media_types(raw):
    assert raw("POST", MAPS, b"x", content="text/plain")[0] == 415
    assert raw("POST", MAPS, b"k8s\0garbage", content="application/vnd.kubernetes.protobuf")[0] == 400
    for accept in ("text/html", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1"):
        status, _, _ = raw("GET", MAPS, Accept=accept)
        assert status == 406
    assert raw("PATCH", MAPS + "/x", b"{}", content="application/json")[0] == 415


def test_strangers(server):
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=30)
    connection.request("GET", MAPS)
    assert connection.getresponse().status in (401, 403)
    connection.close()
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=30)
    connection.request("GET", MAPS, headers={"Authorization": "Bearer garbage"})
    assert connection.getresponse().status == 401
    connection.close()


def test_nobody_sends_a_body_before_it_is_known_who_asks(server):
    """A stranger who asks for permission to send gets the refusal, and one who just sends gets it too."""
    before = counted(server, 401)
    context = ssl._create_unverified_context()
    for expect in (b"Expect: 100-continue\r\n", b""):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
            connection.sendall(
                b"POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer garbage\r\nContent-Length: 1000000\r\n%s\r\n"
                % (MAPS.encode(), expect))
            if not expect:
                connection.sendall(b"x" * 1_000_000)
            assert int(connection.recv(4096).split()[1]) == 401
    assert counted(server, 401) == before + 2


@pytest.mark.parametrize("content, message", [
    (b"", "empty"), (b"not a tar", "archive"), (b"\0" * 10240, ""),
])
def test_broken_image_archives(server, tmp_path, content, message):
    broken = tmp_path / "broken.tar"
    broken.write_bytes(content)
    before = server.run("image", "list").stdout
    result = server.run("image", "import", str(broken), check=False)
    assert result.returncode == 1 and "broken.tar" in result.stderr and message in result.stderr, result.stderr
    assert server.run("image", "list").stdout == before


def test_truncated_image_archive(server, images, tmp_path):
    whole = (images / "web-app-1.tar").read_bytes()
    broken = tmp_path / "truncated.tar"
    broken.write_bytes(whole[: len(whole) // 2])
    result = server.run("image", "import", str(broken), check=False)
    assert result.returncode == 1 and "truncated.tar" in result.stderr


def test_a_full_disk_loses_nothing(tmp_path):
    """A server on a file system of 24 MiB that runs full: writes are refused, reads go on, space brings writes back."""
    base = str(tmp_path)
    mount = os.path.join(base, "disk")
    os.mkdir(mount)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], check=True)
    directory = os.path.join(mount, "data")
    os.mkdir(directory)
    # Beside the module's server: a bridge and ranges of its own.
    server = Server(directory, port=7443, options=(
        "--bridge", "apus1", "--pod-range", "10.245.0.0/24", "--service-range", "10.97.0.0/16",
        "--registry", "127.0.0.1:5001"))
    server.log.close()
    server.log = open(os.path.join(base, "server.log"), "ab")
    try:
        server.start()
        raw = Raw(server)
        kept = []
        refused = None
        for index in range(200):
            status, answer, _ = raw("POST", MAPS, config_map(f"fill-{index}", data={"a": "x" * 500_000}))
            if status != 201:
                refused = (status, answer)
                break
            kept.append(f"fill-{index}")
        assert refused and refused[0] in (500, 507) and "space" in refused[1]["message"], refused
        names = {item["metadata"]["name"] for item in raw("GET", MAPS)[1]["items"]}
        assert set(kept) <= names and f"fill-{len(kept)}" not in names
        subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
        wait_for("writes work again", lambda: raw("POST", MAPS, config_map("after"))[0] in (201, 409))
        server.kill()
        server.start()
        names = {item["metadata"]["name"] for item in Raw(server)("GET", MAPS)[1]["items"]}
        assert set(kept) | {"after"} <= names
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.run("down", "--purge", "--yes", check=False)
        subprocess.run(["umount", "-l", mount], check=True)


def test_the_rights_of_the_servers_own_parts_come_back(server):
    """Who deletes or spoils them stops no controller for longer than a moment."""
    name = "system:controller:deployment-controller"
    whole = {kind: server.json("get", kind, name) for kind in ("clusterrole", "clusterrolebinding")}

    def is_whole(kind):
        found = server.kubectl("get", kind, name, "-o", "json", check=False)
        return found.returncode == 0 and all(
            json.loads(found.stdout).get(part) == whole[kind].get(part) for part in ("rules", "subjects", "roleRef"))

    for kind, patch in (("clusterrole", {"rules": []}), ("clusterrolebinding", {"subjects": []})):
        server.kubectl("delete", kind, name)
        wait_for(f"the {kind} is made anew", lambda: is_whole(kind))
        server.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))
        wait_for(f"the {kind} is put right", lambda: is_whole(kind))


def test_the_server_still_serves(server):
    assert server.kubectl("get", "namespaces", "-o", "name").split() == [
        "namespace/default", "namespace/kube-node-lease", "namespace/kube-public", "namespace/kube-system"]
