"""What a process in a pod tries with the token that every pod has, and against the pod's neighbours through the proxy.

A process in a pod: what it puts into its files and volumes, for root to step on.
"""

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import tempfile

import pytest

from conftest import wait_for


yaml = pytest.importorskip("yaml")

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def memory(server):
    """Resident memory of the server in MiB."""
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmRSS")


@pytest.fixture(scope="module")
def token(server):
    return server.kubectl("create", "token", "default").strip()


def connect(server):
    return ssl._create_unverified_context().wrap_socket(
        socket.create_connection(("127.0.0.1", server.port), timeout=30))


def administrator(server):
    """A connection with the administrator's certificate."""
    config = yaml.safe_load(open(server.kubeconfig))
    user = config["users"][0]["user"]
    context = ssl._create_unverified_context()
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=30)


def test_bodies_that_are_held_back(server, token):
    """600 bodies of 3 MB, all but the last byte: the server keeps a few, and says so to the others."""
    size = 3_000_000
    head = (f"POST {REVIEWS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n").encode()
    before = memory(server)
    refused = 0
    peak = 0
    with contextlib.ExitStack() as stack:
        for index in range(600):
            connection = stack.enter_context(connect(server))
            with contextlib.suppress(OSError):
                connection.sendall(head)
                # Who has begun before may go on; those who come later are told at once.
                connection.settimeout(0.2 if index >= 8 else 0.01)
                answer = b""
                try:
                    answer = connection.recv(4096)
                except (TimeoutError, ssl.SSLWantReadError):
                    connection.settimeout(5)
                    connection.sendall(b" " * (size - 1))
                if b" 429 " in answer:
                    assert b"Retry-After: " in answer
                    refused += 1
            peak = max(peak, memory(server))
        assert server.kubectl("create", "configmap", "meanwhile", "--dry-run=server", "-o", "name")
    assert refused > 500
    assert peak - before < 200, f"{before} -> {peak} MiB"


def test_chunked_bodies_that_are_held_back(server, token):
    """The same without saying how long they become."""
    head = (f"POST {REVIEWS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").encode()
    before = memory(server)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(connect(server))
            with contextlib.suppress(OSError):
                connection.sendall(head)
                for _ in range(28):
                    connection.sendall(b"19000\r\n" + b" " * 0x19000 + b"\r\n")
        assert memory(server) - before < 200
        assert server.kubectl("create", "configmap", "meanwhile", "--dry-run=server", "-o", "name")


def test_a_slow_body_ends(server, token):
    head = (f"POST {REVIEWS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 100000\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head.encode())

        def answered():
            connection.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ssl.SSLWantReadError):
                return connection.recv(4096)
            connection.sendall(b" ")
            return None

        assert b" 408 " in wait_for("it is given up", answered, deadline=30)


def test_watchers_that_do_not_read(server):
    """A pod that may watch, and never reads: it is cut off, and what was kept for it is given back."""
    server.kubectl("create", "serviceaccount", "watcher")
    server.kubectl("create", "rolebinding", "watcher", "--clusterrole=view", "--serviceaccount=default:watcher")
    token = server.kubectl("create", "token", "watcher").strip()
    server.kubectl("create", "configmap", "watched", "--from-literal=a=" + "x" * 1000)
    admin = administrator(server)

    def change(times):
        for index in range(times):
            admin.request("PATCH", "/api/v1/namespaces/default/configmaps/watched",
                          json.dumps({"data": {"a": f"{index}" + "x" * 8000}}),
                          {"Content-Type": "application/merge-patch+json"})
            assert admin.getresponse().read()

    # What the server keeps of so many changes when nobody watches is there before.
    change(4000)
    before = memory(server)
    watchers = []
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(connect(server))
            connection.sendall((f"GET /api/v1/namespaces/default/configmaps?watch=1 HTTP/1.1\r\nHost: a\r\n"
                                f"Authorization: Bearer {token}\r\n\r\n").encode())
            watchers.append(connection)
        change(4000)

        def ended():
            # Reading would make them readers: the kernel tells whether the other side is there.
            count = 0
            for connection in watchers:
                state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                count += state != 1
            return count == len(watchers)

        wait_for("all are cut off", ended, deadline=60)
    wait_for("the memory is given back", lambda: memory(server) - before < 24, deadline=30)


# The proxy: only a pod's own address, and only for whoever has the right.

def request(server, token, path, method="GET", **headers):
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.port, context=ssl._create_unverified_context(), timeout=30)
    connection.request(method, path, headers={"Authorization": f"Bearer {token}", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture(scope="module")
def web(server):
    server.kubectl("run", "web", "--image=localhost/web-app:1", "--port=8080")
    server.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
    server.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    return server.json("get", "pod", "web")["status"]["podIP"]


def test_the_proxy_asks_for_its_right(server, token, web):
    for path in ("pods/web:8080/proxy/", "services/web/proxy/", "pods/web/proxy/x?watch=1", "pods/http:web:8080/proxy/"):
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            assert request(server, token, f"/api/v1/namespaces/default/{path}", method)[0] == 403
    assert request(server, token, f"/api/v1/nodes/{server.json('get', 'nodes')['items'][0]['metadata']['name']}/proxy/pods")[0] == 403


@pytest.fixture(scope="module")
def forger(server):
    """Somebody who may write the statuses of pods and endpoints, and use the proxy: the worst that can be given away."""
    server.kubectl("create", "serviceaccount", "forger")
    server.kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "forger", "namespace": "default"},
        "rules": [
            {"apiGroups": [""], "verbs": ["*"],
             "resources": ["pods", "pods/status", "pods/proxy", "services", "services/proxy", "endpoints"]},
            {"apiGroups": ["discovery.k8s.io"], "verbs": ["*"], "resources": ["endpointslices"]}]}))
    server.kubectl("create", "rolebinding", "forger", "--role=forger", "--serviceaccount=default:forger")
    return server.kubectl("create", "token", "forger").strip()


@pytest.mark.parametrize("address", [
    "127.0.0.1", "127.0.0.53", "0.0.0.0", "169.254.169.254", "10.244.0.1", "10.96.0.1", "10.96.0.10", "::1",
    "::ffff:127.0.0.1", "224.0.0.1", "192.0.2.7",
])
def test_forged_addresses_of_pods(server, forger, address):
    """A pod that nobody runs, with an address that is not its own: the server must not connect there."""
    name = "forged"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
           "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "x"}]}}
    server.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    try:
        node = server.json("get", "nodes")["items"][0]["metadata"]["name"]
        server.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p",
                       json.dumps({"status": {"podIP": address, "podIPs": [{"ip": address}]}}), check=False)
        stored = server.json("get", "pod", name)["status"].get("podIP")
        for port in ("6443", "5000", "80"):
            status, body = request(server, forger, f"/api/v1/namespaces/default/pods/https:{name}:{port}/proxy/version")
            assert status in (400, 403, 503), (stored, node, status, body)
            assert b"gitVersion" not in body
    finally:
        server.kubectl("delete", "pod", name, "--grace-period=0", "--force")


def test_forged_endpoints(server, forger, web):
    """Endpoints that somebody has written lead nowhere: only pods of the namespace, by their own addresses."""
    server.kubectl("create", "service", "clusterip", "trap", "--tcp=443:6443")
    node = server.json("get", "nodes")["items"][0]["status"]["addresses"][0]["address"]
    for address, target in [(node, None), (node, {"kind": "Pod", "name": "web", "namespace": "default"}),
                            ("192.0.2.1", {"kind": "Pod", "name": "web", "namespace": "kube-system"})]:
        endpoint = {"addresses": [address], "conditions": {"ready": True}}
        if target:
            endpoint["targetRef"] = target
        slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                  "metadata": {"name": "trap-forged", "labels": {"kubernetes.io/service-name": "trap"}},
                  "ports": [{"name": "443-6443", "port": server.port, "protocol": "TCP"}], "endpoints": [endpoint]}
        server.kubectl("apply", "-f", "-", stdin=json.dumps(slice_), check=False)
        status, body = request(server, forger, "/api/v1/namespaces/default/services/https:trap:443/proxy/version")
        assert status == 503 and b"gitVersion" not in body, (address, target, status, body)
    server.kubectl("delete", "service", "trap")


def test_the_proxy_keeps_tokens(server, forger, web):
    """The pod behind the proxy gets neither the token nor whom it stands for."""
    status, body = request(server, forger, "/api/v1/namespaces/default/pods/web:8080/proxy/")
    assert status in (200, 404), body
    assert b"Bearer" not in body


IMAGE = "localhost/web-app:1"


def make(server, name, containers, init=(), volumes=({"name": "v", "emptyDir": {}},), **spec):
    def filled(number, container):
        return {"name": f"c{number}", "image": IMAGE, "volumeMounts": [{"name": "v", "mountPath": "/v"}], **container}

    server.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "terminationGracePeriodSeconds": 0, "volumes": list(volumes), **spec,
            "containers": [filled(number, c) for number, c in enumerate(containers)],
            "initContainers": [{**filled(number, c), "name": f"i{number}"} for number, c in enumerate(init)]}}))


def status(server, name):
    return server.json("get", "pod", name)["status"]


def waiting(server, name):
    return status(server, name)["containerStatuses"][0]["state"].get("waiting", {})


UP = "../" * 12


@pytest.mark.parametrize("case, link, sub_path, spec", [
    # It dangles where the node looks, and leads to the host's root where the engine looks.
    ("first", f"../../../volumes/{UP}", "l", {}),
    ("unprivileged", f"../../../volumes/{UP}", "l", {"securityContext": {"runAsUser": 1000}}),
    ("absolute", "/", "l", {}),
    ("middle", UP, "l/etc", {}),
    ("made", "/tmp", "l/made/by/pod", {}),
    ("engine", "/proc/1/root", "l", {}),
    ("self", "/proc/self/cwd", "l", {}),
    ("host-root", "proc/1/root", "", {}),
    ("neighbour", "../../../", "l/volumes", {}),
])
def test_a_link_leads_no_subpath_out_of_its_volume(server, case, link, sub_path, spec):
    """CVE-2017-1002101, CVE-2021-25741 and their kin."""
    if not sub_path:
        # The volume is the host's root: every path is inside, but for what the kernel's links lead to.
        make(server, case, [{"command": ["sleep", "3600"], "volumeMounts": [
            {"name": "v", "mountPath": "/m", "subPath": link}]}], volumes=[{"name": "v", "hostPath": {"path": "/"}}])
    else:
        make(server, case, [{"command": ["sleep", "3600"], "volumeMounts": [
            {"name": "v", "mountPath": "/m", "subPath": sub_path}]}],
            init=[{"command": ["busybox", "ln", "-s", link, "/v/l"]}], **spec)
    found = wait_for("the mount is refused", lambda: (lambda w: w.get("reason") == "CreateContainerConfigError" and w)(
        waiting(server, case)))
    assert "subPath" in found["message"]
    server.kubectl("delete", "pod", case)
    assert not os.path.exists("/tmp/made")


def test_a_link_that_changes_all_the_time_leads_nowhere_else(server):
    """A sidecar exchanges a folder and a link out of the volume while other containers mount it."""
    attack = f"""
        busybox mkdir /v/good; echo inside > /v/good/f; busybox ln -s {UP}etc /v/bad; busybox ln -s {UP}etc /v/x; touch /v/ready
        while true; do busybox mv -T /v/x /v/bad; busybox mv -T /v/good /v/x; busybox mv -T /v/x /v/good;
            busybox ln -s {UP}etc /v/x; done 2>/dev/null
    """
    look = {"command": ["sh", "-c", "ls -a /m >> /v/seen; echo . >> /v/seen"], "volumeMounts": [
        {"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/m", "subPath": "x"}]}
    make(server, "race", [{"command": ["sleep", "3600"]}], init=[
        {"command": ["sh", "-c", attack], "restartPolicy": "Always", "startupProbe": {
            "exec": {"command": ["sh", "-c", "test -e /v/ready"]}, "periodSeconds": 1}},
        look, look, look])
    # Some are refused and tried again; whichever starts sees the volume.
    wait_for("the attack has begun", lambda: status(server, "race")["initContainerStatuses"][0].get("started"))
    uid = server.json("get", "pod", "race")["metadata"]["uid"]
    seen = f"{server.data}/node/pods/{uid}/volumes/v/seen"
    wait_for("a container was tried", lambda: os.path.exists(seen) or any(
        s["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
        for s in status(server, "race")["initContainerStatuses"][1:]))
    text = open(seen).read() if os.path.exists(seen) else ""
    # Some of the attack's own links may have come into the folder, but nothing of what they lead to.
    assert not set(text.split()) & set(os.listdir("/etc"))
    server.kubectl("delete", "pod", "race")


def test_what_a_pod_leaves_can_be_removed(server):
    """Names that are no text, folders deeper than a path is long, in its root file system and its volumes."""
    script = r"""
        for place in / /v /m; do
            cd $place
            busybox mkdir "$(printf 'a\377b')" "$(printf '\300\257')" "$(printf '\355\240\200')"
            touch "$(printf 'a\377b/\376')" "$(printf '\t\n\001')"
            busybox ln -s /etc "$(printf '\201')"
            # No shell goes deeper than a path is long: each turn puts the last tree below 14 more folders of 250 bytes.
            l=$(printf '%0250d' 0); c=$l; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13; do c=$c/$l; done; busybox mkdir x
            for n in 1 2 3 4 5; do busybox mkdir -p y/$c && busybox mv x y/$c/x && busybox mv y x || exit 4; done
        done
        touch /tmp/ready; sleep 3600
    """
    make(server, "mess", [{
        "command": ["sh", "-c", script], "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "m", "mountPath": "/m"}],
        "readinessProbe": {"exec": {"command": ["sh", "-c", "test -e /tmp/ready"]}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 0}}],
        volumes=[{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}])
    server.kubectl("wait", "--for=condition=Ready", "pod/mess", "--timeout=60s")
    uid = server.json("get", "pod", "mess")["metadata"]["uid"]
    server.kubectl("delete", "pod", "mess", "--timeout=60s")
    # With no grace the API forgets the pod at once, and the node clears up after it.
    for path in (f"{server.data}/node/pods/{uid}", f"{server.data}/containers/sandboxes/{uid}"):
        wait_for(f"{path} is gone", lambda: not os.path.exists(path))


def test_what_a_pod_leaves_is_purged(server):
    """The same, of a pod that still runs: the fixture's purge proves that nothing is left."""
    make(server, "purged", [{"command": ["sh", "-c", r"cd /v; busybox mkdir $(printf '\377'); l=$(printf '%0250d' 0); c=$l;"
                                        r"for n in 1 2 3 4 5 6 7 8 9 10 11 12 13; do c=$c/$l; done; busybox mkdir x;"
                                        r"for n in 1 2 3; do busybox mkdir -p y/$c; busybox mv x y/$c/x; busybox mv y x; done;"
                                        r"sleep 3600"]}])
    wait_for("it runs", lambda: status(server, "purged")["phase"] == "Running")
