"""A cluster that has IPv6 and nothing else."""

import json

import pytest

from conftest import folder, fresh_server, wait_for
from test_network import ready, service
from test_network_dual import GATEWAYS, NAMES, answering, ask, ask_in, families, query, two_ports  # noqa: F401
from test_pods import create, pod

SIX = ("--pod-range", "fd00:10:244::/64", "--service-range", "fd00:10:96::/112")


@pytest.fixture(scope="module")
def six(images):
    with folder("it-") as base, fresh_server(base, *SIX) as server:
        server.run("image", "import", str(images / "web-app-1.tar"))
        yield server


def test_ipv6_alone(six, answering):
    create(six, pod("only", "sleep 3600", labels={"app": "only"}))
    create(six, pod("client", "sleep 3600"))
    ready(six, "only", "client")
    answering(six, "only")
    status = six.json("get", "pod", "only")["status"]
    assert families([entry["ip"] for entry in status["podIPs"]]) == [6] and status["hostIP"] == GATEWAYS[6]
    create(six, two_ports("only", type="NodePort"))
    spec = six.json("get", "service", "only")["spec"]
    assert spec["ipFamilies"] == ["IPv6"]
    port = spec["ports"][0]["nodePort"]
    for asker in (ask, lambda *way: ask_in(six, "client", *way), lambda *way: ask_in(six, "only", *way)):
        for way in ((spec["clusterIP"], 70), (GATEWAYS[6], port)):
            wait_for(f"{way} answers", lambda: asker(*way) == "only")
    assert query(NAMES[6], "only.default.svc.cluster.local", 28) == (0, [spec["clusterIP"]])
    assert query(NAMES[6], "only.default.svc.cluster.local", 1) == (0, [])
    resolver = six.kubectl("exec", "client", "--", "cat", "/etc/resolv.conf")
    assert f"nameserver {NAMES[6]}" in resolver
    # The API by its Service, from a pod.
    assert six.json("get", "service", "kubernetes")["spec"]["clusterIP"] == "fd00:10:96::1"
    assert ask_in(six, "client", "fd00:10:96::1", 443) != "ConnectionRefusedError"
    # What the cluster has not is refused, in the words of Kubernetes.
    for change, message in (
            ({"ipFamilies": ["IPv4"]}, "not configured on this cluster"),
            ({"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services")):
        refused = six.kubectl(
            "create", "-f", "-", stdin=json.dumps(service("no", [{"port": 80}], **change)), check=False)
        assert refused.returncode and message in refused.stderr
    six.kubectl("delete", "service", "only")
    six.kubectl("delete", "pod", "only", "client")
