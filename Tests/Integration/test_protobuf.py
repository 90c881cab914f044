"""Answers in protobuf: what is read there is what JSON says, and what was answered can be sent back."""

import base64
import http.client
import json
import ssl
import struct

import pytest

TYPE = "application/vnd.kubernetes.protobuf"
BOTH = f"{TYPE},application/json"
MAPS = "/api/v1/namespaces/default/configmaps"


def fields(message):
    """The fields of a message, by number: numbers, and bytes."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 1:
            value, at = message[at:at + 8], at + 8
        else:
            assert key & 7 == 2, key
            length = varint()
            assert at + length <= len(message)
            value, at = message[at:at + length], at + length
        found.setdefault(key >> 3, []).append(value)
    return found


def opened(body):
    """Version, kind and message of an envelope."""
    assert body[:4] == b"k8s\0", body[:40]
    unknown = fields(body[4:])
    kind = fields(unknown[1][0])
    return kind[1][0].decode(), kind[2][0].decode(), fields(unknown[2][0])


def name_of(message):
    return fields(message[1][0])[1][0].decode()


class Client:
    def __init__(self, server):
        self.port = server.port
        self.context = ssl.create_default_context(cafile=f"{server.data}/pki/ca.crt")
        self.context.load_cert_chain(f"{server.data}/pki/admin.crt", f"{server.data}/pki/admin.key")

    def open(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)

    def ask(self, method, path, body=None, accept=BOTH, content=TYPE, status=200, answers=TYPE):
        """The bytes of the answer."""
        connection = self.open()
        try:
            headers = {"Accept": accept}
            if body is not None:
                headers["Content-Type"] = content
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == status, text[:500]
            assert answer.headers["Content-Type"] == answers
            return text
        finally:
            connection.close()

    def json(self, method, path, body=None, status=200, content="application/json"):
        return json.loads(self.ask(method, path, body, "application/json", content, status, "application/json"))


@pytest.fixture
def api(server):
    return Client(server)


def config_map(name, data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"protobuf": "yes"}}, "data": data}


def test_one_object(api):
    made = api.ask("POST", MAPS, config_map("pb-one", {"k": "v", "other": "lüne\n\"\U0001F600"}), content="application/json",
                   status=201)
    version, kind, message = opened(made)
    assert (version, kind) == ("v1", "ConfigMap") and name_of(message) == "pb-one"
    data = {fields(entry)[1][0].decode(): fields(entry)[2][0].decode() for entry in message[2]}
    assert data == {"k": "v", "other": "lüne\n\"\U0001F600"}
    assert api.ask("GET", f"{MAPS}/pb-one") == made
    # What was answered, sent back, changes nothing.
    before = api.json("GET", f"{MAPS}/pb-one")
    assert api.ask("PUT", f"{MAPS}/pb-one", made) == made
    assert api.json("GET", f"{MAPS}/pb-one") == before
    patched = api.ask("PATCH", f"{MAPS}/pb-one", {"data": {"k": "w"}}, content="application/merge-patch+json")
    assert b"\x0a\x01k\x12\x01w" in patched
    # The metadata alone.
    partial = api.ask("GET", f"{MAPS}/pb-one", accept=f"{TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    version, kind, message = opened(partial)
    assert (version, kind) == ("meta.k8s.io/v1", "PartialObjectMetadata")
    assert set(message) == {1} and name_of(message) == "pb-one"
    version, kind, message = opened(api.ask("DELETE", f"{MAPS}/pb-one"))
    assert (version, kind, message[2]) == ("v1", "Status", [b"Success"])
    version, kind, message = opened(api.ask("GET", f"{MAPS}/pb-one", status=404))
    assert (version, kind, message[6]) == ("v1", "Status", [404])


def test_every_kind_that_is_there_can_be_sent_back(api):
    """Objects of many kinds, as the server itself has made them and as others have."""
    api.json("POST", "/apis/apps/v1/namespaces/default/deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pb-many"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {
                    "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "10Mi"}}], "containers": [{
                        "name": "c", "image": "i", "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "100m"}},
                        "readinessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 3}}]}}}},
        status=201)
    seen = 0
    for version, resources in [
            ("/api/v1", ("namespaces", "services", "secrets", "serviceaccounts", "configmaps", "nodes")),
            ("/apis/apps/v1", ("deployments", "replicasets")),
            ("/apis/rbac.authorization.k8s.io/v1", ("clusterroles", "clusterrolebindings", "roles", "rolebindings")),
            ("/apis/scheduling.k8s.io/v1", ("priorityclasses",)), ("/apis/discovery.k8s.io/v1", ("endpointslices",))]:
        for resource in resources:
            listed = api.json("GET", f"{version}/{resource}")["items"]
            _, kind, message = opened(api.ask("GET", f"{version}/{resource}"))
            assert kind.endswith("List") and len(message.get(2, [])) == len(listed)
            for item in listed[:5]:
                meta = item["metadata"]
                path = f"{version}/namespaces/{meta['namespace']}" if "namespace" in meta else version
                path += f"/{resource}/{meta['name']}"
                body = api.ask("GET", path)
                # A dry run: others write to them meanwhile.
                answer = api.ask("PUT", path + "?dryRun=All", body)
                assert opened(answer)[2].keys() == opened(body)[2].keys(), path
                seen += 1
    assert seen > 20
    api.ask("DELETE", "/apis/apps/v1/namespaces/default/deployments/pb-many")


def test_lists(api):
    for index in range(30):
        api.json("POST", MAPS, config_map(f"pb-list-{index:02}", {"a": "x" * 8000}), status=201)
    path = f"{MAPS}?labelSelector=protobuf%3Dyes"
    listed = api.json("GET", path)
    # Large enough to be written in pieces, and not.
    for path in (path, f"{path}&limit=7"):
        expected = api.json("GET", path)
        version, kind, message = opened(api.ask("GET", path))
        assert (version, kind) == ("v1", "ConfigMapList")
        assert [name_of(fields(item)) for item in message[2]] == [item["metadata"]["name"] for item in expected["items"]]
        assert fields(message[1][0])[2][0].decode() == expected["metadata"]["resourceVersion"]
        assert (3 in fields(message[1][0])) == ("continue" in expected["metadata"])
    partial = api.ask("GET", path, accept=f"{TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    version, kind, message = opened(partial)
    assert kind == "PartialObjectMetadataList" and all(set(fields(item)) == {1} for item in message[2])
    # A table has no protobuf.
    table = "as=Table;g=meta.k8s.io;v=v1"
    api.ask("GET", MAPS, accept=f"{TYPE};{table}", status=406, answers="application/json")
    answer = api.ask("GET", MAPS, accept=f"{TYPE};{table},application/json;{table}", answers="application/json")
    assert json.loads(answer)["kind"] == "Table"
    version, kind, message = opened(api.ask("DELETE", f"{MAPS}?labelSelector=protobuf%3Dyes"))
    assert kind == "ConfigMapList" and len(message[2]) == len(listed["items"])


def test_watches(api):
    version = api.json("GET", MAPS)["metadata"]["resourceVersion"]
    connection = api.open()
    connection.request("GET", f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=60", headers={"Accept": BOTH})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == f"{TYPE};stream=watch"

    def event():
        event = fields(answer.read(struct.unpack(">I", answer.read(4))[0]))
        return event[1][0].decode(), opened(fields(event[2][0])[1][0])

    api.json("POST", MAPS, config_map("pb-watched", {"a": "b"}), status=201)
    api.json("PATCH", f"{MAPS}/pb-watched", {"data": {"a": "c"}}, content="application/merge-patch+json")
    api.json("DELETE", f"{MAPS}/pb-watched")
    for expected, value in [("ADDED", b"b"), ("MODIFIED", b"c"), ("DELETED", b"c")]:
        kind, (_, name, message) = event()
        assert (kind, name, name_of(message)) == (expected, "ConfigMap", "pb-watched")
        assert fields(message[2][0])[2] == [value]
    connection.close()


def test_custom_resource_definitions_are_json(api):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    refused = opened(api.ask("GET", path, accept=TYPE, status=406))
    assert refused[1] == "Status" and refused[2][6] == [406]
    assert json.loads(api.ask("GET", path, answers="application/json"))["kind"] == "CustomResourceDefinitionList"
    envelope = b"k8s\0" + base64.b64decode("CjMKF2FwaWV4dGVuc2lvbnMuazhzLmlvL3YxEhhDdXN0b21SZXNvdXJjZURlZmluaXRpb24=")
    api.ask("POST", path, envelope, accept="application/json", status=415, answers="application/json")
