"""An unmodified kubectl deploys the example, looks at it, changes it, breaks it, and takes it away."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import ROOT, wait_for

EXAMPLE = str(ROOT / "Examples/web-app/app.yaml")


def pods(server, selector="app=web-app"):
    return server.json("get", "pods", "-l", selector)["items"]


def ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def live(items):
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def url(server, path="/"):
    port = server.json("get", "service", "web-app")["spec"]["ports"][0]["nodePort"]
    return f"http://127.0.0.1:{port}{path}"


def get(address, timeout=5):
    with urllib.request.urlopen(address, timeout=timeout) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def app(server):
    server.kubectl("apply", "-f", EXAMPLE)
    server.kubectl("rollout", "status", "deployment/web-app", "--timeout=90s")
    return server


class Load:
    """Fifty requests a second against the service, each on a connection of its own, until it is left."""

    def __init__(self, address):
        self.address = address
        self.done = threading.Event()
        self.sent = 0
        # Of each request that failed, when it began and ended, and how.
        self.failures = []
        self.bodies = set()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(index,)) for index in range(5)]

    def work(self, index):
        # Bounded in count and in time, whatever happens to the test.
        for _ in range(6000):
            if self.done.wait(0.1):
                return
            began = time.monotonic()
            try:
                body = get(self.address)
                version = re.search(r"version[^0-9]*([0-9]+)", body, re.I)
                with self.lock:
                    self.sent += 1
                    self.bodies.add(version.group(1) if version else body)
            except OSError as error:
                with self.lock:
                    self.failures.append((began, time.monotonic(), f"{type(error).__name__}: {error}"))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()


def test_apply_serves_the_application(app):
    body = get(url(app))
    assert "1" in body and "web-app-" in body
    assert get(url(app, "/health")) and get(url(app, "/ready"))


def test_every_kubectl_lists_and_applies(app, kubectls):
    for binary in kubectls:
        assert "web-app" in app.kubectl("get", "deployments", binary=binary)
        assert "unchanged" in app.kubectl("apply", "-f", EXAMPLE, binary=binary)


def test_get_in_all_forms(app):
    wide = app.kubectl("get", "pods", "-o", "wide")
    assert "NODE" in wide and "10.244." in wide and wide.count("Running") == 3
    assert app.kubectl("get", "deployment", "web-app").split()[-5:-1] == ["web-app", "3/3", "3", "3"]
    assert app.kubectl("get", "deploy", "web-app", "-o", "jsonpath={.spec.replicas}") == "3"
    assert "web-app" in app.kubectl("get", "all", "-A")
    assert app.json("get", "deployment", "web-app")["status"]["readyReplicas"] == 3
    assert app.kubectl("get", "pods", "-o", "name").count("pod/web-app-") == 3
    assert "kind: Service" in app.kubectl("get", "service", "web-app", "-o", "yaml")


def test_get_watches(app):
    process = subprocess.Popen(
        ["kubectl", "get", "configmaps", "-w", "-o", "name", "--request-timeout=60s"],
        env={**os.environ, "KUBECONFIG": app.kubeconfig}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("configmap/")
        app.kubectl("create", "configmap", "watched", "--from-literal=a=b")
        for line in process.stdout:
            if line.strip() == "configmap/watched":
                break
        else:
            pytest.fail("the watch ended without the new object")
    finally:
        process.kill()
        process.wait()
    app.kubectl("delete", "configmap", "watched")


def test_both_versions_of_http(app):
    for option, expected in (("--http2", "2"), ("--http1.1", "1.1")):
        answer = subprocess.run(
            ["curl", "-sS", option, "--cacert", app.data + "/pki/ca.crt", "-w", "\n%{http_version}",
             f"https://127.0.0.1:{app.port}/version"], capture_output=True, text=True, timeout=60)
        assert "gitVersion" in answer.stdout and answer.stdout.endswith("\n" + expected), answer.stdout + answer.stderr
    # What Go's clients speak by themselves.
    listed = subprocess.run(
        ["kubectl", "get", "namespaces"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "KUBECONFIG": app.kubeconfig, "GODEBUG": "http2debug=1"})
    assert "kube-system" in listed.stdout and "http2: Transport" in listed.stderr, listed.stderr


def test_describe_tells_the_story(app):
    name = pods(app)[0]["metadata"]["name"]
    text = app.kubectl("describe", "pod", name)
    for word in ("Successfully assigned", "Pulled", "Created", "Started", "Liveness", "Readiness", "web-app"):
        assert word in text, word
    assert "ScalingReplicaSet" in app.kubectl("describe", "deployment", "web-app")
    assert "Ready" in app.kubectl("describe", "nodes")
    assert "Endpoints" in app.kubectl("describe", "service", "web-app")


def test_logs(app):
    get(url(app))
    name = pods(app)[0]["metadata"]["name"]
    process = subprocess.Popen(
        ["kubectl", "logs", "-f", name], env={**os.environ, "KUBECONFIG": app.kubeconfig}, stdout=subprocess.PIPE, text=True)
    try:
        app.kubectl("exec", name, "--", "sh", "-c", "echo said by exec > /proc/1/fd/1")
        for line in process.stdout:
            if "said by exec" in line:
                break
        else:
            pytest.fail("the log ended without the new line")
    finally:
        process.kill()
        process.wait()
    assert "said by exec" in app.kubectl("logs", name, "--tail=1")
    assert re.match(r"\d{4}-\d\d-\d\dT", app.kubectl("logs", name, "--timestamps", "--tail=1"))


def test_every_kubectl_executes(app, kubectls):
    name = pods(app)[0]["metadata"]["name"]
    for binary in kubectls:
        assert app.kubectl("exec", name, "--", "echo", "hello", binary=binary) == "hello\n"
        assert app.kubectl("exec", "-i", name, "--", "cat", stdin="through\n", binary=binary) == "through\n"
        failed = app.kubectl("exec", name, "--", "sh", "-c", "echo no >&2; exit 7", binary=binary, check=False)
        assert failed.returncode == 7 and "no" in failed.stderr


def test_exec_has_a_terminal(app):
    name = pods(app)[0]["metadata"]["name"]
    script = f"kubectl exec -it {name} -- sh -c 'tty && echo done'"
    result = subprocess.run(
        ["script", "-qec", script, "/dev/null"], env={**os.environ, "KUBECONFIG": app.kubeconfig, "TERM": "dumb"},
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert "/dev/pts/" in result.stdout and "done" in result.stdout, result.stdout + result.stderr


def test_every_kubectl_forwards_ports(app, kubectls):
    name = pods(app)[0]["metadata"]["name"]
    for binary in kubectls:
        process = subprocess.Popen(
            [binary, "port-forward", f"pod/{name}", ":8080"], env={**os.environ, "KUBECONFIG": app.kubeconfig},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            port = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert port, line + process.stderr.read()
            for _ in range(3):
                assert name in get(f"http://127.0.0.1:{port.group(1)}/")
        finally:
            process.kill()
            process.wait()


def test_cp_both_ways(app, tmp_path):
    name = pods(app)[0]["metadata"]["name"]
    source = tmp_path / "source.txt"
    source.write_text("a file\n" * 1000)
    app.kubectl("cp", str(source), f"{name}:/tmp/copied.txt")
    back = tmp_path / "back.txt"
    app.kubectl("cp", f"{name}:/tmp/copied.txt", str(back))
    assert back.read_text() == source.read_text()


def test_patch_label_annotate_edit(app):
    app.kubectl("patch", "deployment", "web-app", "-p", '{"metadata":{"annotations":{"patched":"strategic"}}}')
    app.kubectl("patch", "deployment", "web-app", "--type=merge", "-p", '{"metadata":{"annotations":{"merged":"yes"}}}')
    app.kubectl("patch", "deployment", "web-app", "--type=json", "-p", '[{"op":"remove","path":"/metadata/annotations/merged"}]')
    annotations = app.json("get", "deployment", "web-app")["metadata"]["annotations"]
    assert annotations["patched"] == "strategic" and "merged" not in annotations
    app.kubectl("label", "deployment", "web-app", "tier=front")
    assert "web-app" in app.kubectl("get", "deployments", "-l", "tier in (front,back)")
    assert app.kubectl("get", "deployments", "-l", "tier notin (front)", "-o", "name") == ""
    app.kubectl("label", "deployment", "web-app", "tier-")
    result = subprocess.run(
        ["kubectl", "edit", "deployment", "web-app"], text=True, capture_output=True, timeout=60,
        env={**os.environ, "KUBECONFIG": app.kubeconfig, "KUBE_EDITOR": "sed -i s/patched:.strategic/'patched: edited'/"})
    assert "edited" in result.stdout, result.stdout + result.stderr


def test_strategic_merge_keeps_other_containers(app):
    app.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "merge"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "one", "image": "x:1"}, {"name": "two", "image": "y:1"}]}}}}))
    app.kubectl("set", "image", "deployment/merge", "two=y:2")
    images = [c["image"] for c in app.json("get", "deployment", "merge")["spec"]["template"]["spec"]["containers"]]
    assert images == ["x:1", "y:2"]
    app.kubectl("delete", "deployment", "merge")


def test_scale(app):
    app.kubectl("scale", "deployment/web-app", "--replicas=4")
    app.kubectl("rollout", "status", "deployment/web-app", "--timeout=60s")
    assert len(live(pods(app))) == 4
    app.kubectl("scale", "deployment/web-app", "--replicas=3")
    wait_for("three pods", lambda: len(pods(app)) == 3)


def test_explain_and_resources(app, kubectls):
    for binary in kubectls:
        assert "<string>" in app.kubectl("explain", "pod.spec.containers.image", binary=binary)
        assert "replicas" in app.kubectl("explain", "deployments.spec", "--recursive", binary=binary)
        listing = app.kubectl("api-resources", binary=binary)
        assert re.search(r"deployments\s+deploy\s+apps/v1\s+true\s+Deployment", listing)
        assert "Server Version" in app.kubectl("version", binary=binary)


def test_diff(app, tmp_path):
    assert app.kubectl("diff", "-f", EXAMPLE, check=False).returncode == 0
    changed = tmp_path / "changed.yaml"
    changed.write_text(open(EXAMPLE).read().replace("replicas: 3", "replicas: 5"))
    result = app.kubectl("diff", "-f", str(changed), check=False)
    assert result.returncode == 1 and "+  replicas: 5" in result.stdout, result.stdout + result.stderr
    assert app.json("get", "deployment", "web-app")["spec"]["replicas"] == 3


def test_top_says_that_no_metrics_are_served(app):
    result = app.kubectl("top", "pods", check=False)
    assert result.returncode == 1 and "Metrics API not available" in result.stderr


def test_dns_and_services_inside(app):
    name = pods(app)[0]["metadata"]["name"]
    body = app.kubectl("exec", name, "--", "wget", "-qO-", "http://web-app.default.svc.cluster.local/")
    assert "web-app-" in body
    assert "web-app-" in app.kubectl("exec", name, "--", "wget", "-qO-", "http://web-app/")
    missing = app.kubectl("exec", name, "--", "nslookup", "no-such.default.svc.cluster.local", check=False)
    assert missing.returncode != 0 and "NXDOMAIN" in missing.stdout + missing.stderr


def test_pods_get_a_token_and_reach_the_api(app):
    app.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "localhost/web-app:1", "command": ["sleep", "3600"]}]}}))
    app.kubectl("wait", "--for=condition=Ready", "pod/reader", "--timeout=30s")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
    token = app.kubectl("exec", "reader", "--", "cat", folder + "token")
    assert "BEGIN CERTIFICATE" in app.kubectl("exec", "reader", "--", "cat", folder + "ca.crt")
    assert app.kubectl("exec", "reader", "--", "cat", folder + "namespace") == "default"
    review = app.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}))
    assert json.loads(review)["status"]["user"]["username"] == "system:serviceaccount:default:default"
    app.kubectl("exec", "reader", "--", "sh", "-c", "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null")
    app.kubectl("delete", "pod", "reader")
    refused = app.kubectl("auth", "can-i", "list", "secrets", "--as=system:serviceaccount:default:default", check=False)
    assert refused.stdout.strip() == "no"


def test_rolling_update_loses_no_request_and_undo_brings_back(app):
    address = url(app)
    with Load(address) as load:
        app.kubectl("set", "image", "deployment/web-app", "web-app=localhost/web-app:2")
        app.kubectl("rollout", "status", "deployment/web-app", "--timeout=120s")
        wait_for("only the new version answers", lambda: all("2" in get(address) for _ in range(10)))
        wait_for("the old pods are gone", lambda: len(pods(app)) == 3)
    assert load.failures == [] and load.sent > 20, (load.sent, load.failures[:5])
    assert load.bodies == {"1", "2"}
    history = app.kubectl("rollout", "history", "deployment/web-app")
    assert len(re.findall(r"^\d+", history, re.M)) >= 2
    with Load(address) as load:
        app.kubectl("rollout", "undo", "deployment/web-app")
        app.kubectl("rollout", "status", "deployment/web-app", "--timeout=120s")
        wait_for("the old pods are gone", lambda: len(pods(app)) == 3)
    assert load.failures == [], load.failures[:5]
    assert pods(app)[0]["spec"]["containers"][0]["image"] == "localhost/web-app:1"


def test_rollout_restart(app):
    before = {pod["metadata"]["uid"] for pod in pods(app)}
    app.kubectl("rollout", "restart", "deployment/web-app")
    app.kubectl("rollout", "status", "deployment/web-app", "--timeout=120s")
    wait_for("the old pods are gone", lambda: len(pods(app)) == 3)
    assert not before & {pod["metadata"]["uid"] for pod in pods(app)}


def test_a_killed_process_is_restarted(app):
    pod = pods(app)[0]
    name, status = pod["metadata"]["name"], pod["status"]["containerStatuses"][0]
    container = status["containerID"].split("//")[1]
    app.kubectl("exec", name, "--", "sh", "-c", "kill -9 1; kill 1", check=False)
    process = process_of(container)
    if process:
        os.kill(process, signal.SIGKILL)

    def restarted():
        now = app.json("get", "pod", name)["status"]["containerStatuses"][0]
        return now["restartCount"] == status["restartCount"] + 1 and now["ready"] and now["containerID"] != status["containerID"]

    wait_for("the container is restarted and ready", restarted)
    for _ in range(10):
        get(url(app))


def process_of(container):
    """The host's process id of a container's first process, found by its cgroup."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if container in open(f"/proc/{entry}/cgroup").read() and open(f"/proc/{entry}/comm").read().strip() != "conmon":
                    return int(entry)
            except OSError:
                pass
    return None


def test_a_deleted_pod_is_replaced(app):
    victim = pods(app)[0]["metadata"]["name"]
    app.kubectl("delete", "pod", victim)
    app.kubectl("rollout", "status", "deployment/web-app", "--timeout=60s")
    names = [pod["metadata"]["name"] for pod in wait_for(
        "three ready pods", lambda: (lambda now: len(now) == 3 and all(map(ready, now)) and now)(pods(app)))]
    assert victim not in names


def test_anti_affinity_leaves_two_pending(app):
    manifest = str(ROOT / "Examples/web-app/anti-affinity.yaml")
    app.kubectl("apply", "-f", manifest)

    def phases():
        found = sorted(pod["status"]["phase"] for pod in pods(app, "app=web-app-spread"))
        return found == ["Pending", "Pending", "Running"]

    wait_for("one running and two pending", phases)
    wait_for("an event says why", lambda: "didn't match pod anti-affinity rules" in app.kubectl(
        "get", "events", "--field-selector", "reason=FailedScheduling", "-o", "jsonpath={.items[*].message}"))
    app.kubectl("delete", "-f", manifest, "--timeout=60s")


def test_a_namespace_goes_with_all_that_is_in_it(server):
    server.kubectl("create", "namespace", "short")
    server.kubectl("create", "configmap", "-n", "short", "a")
    server.kubectl("create", "deployment", "-n", "short", "b", "--image=localhost/web-app:1", "--replicas=2")
    server.kubectl("rollout", "status", "-n", "short", "deployment/b", "--timeout=60s")
    server.kubectl("delete", "namespace", "short", "--timeout=90s")
    assert server.kubectl("get", "namespace", "short", check=False).returncode == 1
    assert "short" not in server.kubectl("get", "all,configmaps", "-A")


def test_wait_and_delete(app):
    app.kubectl("wait", "--for=condition=Available", "deployment/web-app", "--timeout=30s")
    app.kubectl("delete", "-f", EXAMPLE, "--timeout=90s")
    wait_for("nothing of the example is left", lambda: pods(app) == [])
    assert app.kubectl("get", "replicasets", "-o", "name") == ""
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", 30080), timeout=1):
        pass
