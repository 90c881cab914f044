"""It never starts twice, and it recovers by itself."""

import json
import os
import signal
import subprocess
import threading

from conftest import APUS, ROOT, wait_for
from test_kubectl import Load, live, pods, ready, url


def identities(server):
    return sorted(
        (pod["metadata"]["name"], pod["metadata"]["uid"], status["containerID"], status["state"]["running"]["startedAt"],
         status["restartCount"])
        for pod in pods(server) for status in pod["status"]["containerStatuses"])


def test_a_second_server_refuses(server):
    result = subprocess.run([APUS, "up", "--data", server.data, "--port", "7443"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 75
    assert str(server.process.pid) in result.stderr and "never starts twice" in result.stderr


def test_kill_under_load_loses_nothing(server):
    server.kubectl("apply", "-f", str(ROOT / "Examples/web-app/app.yaml"))
    server.kubectl("rollout", "status", "deployment/web-app", "--timeout=90s")
    before = identities(server)
    address = url(server)
    acknowledged = []
    stop = threading.Event()

    def write():
        for index in range(2000):
            if stop.is_set():
                return
            body = json.dumps({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"write-{index}"}, "data": {"n": str(index)}})
            if server.kubectl("create", "-f", "-", stdin=body, check=False).returncode == 0:
                acknowledged.append(f"write-{index}")

    writer = threading.Thread(target=write)
    with Load(address) as load:
        for _ in range(3):
            count = len(acknowledged)
            if not writer.is_alive():
                writer.start()
            wait_for("writes are under way", lambda: len(acknowledged) > count + 3)
            server.kill()
            served = load.sent
            wait_for("the containers serve without the server", lambda: load.sent > served + 20)
            server.start()
            wait_for("the node is ready", lambda: "True" in server.kubectl(
                "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))
        stop.set()
        writer.join()
    assert load.failures == [], load.failures[:5]
    names = {item["metadata"]["name"] for item in server.json("get", "configmaps")["items"]}
    assert [name for name in acknowledged if name not in names] == []
    wait_for("all pods are ready", lambda: len(live(pods(server))) == 3 and all(map(ready, pods(server))))
    assert identities(server) == before


def test_a_container_that_died_meanwhile_is_restarted(server):
    from test_kubectl import process_of
    import os
    import signal

    pod = pods(server)[0]
    status = pod["status"]["containerStatuses"][0]
    server.kill()
    os.kill(process_of(status["containerID"].split("//")[1]), signal.SIGKILL)
    server.start()

    def restarted():
        now = server.json("get", "pod", pod["metadata"]["name"])["status"]["containerStatuses"][0]
        return now["restartCount"] == status["restartCount"] + 1 and now["ready"]

    wait_for("the container is restarted", restarted)


def test_a_graceful_stop_leaves_the_containers(server):
    before = identities(server)
    address = url(server)
    with Load(address) as load:
        server.stop()
        served = load.sent
        wait_for("the containers serve without the server", lambda: load.sent > served + 20)
        assert server.run("status", check=False).returncode == 69
        server.start()
    assert load.failures == []
    wait_for("all pods are ready", lambda: len(pods(server)) == 3 and all(map(ready, pods(server))))
    assert identities(server) == before


def lookup(name):
    return subprocess.run(
        ["busybox", "nslookup", name, "10.96.0.10"], capture_output=True, text=True, timeout=30).stdout


def name_server(server):
    return json.load(open(server.data + "/data-plane/record.json"))["processID"]


def test_names_are_answered_while_the_server_is_away(server):
    server.kubectl("apply", "-f", str(ROOT / "Examples/web-app/app.yaml"))
    address = server.json("get", "service", "web-app")["spec"]["clusterIP"]
    wait_for("the name is known", lambda: address in lookup("web-app.default.svc.cluster.local"))
    process = name_server(server)
    server.kill()
    assert address in lookup("web-app.default.svc.cluster.local")
    assert "NXDOMAIN" in lookup("no-such.default.svc.cluster.local")
    server.start()
    # The same process follows the new server.
    server.kubectl("create", "service", "clusterip", "later", "--tcp=80")
    later = server.json("get", "service", "later")["spec"]["clusterIP"]
    wait_for("it follows the new server", lambda: later in lookup("later.default.svc.cluster.local"))
    assert name_server(server) == process
    server.kubectl("delete", "service", "later")


def test_the_name_server_may_only_follow_what_has_a_name(server):
    config = server.data + "/network/name-server.kubeconfig"
    assert os.stat(config).st_mode & 0o777 == 0o600
    assert "kubernetes" in server.kubectl("--kubeconfig", config, "get", "services,endpointslices,namespaces", "-A")
    for words in (["get", "secrets", "-A"], ["get", "pods", "-A"], ["create", "namespace", "more"]):
        result = server.kubectl("--kubeconfig", config, *words, check=False)
        assert result.returncode and 'User "system:apus:name-server" cannot' in result.stderr, result.stderr


def test_a_killed_name_server_is_started_again(server):
    address = server.json("get", "service", "kubernetes")["spec"]["clusterIP"]
    for server_runs in (True, False):
        process = name_server(server)
        if not server_runs:
            server.kill()
        os.kill(process, signal.SIGKILL)
        if not server_runs:
            server.start()
        wait_for("another one runs", lambda: name_server(server) != process)
        wait_for("it answers", lambda: address in lookup("kubernetes.default.svc.cluster.local"))
