"""Pods and Services of both families at once, as clients of pods and of the machine see them."""

import inspect
import ipaddress
import json
import socket
import struct
import subprocess
import sys

import pytest

from conftest import APUS, folder, fresh_server, network_namespace, wait_for
from test_network import inside, ready, service
from test_pods import create, pod

DUAL = ("--pod-range", "10.244.0.0/24,fd00:10:244::/64", "--service-range", "10.96.0.0/16,fd00:10:96::/112")
GATEWAYS = {4: "10.244.0.1", 6: "fd00:10:244::1"}
NAMES = {4: "10.96.0.10", 6: "fd00:10:96::a"}


@pytest.fixture(scope="module")
def dual(images):
    with folder("it-") as base, fresh_server(base, *DUAL) as server:
        server.run("image", "import", str(images / "web-app-1.tar"))
        yield server


def families(addresses):
    return [ipaddress.ip_address(address).version for address in addresses]


def ask(address, port, protocol="tcp"):
    """What is answered, or the error's name. From the machine."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as client:
        client.settimeout(3)
        try:
            client.connect((address, port))
            client.send(b"?")
            return client.recv(64).decode().strip()
        except OSError as error:
            return type(error).__name__


def ask_in(server, name, address, port, protocol="tcp"):
    """The same from a pod's network."""
    script = "import socket\n" + inspect.getsource(ask) + f"print(ask({address!r}, {port}, {protocol!r}))"
    return subprocess.run(
        ["nsenter", f"--net={network_namespace(server, name)}", sys.executable, "-c", script],
        capture_output=True, text=True, timeout=30, check=True).stdout.strip()


ANSWERING = """
    import socket, threading
    def stream():
        server = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
        while True:
            client, _ = server.accept()
            client.recv(64)
            client.sendall(b"%s")
            client.close()
    threading.Thread(target=stream, daemon=True).start()
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind(("::", 7000))
    while True: datagrams.sendto(b"%s", datagrams.recvfrom(64)[1])
    """


@pytest.fixture
def answering():
    """Starts somebody in a pod's network who answers TCP and UDP on port 7000 with a word, by both families."""
    processes = []

    def start(server, name):
        processes.append(inside(server, name, ANSWERING.replace("%s", name)))

    yield start
    for process in processes:
        process.kill()
        process.wait()


def two_ports(name="web", **spec):
    ports = [{"name": "tcp", "port": 70, "targetPort": 7000}, {"name": "udp", "port": 70, "targetPort": 7000, "protocol": "UDP"}]
    return service(name, ports, selector={"app": name}, **spec)


def query(server_address, name, kind):
    """The addresses, or names, that the name server answers with."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    family = socket.AF_INET6 if ":" in server_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(
            struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1), (server_address, 53))
        answer = client.recv(4096)
    flags, _, count = struct.unpack("!3H", answer[2:8])
    at, found = 12 + len(labels) + 5, []
    for _ in range(count):
        # The name is a reference to the question's.
        at += 2 if answer[at] & 0xC0 else len(labels) + 1
        record, _, _, length = struct.unpack("!HHIH", answer[at:at + 10])
        data = answer[at + 10:at + 10 + length]
        found.append(str(ipaddress.ip_address(data)) if record in (1, 28) else data)
        at += 10 + length
    return flags & 0xF, sorted(found, key=str)


def test_a_pod_has_an_address_of_each_family(dual):
    create(dual, pod("both", "sleep 3600"))
    ready(dual, "both")
    status = dual.json("get", "pod", "both")["status"]
    addresses = [entry["ip"] for entry in status["podIPs"]]
    assert families(addresses) == [4, 6] and status["podIP"] == addresses[0]
    assert [entry["ip"] for entry in status["hostIPs"]] == [GATEWAYS[4], GATEWAYS[6]]
    hosts = dual.kubectl("exec", "both", "--", "cat", "/etc/hosts")
    for address in addresses:
        assert f"{address}\tboth" in hosts
        assert subprocess.run(["busybox", "ping", "-c", "1", "-W", "3", address], capture_output=True).returncode == 0
    node = dual.json("get", "nodes")["items"][0]
    assert node["spec"]["podCIDRs"] == ["10.244.0.0/24", "fd00:10:244::/64"]
    assert [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"] == [GATEWAYS[4], GATEWAYS[6]]
    # No pod tells another where the world is, and none waits for its address.
    namespace = network_namespace(dual, "both")
    for name in ("accept_ra", "accept_dad"):
        value = subprocess.check_output(
            ["nsenter", f"--net={namespace}", "cat", f"/proc/sys/net/ipv6/conf/eth0/{name}"], text=True)
        assert value.strip() == "0", name
    dual.kubectl("delete", "pod", "both")


def test_a_service_of_both_families(dual, answering):
    """From pods, its own among them, from the host, and by node ports; names too."""
    for name in ("web-1", "web-2"):
        create(dual, pod(name, "sleep 3600", labels={"app": "web"}))
    create(dual, pod("client", "sleep 3600"))
    ready(dual, "web-1", "web-2", "client")
    for name in ("web-1", "web-2"):
        answering(dual, name)
    create(dual, two_ports(type="NodePort", ipFamilyPolicy="RequireDualStack"))
    spec = dual.json("get", "service", "web")["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"] and families(spec["clusterIPs"]) == [4, 6]
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    slices = wait_for("slices of both families", lambda: (lambda items: items if len(items) == 2 and all(
        len(item["endpoints"]) == 2 for item in items) else None)(
            dual.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]))
    assert {item["addressType"] for item in slices} == {"IPv4", "IPv6"}

    ports = {port["name"]: port["nodePort"] for port in spec["ports"]}
    def expect_both(asker):
        wait_for("an answer", lambda: asker() in ("web-1", "web-2"))
        seen = set()
        wait_for("both answer", lambda: seen.add(asker()) or seen >= {"web-1", "web-2"})
        assert seen == {"web-1", "web-2"}

    for version, address in zip((4, 6), spec["clusterIPs"]):
        for protocol in ("tcp", "udp"):
            for way in ((address, 70), (GATEWAYS[version], ports[protocol])):
                expect_both(lambda: ask(*way, protocol))
                expect_both(lambda: ask_in(dual, "client", *way, protocol))
                # An endpoint reaches itself, too.
                expect_both(lambda: ask_in(dual, "web-1", *way, protocol))
            if version == 4:
                expect_both(lambda: ask("127.0.0.1", ports[protocol], protocol))

    for version in (4, 6):
        name = "web.default.svc.cluster.local"
        assert query(NAMES[version], name, 1) == (0, [spec["clusterIPs"][0]])
        assert query(NAMES[version], name, 28) == (0, [spec["clusterIPs"][1]])
    pointer = ipaddress.ip_address(spec["clusterIPs"][1]).reverse_pointer
    code, names = query(NAMES[6], pointer, 12)
    assert code == 0 and names[0].startswith(b"\x03web\x07default")
    dual.kubectl("exec", "client", "--", "nslookup", "web.default.svc.cluster.local")
    dual.kubectl("delete", "service", "web")
    wait_for("the name is gone", lambda: query(NAMES[6], "web.default.svc.cluster.local", 28)[0] == 3)
    dual.kubectl("delete", "pod", "web-1", "web-2", "client")


def test_a_second_family_comes_and_goes(dual, answering):
    create(dual, pod("late", "sleep 3600", labels={"app": "late"}))
    ready(dual, "late")
    answering(dual, "late")
    create(dual, two_ports("late"))
    first = dual.json("get", "service", "late")["spec"]["clusterIPs"]
    assert families(first) == [4]
    dual.kubectl("patch", "service", "late", "-p", json.dumps({"spec": {"ipFamilyPolicy": "PreferDualStack"}}))
    both = dual.json("get", "service", "late")["spec"]["clusterIPs"]
    assert both[0] == first[0] and families(both) == [4, 6]
    wait_for("it is reached by IPv6", lambda: ask(both[1], 70) == "late")
    dual.kubectl("patch", "service", "late", "-p", json.dumps({"spec": {"ipFamilyPolicy": "SingleStack"}}))
    assert dual.json("get", "service", "late")["spec"]["clusterIPs"] == first
    wait_for("and by IPv4 alone again", lambda: ask(both[1], 70) == "ConnectionRefusedError")
    assert ask(first[0], 70) == "late"
    # Its address is free.
    create(dual, service("heir", [{"port": 80}], clusterIP=both[1], ipFamilies=["IPv6"]))
    refused = dual.kubectl(
        "patch", "service", "heir", "-p", json.dumps({"spec": {"ipFamilies": ["IPv4"]}}), check=False)
    assert refused.returncode and "as indicated by `ipFamilies[0]`" in refused.stderr
    dual.kubectl("delete", "service", "late", "heir")
    dual.kubectl("delete", "pod", "late")


def test_flows_go_on_while_the_server_is_away(dual, answering):
    """A connection and datagrams of both families, over the server's death and its next start."""
    create(dual, pod("stay", "sleep 3600", labels={"app": "stay"}))
    ready(dual, "stay")
    answering(dual, "stay")
    create(dual, two_ports("stay", type="NodePort", ipFamilyPolicy="RequireDualStack"))
    addresses = dual.json("get", "service", "stay")["spec"]["clusterIPs"]
    clients = []
    for address in addresses:
        wait_for(f"{address} answers", lambda: ask(address, 70) == "stay" and ask(address, 70, "udp") == "stay")
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(3)
        client.connect((address, 70))
        clients.append(client)

    def all_answer():
        for client in clients:
            client.send(b"?")
            if client.recv(64) != b"stay":
                return False
        return all(ask(address, 70) == "stay" for address in addresses)

    try:
        assert all_answer()
        dual.kill()
        assert all_answer()
        assert query(NAMES[6], "stay.default.svc.cluster.local", 28) == (0, [addresses[1]])
        dual.start()
        assert all_answer()
        assert dual.json("get", "service", "stay")["spec"]["clusterIPs"] == addresses
        wait_for("the next server's table is there", lambda: "True" in dual.kubectl(
            "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))
        assert all_answer()
    finally:
        for client in clients:
            client.close()
    dual.kubectl("delete", "service", "stay")
    dual.kubectl("delete", "pod", "stay")


def test_headless_services_and_external_addresses(dual, answering):
    create(dual, pod("set-0", "sleep 3600", labels={"app": "set"}, hostname="set-0", subdomain="set"))
    ready(dual, "set-0")
    answering(dual, "set-0")
    create(dual, service("set", [{"port": 7000}], selector={"app": "set"}, clusterIP="None", ipFamilyPolicy="RequireDualStack"))
    own = [entry["ip"] for entry in dual.json("get", "pod", "set-0")["status"]["podIPs"]]
    for kind, address in zip((1, 28), own):
        for name in ("set.default.svc.cluster.local", "set-0.set.default.svc.cluster.local"):
            wait_for(f"{name} {kind}", lambda: query(NAMES[6], name, kind) == (0, [address]))
    create(dual, two_ports("out", ipFamilyPolicy="RequireDualStack", externalIPs=["2001:db8::9"]))
    dual.kubectl("patch", "service", "out", "-p", json.dumps({"spec": {"selector": {"app": "set"}}}))
    subprocess.run(["ip", "route", "add", "2001:db8::9/128", "dev", "apus0"], check=True)
    try:
        wait_for("the external address answers", lambda: ask("2001:db8::9", 70) == "set-0")
    finally:
        subprocess.run(["ip", "route", "del", "2001:db8::9/128", "dev", "apus0"], check=True)
    # A Service of one family has no endpoint for the other's addresses, and says so.
    create(dual, service("four", [{"port": 80}], externalIPs=["2001:db8::8"]))

    def condition():
        conditions = dual.json("get", "service", "four")["status"].get("conditions", [])
        return next((c for c in conditions if c["type"] == "AddressesServed"), None)

    told = wait_for("the condition", condition)
    assert told["status"] == "False" and told["reason"] == "AddressRefused" and "2001:db8::8" in told["message"]
    dual.kubectl("delete", "service", "set", "out", "four")
    dual.kubectl("delete", "pod", "set-0")


def test_the_api_by_its_service(dual):
    """Of the family that goes first, as kube-apiserver makes it."""
    spec = dual.json("get", "service", "kubernetes")["spec"]
    assert spec["clusterIPs"] == ["10.96.0.1"] and spec["ipFamilyPolicy"] == "SingleStack"
    assert dual.json("get", "servicecidr", "kubernetes")["spec"]["cidrs"] == ["10.96.0.0/16", "fd00:10:96::/112"]


@pytest.mark.parametrize("pods, services, reason", [
    ("10.244.0.0/24", "10.96.0.0/16,fd00:10:96::/112", "no pod could answer"),
    ("10.244.0.0/24,10.245.0.0/24", "10.96.0.0/16", "one of IPv4 and one of IPv6"),
    ("fd00:10:244::/64", "fd00:10:96::/64", "/108 to /124"), ("fe80::/64", "fd00::/112", "machines may have"),
])
def test_ranges_that_cannot_be(tmp_path, pods, services, reason):
    refused = subprocess.run(
        [APUS, "up", "--data", str(tmp_path / "data"), "--pod-range", pods, "--service-range", services],
        capture_output=True, text=True, timeout=30)
    assert refused.returncode and reason in refused.stderr
    assert not (tmp_path / "data").exists()
