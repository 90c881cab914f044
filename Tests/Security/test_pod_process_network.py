"""A process in a pod that wants to reach what listens on the host's loopback only."""

import json
import subprocess

import pytest

from conftest import wait_for

IMAGE = "localhost/web-app:1"


@pytest.fixture(scope="module")
def inside(server):
    server.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "inside"}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "3600"], "securityContext": {"runAsUser": 0}}]}}))
    server.kubectl("wait", "--for=condition=Ready", "pod/inside", "--timeout=60s")

    def get(url):
        return server.kubectl("exec", "inside", "--", "wget", "-q", "-T", "3", "-O", "-", url, check=False)

    yield get
    server.kubectl("delete", "pod", "inside")


def test_the_registry_is_there(server):
    assert subprocess.run(["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:5000/v2/"], timeout=10).returncode == 0


@pytest.fixture
def translation():
    """A translation to the loopback as an older version's rules, or another program's, would have it."""
    script = """
        add table ip elsewhere
        add chain ip elsewhere pre { type nat hook prerouting priority -110; }
        add rule ip elsewhere pre ip daddr { 10.9.9.9, 10.96.0.77 } tcp dport 80 dnat to 127.0.0.1:5000
        """
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    yield
    subprocess.run(["nft", "delete", "table", "ip", "elsewhere"], check=True)


@pytest.mark.parametrize("address", ["10.9.9.9", "10.96.0.77"])
def test_a_translation_to_the_loopback_leads_nowhere(inside, translation, address):
    """H5: packets of pods for the loopback are dropped after the translation, too."""
    assert inside(f"http://{address}/v2/").returncode != 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "10.244.0.1", "10.96.0.1"])
def test_the_registry_by_an_address_of_the_host(inside, address):
    assert inside(f"http://{address}:5000/v2/").returncode != 0


def test_an_element_that_slipped_into_the_table(server, inside):
    """H4: even an element for the loopback, or for the name server, in the table itself is not looked at."""
    subprocess.run(["nft", "-f", "-"], text=True, check=True, input="""
        add chain inet apus0 slipped
        add rule inet apus0 slipped counter
        add rule inet apus0 slipped meta l4proto tcp dnat ip to 127.0.0.1:9
        add element inet apus0 service-ips { 127.0.0.1 . tcp . 5000 : goto slipped }
        add element inet apus0 service-ips { 10.244.0.1 . tcp . 6443 : goto slipped }
        add element inet apus0 service-ips { 10.96.0.10 . tcp . 53 : goto slipped }
        """)
    try:
        assert subprocess.run(
            ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:5000/v2/"], timeout=10).returncode == 0
        server.kubectl("exec", "inside", "--", "busybox", "nc", "-w", "3", "10.96.0.10", "53", "-e", "true", check=False)
        chain = subprocess.check_output(["nft", "list", "chain", "inet", "apus0", "slipped"], text=True)
        assert "packets 0" in chain
        # The API answers pods at the bridge's address all the same.
        server.kubectl("exec", "inside", "--", "busybox", "nc", "-w", "3", "10.244.0.1", "6443", "-e", "true", check=False)
        chain = subprocess.check_output(["nft", "list", "chain", "inet", "apus0", "slipped"], text=True)
        assert "packets 0" in chain
    finally:
        # Elements that the server does not know go with the next table.
        subprocess.run(["nft", "-f", "-"], text=True, check=True, input="""
            delete element inet apus0 service-ips { 127.0.0.1 . tcp . 5000 }
            delete element inet apus0 service-ips { 10.244.0.1 . tcp . 6443 }
            delete element inet apus0 service-ips { 10.96.0.10 . tcp . 53 }
            flush chain inet apus0 slipped
            delete chain inet apus0 slipped
            """)
