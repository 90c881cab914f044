"""Services, names and the controllers behind them, as clients of pods and of the machine see them."""

import json
import socket
import struct
import subprocess
import sys
import textwrap

import pytest

from conftest import network_namespace, wait_for
from test_pods import create, pod

DNS = "10.96.0.10"
EXTERNAL = "10.9.9.9"


def service(name, ports, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


def ready(server, *names):
    for name in names:
        server.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def inside(server, name, script):
    """Runs Python in a pod's network."""
    return subprocess.Popen(["nsenter", f"--net={network_namespace(server, name)}", sys.executable, "-c", textwrap.dedent(script)])


@pytest.fixture
def external_route():
    """From the machine itself an external address needs some way out before it can be translated."""
    subprocess.run(["ip", "route", "add", f"{EXTERNAL}/32", "dev", "apus0"], check=True)
    yield
    subprocess.run(["ip", "route", "del", f"{EXTERNAL}/32", "dev", "apus0"], check=True)


def test_udp_clients_that_never_change_their_port(server, external_route):
    """K4: the only endpoint is replaced while clients of every way in go on sending from one port."""

    servers = []

    def answering(name, word):
        """A pod in whose network somebody answers each datagram with the word: busybox has no server for that."""
        create(server, pod(name, "sleep 3600", labels={"app": "udp"}))
        ready(server, name)
        servers.append(inside(server, name, f"""
            import socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("0.0.0.0", 7000))
            while True: s.sendto(b"{word}", s.recvfrom(64)[1])"""))

    create(server, service(
        "udp", [{"port": 70, "targetPort": 7000, "protocol": "UDP", "nodePort": 31701}], type="NodePort",
        selector={"app": "udp"}, externalIPs=[EXTERNAL]))
    answering("udp-1", "one")
    address = server.json("get", "service", "udp")["spec"]["clusterIP"]
    ways = {"cluster address": (address, 70), "external address": (EXTERNAL, 70), "loopback": ("127.0.0.1", 31701),
            "node address": ("10.244.0.1", 31701)}
    clients = {}
    for name, target in ways.items():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(0.3)
        client.connect(target)
        clients[name] = client

    def ask():
        answers = {}
        for name, client in clients.items():
            try:
                client.send(b"?")
                answers[name] = client.recv(64).decode().strip()
            except TimeoutError:
                answers[name] = "silence"
            except (ConnectionRefusedError, PermissionError):
                answers[name] = "refused"
        return answers

    try:
        wait_for("every client is answered", lambda: set(ask().values()) == {"one"})
        server.kubectl("delete", "pod", "udp-1")
        # Nobody is there: the clients are told so, and go on.
        wait_for("refused while nobody is there", lambda: set(ask().values()) == {"refused"})
        answering("udp-2", "two")
        wait_for("all ways lead to the second", lambda: set(ask().values()) == {"two"})
    finally:
        print(ask())
        for client in clients.values():
            client.close()
        for process in servers:
            process.kill()
            process.wait()
        server.kubectl("delete", "pod", "-l", "app=udp", "--ignore-not-found")
        server.kubectl("delete", "service", "udp")


def query(name, kind=1, size=4096):
    """Asks by UDP without EDNS; the answer's flags, number of records and bytes."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1), (DNS, 53))
        answer = client.recv(size)
    flags, _, count = struct.unpack("!3H", answer[2:8])
    return flags, count, answer


def test_a_name_with_more_addresses_than_fit(server):
    """K9: as many as have room, and the bit that says that there are more."""
    create(
        server, service("many", [{"port": 80, "name": "http"}], clusterIP="None"),
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {"name": "many-1", "labels": {"kubernetes.io/service-name": "many"}},
         "ports": [{"name": "http", "port": 80}],
         "endpoints": [{"addresses": [f"10.20.0.{number}"]} for number in range(1, 91)]})
    name = "many.default.svc.cluster.local"
    flags, count, answer = wait_for("the name is known", lambda: (lambda a: a if a[1] else None)(query(name)))
    assert flags & 0x0200 and 25 <= count < 90 and len(answer) <= 512
    server.kubectl("delete", "service", "many")


def test_endpoints_made_by_hand_reach_the_service(server):
    create(server, pod("by-hand", "busybox nc -ll -p 7000 -e echo served"))
    ready(server, "by-hand")
    address = server.json("get", "pod", "by-hand")["status"]["podIP"]
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "by-hand"}, "subsets": [
        {"addresses": [{"ip": address}], "ports": [{"name": "x", "port": 7000}]}]}
    create(server, service("by-hand", [{"name": "x", "port": 70}]), endpoints)

    def slices():
        return server.json("get", "endpointslices", "-l", "kubernetes.io/service-name=by-hand")["items"]

    mirrored = wait_for("the mirror", slices)[0]
    assert mirrored["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslicemirroring-controller.k8s.io")
    assert [endpoint["addresses"] for endpoint in mirrored["endpoints"]] == [[address]]
    cluster = server.json("get", "service", "by-hand")["spec"]["clusterIP"]

    def ask():
        return subprocess.run(
            ["busybox", "nc", cluster, "70"], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL).stdout

    wait_for("the service answers", lambda: ask() == "served\n")
    endpoints["subsets"][0]["ports"][0]["port"] = 7001
    server.kubectl("apply", "-f", "-", stdin=json.dumps(endpoints))
    wait_for("the mirror follows", lambda: [s["ports"][0]["port"] for s in slices()] == [7001])
    server.kubectl("label", "endpoints", "by-hand", "endpointslice.kubernetes.io/skip-mirror=true")
    wait_for("no mirror is wanted", lambda: not slices())
    server.kubectl("label", "endpoints", "by-hand", "endpointslice.kubernetes.io/skip-mirror-")
    wait_for("a mirror is wanted again", slices)
    server.kubectl("delete", "endpoints", "by-hand")
    wait_for("the mirror goes with its endpoints", lambda: not slices())
    server.kubectl("delete", "pod", "by-hand")
    server.kubectl("delete", "service", "by-hand")


def test_a_replication_controller(server):
    template = {"metadata": {"labels": {"app": "rc"}}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "localhost/web-app:1", "command": ["sleep", "3600"]}]}}
    # An orphan that fits is taken in.
    create(server, pod("orphan", "sleep 3600", labels={"app": "rc"}))
    create(server, {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "simple.rc"},
                    "spec": {"replicas": 2, "selector": {"app": "rc"}, "template": template}})

    def pods():
        return server.json("get", "pods", "-l", "app=rc")["items"]

    def status():
        return server.json("get", "rc", "simple.rc")["status"]

    wait_for("two are ready", lambda: status().get("readyReplicas") == 2 and status().get("availableReplicas") == 2)
    assert {p["metadata"]["ownerReferences"][0]["kind"] for p in pods()} == {"ReplicationController"}
    assert "orphan" in {p["metadata"]["name"] for p in pods()}
    server.kubectl("scale", "rc", "simple.rc", "--replicas=3")
    wait_for("scaled up", lambda: status().get("readyReplicas") == 3)
    scale = json.loads(server.kubectl("get", "--raw", "/api/v1/namespaces/default/replicationcontrollers/simple.rc/scale"))
    assert scale["status"] == {"replicas": 3, "selector": "app=rc"}
    # A pod whose label no longer fits is let go and replaced.
    released = next(p["metadata"]["name"] for p in pods() if p["metadata"]["name"] != "orphan")
    server.kubectl("label", "pod", released, "app=free", "--overwrite")
    wait_for("replaced", lambda: len(pods()) == 3 and status().get("readyReplicas") == 3)
    wait_for("let go", lambda: not server.json("get", "pod", released)["metadata"].get("ownerReferences"))
    events = wait_for("events", lambda: server.kubectl(
        "get", "events", "--field-selector", "involvedObject.kind=ReplicationController", "-o", "name") and server.json(
        "get", "events", "--field-selector", "involvedObject.kind=ReplicationController")["items"])
    assert "SuccessfulCreate" in {event["reason"] for event in events}
    # A quota of the API: what cannot be created is said in a condition.
    server.kubectl("delete", "rc", "simple.rc")
    wait_for("its pods go with it", lambda: not pods())
    server.kubectl("delete", "pod", released)


def test_a_namespace_that_ends_is_no_failure(server):
    """C14: what is refused there is the ordinary way of things, and no word in the log."""
    server.kubectl("create", "namespace", "ending")
    items = [service(f"s{number}", [{"port": 80}], selector={"app": "x"}) for number in range(100)]
    for item in items:
        item["metadata"]["namespace"] = "ending"
    create(server, *items)
    wait_for("all have slices", lambda: len(server.json("get", "endpointslices", "-n", "ending")["items"]) == 100)
    server.kubectl("delete", "namespace", "ending", "--timeout=60s")
    log = open(server.log.name, errors="replace").read()
    assert "being terminated" not in log
