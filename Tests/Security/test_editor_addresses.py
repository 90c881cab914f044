"""A user with the role `edit` in one namespace, who names addresses and ports that are not his."""

import json
import os
import socket
import ssl
import subprocess
import urllib.request

import pytest

from conftest import wait_for

IMAGE = "localhost/web-app:1"


@pytest.fixture(scope="module")
def editor(server):
    """Runs kubectl with nothing but a token of an account that may `edit` in `shop`."""
    server.kubectl("create", "namespace", "shop")
    server.kubectl("create", "serviceaccount", "eve", "-n", "shop")
    server.kubectl(
        "create", "rolebinding", "eve", "-n", "shop", "--clusterrole=edit", "--serviceaccount=shop:eve")
    # What the role leaves out, and administrators add for controllers.
    server.kubectl(
        "create", "role", "slices", "-n", "shop", "--verb=*", "--resource=endpoints,endpointslices.discovery.k8s.io")
    server.kubectl("create", "rolebinding", "slices", "-n", "shop", "--role=slices", "--serviceaccount=shop:eve")
    token = server.kubectl("create", "token", "eve", "-n", "shop").strip()
    config = json.loads(server.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": "eve", "user": {"token": token}}]
    config["contexts"] = [{"name": "eve", "context": {
        "cluster": config["clusters"][0]["name"], "user": "eve", "namespace": "shop"}}]
    config["current-context"] = "eve"
    path = os.path.join(server.data, "..", "eve.kubeconfig")
    with open(path, "w") as file:
        json.dump(config, file)

    def run(*arguments, document=None):
        return subprocess.run(
            ["kubectl", "--kubeconfig", path, *arguments], env={**os.environ, "HOME": os.path.dirname(server.data)},
            input=json.dumps(document) if document else None, text=True, capture_output=True, timeout=60)

    yield run
    server.kubectl("delete", "namespace", "shop")


def service(name, **spec):
    spec.setdefault("ports", [{"port": 6443}])
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def create(run, document):
    return run("create", "-f", "-", document=document)


def condition(server, name):
    status = server.json("get", "service", name, "-n", "shop").get("status", {})
    return next((c for c in status.get("conditions", []) if c["type"] == "AddressesServed"), None)


def test_it_is_the_editor(editor):
    assert editor("auth", "can-i", "create", "services").stdout.strip() == "yes"
    assert editor("auth", "can-i", "create", "services", "-n", "default").stdout.strip() == "no"
    assert editor("auth", "can-i", "update", "services", "--subresource=status").stdout.strip() == "no"


@pytest.mark.parametrize("address", [
    "127.0.0.1", "127.0.0.53", "0.0.0.0", "0.0.0.1", "169.254.169.254", "224.0.0.1", "239.1.2.3", "240.0.0.1",
    "255.255.255.255", "10.244.0.1", "10.244.0.200", "10.96.0.1", "10.96.0.10", "10.96.1.1", "::ffff:127.0.0.1", "::1",
    "0177.0.0.1", "127.1"])
def test_external_addresses_that_are_not_his(server, editor, address):
    """H4: neither the host's loopback nor an address of the cluster itself."""
    answer = create(editor, service("thief", externalIPs=[address]))
    assert answer.returncode and "spec.externalIPs[0]" in answer.stderr, answer
    assert create(editor, service("thief")).returncode == 0
    try:
        patch = json.dumps({"spec": {"externalIPs": [address]}})
        answer = editor("patch", "service", "thief", "-p", patch)
        assert answer.returncode and "spec.externalIPs[0]" in answer.stderr, answer
    finally:
        assert editor("delete", "service", "thief").returncode == 0


def test_the_api_and_the_registry_are_answered_by_themselves(server, editor):
    """The rule that the attack needs is not there, whatever was refused above."""
    assert create(editor, {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "liar", "labels": {"app": "liar"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": IMAGE, "command": ["busybox", "nc", "-ll", "-p", "7000", "-e", "echo", "lie"]}]},
    }).returncode == 0
    server.kubectl("wait", "--for=condition=Ready", "pod/liar", "-n", "shop", "--timeout=60s")
    for port in (5000, 6443):
        create(editor, service(
            f"liar-{port}", selector={"app": "liar"}, externalIPs=["127.0.0.1"],
            ports=[{"port": port, "targetPort": 7000}]))
    with urllib.request.urlopen("http://127.0.0.1:5000/v2/", timeout=10) as answer:
        assert answer.status == 200
    context = ssl._create_unverified_context()
    with urllib.request.urlopen("https://127.0.0.1:6443/livez", timeout=10, context=context) as answer:
        assert answer.read() == b"ok"
    table = subprocess.check_output(["nft", "list", "table", "inet", "apus0"], text=True)
    assert "127.0.0.1 ." not in table
    editor("delete", "pod", "liar")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::ffff:127.0.0.1"])
def test_endpoints_that_lead_to_the_host(editor, address):
    """H5: with the right to write slices and endpoints, too."""
    slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6" if ":" in address else "IPv4",
              "metadata": {"name": "in", "labels": {"kubernetes.io/service-name": "in"}},
              "ports": [{"port": 5000}], "endpoints": [{"addresses": [address]}]}
    answer = create(editor, slice_)
    assert answer.returncode and "endpoints[0].addresses[0]" in answer.stderr, answer
    for field in ("addresses", "notReadyAddresses"):
        endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "in"},
                     "subsets": [{field: [{"ip": address}], "ports": [{"port": 5000}]}]}
        answer = create(editor, endpoints)
        assert answer.returncode and f"subsets[0].{field}[0].ip" in answer.stderr, answer


@pytest.mark.parametrize("address", ["10.96.0.10", "10.96.0.1"])
def test_cluster_addresses_that_have_an_owner(editor, address):
    answer = create(editor, service("thief", clusterIP=address, ports=[{"port": 53, "protocol": "UDP"}]))
    assert answer.returncode and "spec.clusterIPs" in answer.stderr, answer


def test_an_address_that_another_has(server, editor):
    """H28: only the second one is without it, it is told so, and every other service goes on following."""
    address = "10.9.9.7"
    server.kubectl("create", "-f", "-", stdin=json.dumps({
        **service("victim", externalIPs=[address], ports=[{"port": 80}]),
        "metadata": {"name": "victim", "namespace": "default"}}))
    wait_for("the first has it", lambda: f"{address} . tcp . 80" in table())
    assert create(editor, service("second", externalIPs=[address], ports=[{"port": 80}])).returncode == 0
    told = wait_for("the second is told", lambda: condition(server, "second"))
    assert told["status"] == "False" and told["reason"] == "AddressConflict"
    assert address in told["message"] and "victim" not in told["message"]
    wait_for("an event", lambda: "AddressConflict" in server.kubectl("get", "events", "-n", "shop", "-o", "jsonpath={..reason}"))
    # Others follow.
    assert create(editor, service("other", ports=[{"port": 81}])).returncode == 0
    other = server.json("get", "service", "other", "-n", "shop")["spec"]["clusterIP"]
    wait_for("the other is there", lambda: f"{other} . tcp . 81" in table())
    # The address goes to the second one when the first one is gone.
    server.kubectl("delete", "service", "victim")
    wait_for("the second is served", lambda: condition(server, "second")["status"] == "True")
    assert table().count(f"{address} . tcp . 80") == 1
    nodes = server.json("get", "nodes")["items"]
    failing = [c for c in nodes[0]["status"]["conditions"] if c["type"] == "ServiceRulesFailing"]
    assert not failing or failing[0]["status"] == "False"
    editor("delete", "service", "second", "other")


def table():
    return subprocess.check_output(["nft", "list", "table", "inet", "apus0"], text=True)


def test_a_table_that_somebody_removed_is_said_and_put_back(server, editor):
    """H28: a transaction that fails is tried again, and the whole table comes back."""
    subprocess.run(["nft", "delete", "table", "inet", "apus0"], check=True)
    assert create(editor, service("after", ports=[{"port": 82}])).returncode == 0
    address = server.json("get", "service", "after", "-n", "shop")["spec"]["clusterIP"]
    wait_for("the table is back", lambda: f"{address} . tcp . 82" in table())
    assert "10.96.0.1 . tcp . 443" in table()
    editor("delete", "service", "after")


@pytest.mark.parametrize("port,protocol", [(6443, "TCP"), (5000, "TCP"), (53, "UDP")])
def test_host_ports_that_the_host_listens_on(server, editor, port, protocol):
    """H4 by another way: the port plugin would translate the host's own port."""
    name = f"port-{port}"
    assert create(editor, {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": IMAGE, "command": ["sleep", "3600"],
                 "ports": [{"containerPort": 7000, "hostPort": port, "protocol": protocol}]}]}}).returncode == 0
    wait_for("it is told", lambda: f"the host port {port}/{protocol} is in use" in server.kubectl(
        "get", "events", "-n", "shop", "--field-selector", f"involvedObject.name={name}", "-o", "jsonpath={..message}"))
    assert server.json("get", "pod", name, "-n", "shop")["status"]["phase"] == "Pending"
    editor("delete", "pod", name)
