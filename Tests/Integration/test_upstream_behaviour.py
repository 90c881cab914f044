"""kubectl on a wide choice of manifests, and on what users of Kubernetes rely on without its being written down."""

import http.client
import json
import pathlib
import re

import pytest

from conftest import wait_for
from test_bad_input import Raw

yaml = pytest.importorskip("yaml")
MANIFESTS = pathlib.Path(__file__).parent / "manifests"
SUFFIXES = {"": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20,
            "Gi": 2**30, "Ti": 2**40}


# kubectl's own rule for this kind sends its selector in every patch.
ALWAYS_SENT = ["poddisruptionbudget.policy/cart configured"]


def amount(value):
    """A quantity as a number: it is stored in its canonical form."""
    match = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(value))
    return round(float(match[1]) * SUFFIXES[match[2]], 9) if match and match[2] in SUFFIXES else None


def lost(wanted, stored, path=""):
    """Every field of the input that is not in what is stored."""
    if isinstance(wanted, dict):
        if not isinstance(stored, dict):
            return [path] if wanted or stored is None else []
        return [each for key, value in wanted.items()
                for each in lost(value, stored.get(key), f"{path}.{key}") if value not in ({}, [], None, "", 0, False)]
    if isinstance(wanted, list):
        if not isinstance(stored, list) or len(stored) < len(wanted):
            return [path]
        return [each for index, value in enumerate(wanted) for each in lost(value, stored[index], f"{path}[{index}]")]
    if wanted == stored or (amount(wanted) is not None and amount(wanted) == amount(stored)):
        return []
    return [f"{path}: {wanted!r} became {stored!r}"]


def documents(name):
    return [document for document in yaml.safe_load_all((MANIFESTS / name).read_text()) if document]


def reference(document):
    group, _, version = document["apiVersion"].rpartition("/")
    kind = f"{document['kind']}.{version}.{group}" if group else document["kind"]
    namespace = document["metadata"].get("namespace")
    return [kind, document["metadata"]["name"], *(["-n", namespace] if namespace else [])]


def test_no_field_of_any_manifest_is_lost(server):
    # One call for each file, as people have them; those that others refer to come first.
    for name in ["infrastructure.yaml", "databases.yaml", "monitoring.yaml", "delivery.yaml", "shops.yaml"]:
        applied = server.kubectl("apply", "-f", str(MANIFESTS / name))
        assert applied.count("created") == len(documents(name)), applied
    gone = []
    for name in sorted(path.name for path in MANIFESTS.glob("*.yaml")):
        for document in documents(name):
            stored = server.json("get", *reference(document))
            gone += [f"{name} {document['kind']} {each}" for each in lost(document, stored)]
    assert gone == []


@pytest.mark.parametrize("name", sorted(path.name for path in MANIFESTS.glob("*.yaml")))
def test_applied_again_nothing_changes(server, name):
    again = server.kubectl("apply", "-f", str(MANIFESTS / name))
    changed = [line for line in again.splitlines() if not line.endswith("unchanged")]
    assert [line for line in changed if line not in ALWAYS_SENT] == []
    difference = server.kubectl("diff", "-f", str(MANIFESTS / name), check=False)
    assert (difference.returncode, difference.stdout) == (0, ""), difference.stderr


def apply(server, document, *arguments, check=True):
    return server.kubectl("apply", *arguments, "-f", "-", stdin=json.dumps(document), check=check)


def deployment(name, **container):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "localhost/web-app:1", **container}]}}}}


def pod(name, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "localhost/web-app:1"}], **spec}}


def test_what_is_probably_not_meant_is_warned_of(server):
    document = deployment(
        "warned", env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        ports=[{"containerPort": 80, "name": "a"}, {"containerPort": 80, "name": "b"}],
        resources={"limits": {"memory": "1.1Gi"}})
    told = apply(server, document, "--dry-run=server", check=False)
    assert told.returncode == 0
    assert 'Warning: spec.template.spec.containers[0].env[1]: hides previous definition of "A"' in told.stderr
    assert "ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]" in told.stderr
    assert 'resources.limits[memory]: fractional byte value "1181116006400m" is invalid' in told.stderr


def test_a_service_changes_its_type(server):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "changing"}, "spec": {
        "type": "NodePort", "selector": {"app": "x"}, "ports": [
            {"name": "http", "port": 80, "nodePort": 30990}, {"name": "metrics", "port": 9090}]}}
    apply(server, service)
    service["spec"]["type"] = "ClusterIP"
    service["spec"]["ports"] = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9091}]
    apply(server, service)
    stored = server.json("get", "service", "changing")["spec"]
    assert [port.get("nodePort") for port in stored["ports"]] == [None, None]
    service["spec"].update(type="LoadBalancer", externalTrafficPolicy="Local")
    apply(server, service)
    service["spec"].update(type="ClusterIP")
    del service["spec"]["externalTrafficPolicy"]
    service["spec"]["ports"][0]["port"] = 81
    apply(server, service)
    stored = server.json("get", "service", "changing")["spec"]
    assert "externalTrafficPolicy" not in stored and "nodePort" not in json.dumps(stored)
    refused = apply(server, {**service, "metadata": {"name": "six"}, "spec": {**service["spec"], "ipFamilies": ["IPv6"]}},
                    check=False)
    assert "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster" in refused.stderr


def test_a_patch_brings_its_container_first(server):
    apply(server, deployment("patched"))
    server.kubectl("patch", "deployment", "patched", "--type=strategic", "-p", json.dumps(
        {"spec": {"template": {"spec": {"containers": [{"name": "new", "image": "localhost/web-app:1"}]}}}}))
    spec = server.json("get", "deployment", "patched")["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["new", "c"]
    server.kubectl("patch", "deployment", "patched", "--type=json", "-p", json.dumps([
        {"op": "test", "path": "/spec/paused", "value": None},
        {"op": "remove", "path": "/spec/template/spec/containers/-1"}]))
    spec = server.json("get", "deployment", "patched")["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["new"]
    refused = server.kubectl("patch", "deployment", "patched", "--type=json", "-p", json.dumps([
        {"op": "add", "path": "/spec/template/spec/tolerations/-", "value": {}}]), check=False)
    assert "nothing at /spec/template/spec/tolerations" in refused.stderr


def test_messages_are_told_once(server):
    refused = server.kubectl("get", "pods", "--field-selector", "spec.foo=1", check=False)
    assert refused.stderr.count("Unable to find") == 1
    assert refused.stderr.strip().endswith("field label not supported: spec.foo")
    big = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * (2**20 + 1)}}
    refused = server.kubectl("create", "-f", "-", stdin=json.dumps(big), check=False)
    assert 'The ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes' in refused.stderr
    for key in ["..data", ".."]:
        refused = server.kubectl("create", "configmap", "dots", f"--from-literal={key}=x", check=False)
        assert refused.returncode != 0
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dots"}, "data": {key: "x"}}
        refused = server.kubectl("create", "-f", "-", stdin=json.dumps(body), check=False)
        assert f"data[{key}]: Invalid value" in refused.stderr


def test_explain_says_it_once(server):
    # A sentence that comes twice, in one field or in its struct, is one too many.
    for path in ["pod.spec", "pod.status", "pod.metadata", "service.spec", "deployment.spec.strategy",
                 "pod.spec.volumes.emptyDir", "pod.spec.containers.env"]:
        text = server.kubectl("explain", path)
        description = text.split("DESCRIPTION:")[1].split("FIELDS:")[0]
        sentences = [line.strip() for line in description.splitlines() if line.strip()]
        assert len(sentences) == len(set(sentences)) and len(sentences) <= 2, text
    assert server.kubectl("explain", "pod.status").count("as its node last saw it") == 1


def test_tables_have_no_empty_column(server):
    assert re.search(r"applications\.m\.example\.com\s+20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", server.kubectl("get", "crd"))
    assert "services/default/kubernetes" in server.kubectl("get", "ipaddresses", "10.96.0.1")
    assert "10.96.0.0/16" in server.kubectl("get", "servicecidrs", "kubernetes")
    wait_for("the range is ready", lambda: server.json("get", "servicecidr", "kubernetes")["status"]["conditions"])


def test_every_cluster_address_is_told(server):
    services = server.json("get", "services", "-A")["items"]
    wanted = {service["spec"]["clusterIP"]: f"{service['metadata']['namespace']}/{service['metadata']['name']}"
              for service in services if service["spec"].get("clusterIP", "None") != "None"}

    def told():
        found = {}
        for item in server.json("get", "ipaddresses")["items"]:
            parent = item["spec"]["parentRef"]
            if parent["resource"] == "services":
                found[item["metadata"]["name"]] = f"{parent['namespace']}/{parent['name']}"
        return found == wanted

    wait_for("an IPAddress for each cluster address", told)


def test_events_of_both_groups_are_the_same(server):
    assert "it is there" in server.kubectl("get", "events", "-n", "m-infra")
    event = server.json("get", "events.v1.", "-n", "m-infra", "gateway.1")
    assert event["message"] == "it is there" and event["involvedObject"]["name"] == "gateway"
    core = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "core.1"}, "reason": "Tested", "message": "m",
            "type": "Normal", "count": 2, "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}}
    server.kubectl("create", "-f", "-", stdin=json.dumps(core))
    other = server.json("get", "events.v1.events.k8s.io", "core.1")
    assert other["note"] == "m" and other["deprecatedCount"] == 2
    server.kubectl("delete", "events.v1.events.k8s.io", "core.1")
    assert server.kubectl("get", "events.v1.", "core.1", check=False).returncode != 0


def test_pods_that_this_node_cannot_run(server):
    refused = apply(server, pod("unknown", runtimeClassName="nope"), check=False)
    assert 'is forbidden: pod rejected: RuntimeClass "nope" not found' in refused.stderr
    # The place that a class asks for is nowhere here: the pod names its node itself.
    node = server.json("get", "nodes", "-l", "kubernetes.io/os=linux,type!=simulated")["items"][0]["metadata"]["name"]
    sandbox = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "elsewhere"}, "handler": "kata"}
    apply(server, sandbox)
    apply(server, pod("sandboxed", runtimeClassName="elsewhere", nodeName=node))
    wait_for("the pod is told why it does not run", lambda: "no runtime for \"kata\" is configured" in server.kubectl(
        "get", "events", "--field-selector", "involvedObject.name=sandboxed,reason=FailedCreatePodSandBox"))
    assert server.json("get", "pod", "sandboxed")["status"]["phase"] == "Pending"
    apply(server, pod("windows", os={"name": "windows"}, nodeName=node))
    wait_for("the pod is rejected", lambda: server.json("get", "pod", "windows")["status"].get("reason") == "PodOSNotSupported")
    server.kubectl("delete", "pod", "windows", "sandboxed", "--wait=false")


def test_a_node_brings_its_status(server):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "simulated"}, "status": {
        "capacity": {"cpu": "4", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}}
    server.kubectl("create", "-f", "-", stdin=json.dumps(node))
    try:
        stored = server.json("get", "node", "simulated")
        assert stored["status"]["capacity"] == {"cpu": "4", "pods": "110"} and "spec" in stored
    finally:
        server.kubectl("delete", "node", "simulated")


def test_everything_goes_away_again(server):
    server.kubectl("patch", "pod", "gated", "-n", "m-delivery", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    for name in sorted(path.name for path in MANIFESTS.glob("*.yaml")):
        server.kubectl("delete", "-f", str(MANIFESTS / name), "--ignore-not-found", "--wait=false")
    wait_for("the namespaces are gone", lambda: "m-" not in server.kubectl("get", "namespaces", "-o", "name"))


def test_bookmarks_have_the_form_that_was_asked_for(server):
    """A client of metadata alone cannot read another kind, and ends its watch there."""
    form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    raw = Raw(server)
    connection = http.client.HTTPSConnection("127.0.0.1", raw.port, context=raw.context, timeout=30)
    try:
        connection.request(
            "GET", "/api/v1/namespaces/kube-system/configmaps?watch=1&allowWatchBookmarks=true&sendInitialEvents=true"
            "&resourceVersionMatch=NotOlderThan&timeoutSeconds=1", headers={"Accept": form})
        events = [json.loads(line) for line in connection.getresponse()]
    finally:
        connection.close()
    assert "BOOKMARK" in [event["type"] for event in events]
    for event in events:
        assert event["object"]["kind"] == "PartialObjectMetadata", event
        assert event["object"]["apiVersion"] == "meta.k8s.io/v1", event
