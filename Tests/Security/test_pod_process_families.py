"""A process in a pod, and a user who may edit Services, on a cluster of both families: what IPv6 would open."""

import json
import subprocess
import sys

import pytest

from conftest import folder, fresh_server, network_namespace, wait_for

IMAGE = "localhost/web-app:1"
DUAL = ("--pod-range", "10.244.0.0/24,fd00:10:244::/64", "--service-range", "10.96.0.0/16,fd00:10:96::/112")
# What listens on the host's loopback of IPv6 alone, as the registry does on that of IPv4.
SECRET = 5006


@pytest.fixture(scope="module")
def server(images):
    with folder("it-") as base, fresh_server(base, *DUAL) as server:
        server.run("image", "import", str(images / "web-app-1.tar"))
        yield server


@pytest.fixture(scope="module", autouse=True)
def secret():
    process = subprocess.Popen([
        sys.executable, "-c",
        f"import socket\ns = socket.create_server(('::1', {SECRET}), family=socket.AF_INET6)\n"
        "while True:\n c, _ = s.accept()\n c.sendall(b'secret')\n c.close()"])
    yield
    process.kill()
    process.wait()


def read(address, port, *entering):
    """What is read there, by the machine itself or where the command enters; nothing when nobody answers."""
    script = f"import socket; print(socket.create_connection(({address!r}, {port}), 3).recv(64).decode())"
    return subprocess.run(
        [*entering, sys.executable, "-c", script], capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture(scope="module")
def inside(server):
    server.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "inside"}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "3600"], "securityContext": {"runAsUser": 0}}]}}))
    server.kubectl("wait", "--for=condition=Ready", "pod/inside", "--timeout=60s")

    namespace = network_namespace(server, "inside")

    def connect(address, port):
        """What somebody in the pod's network reads there."""
        return read(address, port, "nsenter", f"--net={namespace}")

    yield connect
    server.kubectl("delete", "pod", "inside")


def test_the_secret_is_there(server):
    wait_for("the machine reads it", lambda: read("::1", SECRET) == "secret")


@pytest.mark.parametrize("address", [
    "::1", "fd00:10:244::1", "fd00:10:96::a", "fd00:10:96::1", "::ffff:127.0.0.1", "::ffff:10.244.0.1"])
def test_the_loopback_by_an_address_of_the_host(inside, address):
    for port in (SECRET, 5000):
        assert "secret" not in inside(address, port)


@pytest.mark.parametrize("address", ["fd00:10:244::1", "::ffff:127.0.0.1", "::ffff:10.244.0.1", "fd00:10:96::a"])
def test_the_registry_by_an_address_of_the_host(server, inside, address):
    answer = server.kubectl(
        "exec", "inside", "--", "wget", "-q", "-T", "3", "-O", "-", f"http://[{address}]:5000/v2/", check=False)
    assert answer.returncode != 0


def test_the_bridges_link_local_address(server, inside):
    links = json.loads(subprocess.check_output(["ip", "-6", "-json", "addr", "show", "dev", "apus0", "scope", "link"]))
    # The listing has an empty object for every address that was not asked for.
    local = [address["local"] for link in links for address in link.get("addr_info", []) if "local" in address]
    assert local
    for address in local:
        assert "secret" not in inside(f"{address}%eth0", SECRET)


@pytest.fixture
def translation():
    """A translation to the loopback as another program's rules could have it."""
    script = f"""
        add table ip6 elsewhere
        add chain ip6 elsewhere pre {{ type nat hook prerouting priority -110; }}
        add rule ip6 elsewhere pre ip6 daddr {{ 2001:db8::9, fd00:10:96::77 }} tcp dport 80 counter dnat to [::1]:{SECRET}
        """
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    yield
    subprocess.run(["nft", "delete", "table", "ip6", "elsewhere"], check=True)


@pytest.mark.parametrize("address", ["2001:db8::9", "fd00:10:96::77"])
def test_a_translation_to_the_loopback_leads_nowhere(inside, translation, address):
    assert "secret" not in inside(address, 80)
    # The translation was tried.
    table = subprocess.check_output(["nft", "list", "table", "ip6", "elsewhere"], text=True)
    assert "packets 0" not in table


def test_an_element_that_slipped_into_the_table(server, inside):
    """Even an element for the loopback, the bridge or the name server in the table itself is not looked at."""
    addresses = {"::1": SECRET, "fd00:10:244::1": 6443, "fd00:10:96::a": 53}
    subprocess.run(["nft", "-f", "-"], text=True, check=True, input=f"""
        add chain inet apus0 slipped
        add rule inet apus0 slipped counter
        add rule inet apus0 slipped meta l4proto tcp dnat ip6 to [::1]:9
        """ + "".join(
            f"add element inet apus0 service-ips6 {{ {address} . tcp . {port} : goto slipped }}\n"
            for address, port in addresses.items()))
    try:
        assert read("::1", SECRET) == "secret"
        for address, port in addresses.items():
            inside(address, port)
        chain = subprocess.check_output(["nft", "list", "chain", "inet", "apus0", "slipped"], text=True)
        assert "packets 0" in chain
    finally:
        # Elements that the server does not know go with the next table.
        subprocess.run(["nft", "-f", "-"], text=True, check=True, input="".join(
            f"delete element inet apus0 service-ips6 {{ {address} . tcp . {port} }}\n"
            for address, port in addresses.items()) + "flush chain inet apus0 slipped\ndelete chain inet apus0 slipped\n")


def service(**spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "thief"}, "spec": {
        "ports": [{"port": 53, "protocol": "UDP"}], "ipFamilyPolicy": "RequireDualStack", **spec}}


@pytest.mark.parametrize("address", [
    "::", "::1", "fe80::1", "ff02::1", "ff05::2", "fd00:10:244::1", "fd00:10:244:0:1::7", "fd00:10:96::1", "fd00:10:96::a",
    "fd00:10:96::ffff", "::ffff:127.0.0.1", "::ffff:10.9.9.9", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "fd00:10:0244::1", "::1%lo"])
def test_external_addresses_that_are_not_his(server, address):
    answer = server.kubectl("create", "-f", "-", stdin=json.dumps(service(externalIPs=[address])), check=False)
    assert answer.returncode and "spec.externalIPs[0]" in answer.stderr, answer


@pytest.mark.parametrize("address", ["fd00:10:96::1", "fd00:10:96::a", "fd00:10:244::7", "::1", "::ffff:10.96.0.77"])
def test_cluster_addresses_that_have_an_owner(server, address):
    answer = server.kubectl(
        "create", "-f", "-", stdin=json.dumps(service(ipFamilies=["IPv6", "IPv4"], clusterIP=address)), check=False)
    assert answer.returncode and "spec.clusterIPs" in answer.stderr, answer


@pytest.mark.parametrize("address", ["::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.244.0.2", "64:ff9b::7f00:1"])
def test_endpoints_that_lead_to_the_host(server, address):
    slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6",
              "metadata": {"name": "in", "labels": {"kubernetes.io/service-name": "in"}},
              "ports": [{"port": SECRET}], "endpoints": [{"addresses": [address]}]}
    answer = server.kubectl("create", "-f", "-", stdin=json.dumps(slice_), check=False)
    assert answer.returncode and "endpoints[0].addresses[0]" in answer.stderr, answer


def test_no_pod_tells_others_where_the_world_is(server, inside):
    """Router advertisements are a pod's to send (CAP_NET_RAW) and nobody's to believe."""
    values = {"apus0": subprocess.check_output(["cat", "/proc/sys/net/ipv6/conf/apus0/accept_ra"], text=True).strip()}
    values["pod"] = server.kubectl("exec", "inside", "--", "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").strip()
    assert values == {"apus0": "0", "pod": "0"}
