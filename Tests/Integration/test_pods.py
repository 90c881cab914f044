"""What a pod's specification asks of the node, the network and the controllers, seen through kubectl."""

import json
import os
import re
import subprocess
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from conftest import only_with_crun, wait_for

IMAGE = "localhost/web-app:1"


def create(server, *objects):
    server.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def pod(name, *containers, labels=None, **spec):
    """A pod whose containers are shell scripts or whole containers."""
    made = [c if isinstance(c, dict) else {"name": f"c{i}", "command": ["sh", "-c", c]} for i, c in enumerate(containers)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"image": IMAGE, **c} for c in made], **spec}}


def state(server, name):
    return server.json("get", "pod", name)["status"]


def phase(server, name, wanted):
    return wait_for(f"{name} is {wanted}", lambda: (lambda s: s["phase"] == wanted and s)(state(server, name)))


def exists(path):
    """A probe that succeeds while the file is there."""
    return {"exec": {"command": ["sh", "-c", f"test -e {path}"]}, "periodSeconds": 1}


def is_ready(status):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))


def test_the_environment(server):
    create(
        server,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "env"}, "data": {"COLOUR": "blue", "size": "9"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "env"}, "stringData": {"PASSWORD": "s3cret"}},
        pod("environment", {
            "name": "c", "command": ["sh", "-c", "env; sleep 3600"],
            "resources": {"requests": {"memory": "16Mi"}, "limits": {"cpu": "250m", "memory": "32Mi"}},
            "envFrom": [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "env"}, "prefix": "MY_"}],
            "env": [
                {"name": "LITERAL", "value": "a $(COLOUR) $$(COLOUR) $(NONE)"},
                {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "size"}}},
                {"name": "OPTIONAL", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
            ]}, labels={"tier": "front"}))
    phase(server, "environment", "Running")
    lines = wait_for("the environment is printed", lambda: (lambda t: "MEMORY=" in t and t)(server.kubectl("logs", "environment")))
    seen = dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)
    address = state(server, "environment")["podIP"]
    for name, value in {
        "COLOUR": "blue", "MY_PASSWORD": "s3cret", "LITERAL": "a blue $(COLOUR) $(NONE)", "SIZE": "9", "POD": "environment",
        "IP": address, "TIER": "front", "CPU": "250", "MEMORY": "16",
    }.items():
        assert seen.get(name) == value, (name, seen)
    assert "OPTIONAL" not in seen and seen["KUBERNETES_SERVICE_HOST"]


def test_volumes(server, tmp_path):
    (tmp_path / "given").write_text("by the host")
    create(
        server,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vol"}, "data": {"a": "one", "b": "two"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vol"}, "stringData": {"key": "s3cret"}},
        pod("volumes", {
            "name": "c", "command": ["sleep", "3600"], "volumeMounts": [
                {"name": "config", "mountPath": "/config", "readOnly": True},
                {"name": "one", "mountPath": "/one/file", "subPath": "b"},
                {"name": "secret", "mountPath": "/secret"}, {"name": "host", "mountPath": "/host"},
                {"name": "all", "mountPath": "/all"}, {"name": "scratch", "mountPath": "/scratch"},
                {"name": "memory", "mountPath": "/memory"},
            ]}, volumes=[
                {"name": "config", "configMap": {"name": "vol", "items": [{"key": "a", "path": "deep/a"}]}},
                {"name": "one", "configMap": {"name": "vol"}},
                {"name": "secret", "secret": {"secretName": "vol", "defaultMode": 0o400}},
                {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
                {"name": "all", "projected": {"sources": [
                    {"configMap": {"name": "vol"}}, {"secret": {"name": "vol"}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    {"serviceAccountToken": {"path": "token", "audience": "me", "expirationSeconds": 600}}]}},
                {"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            ], labels={"tier": "front"}, securityContext={"runAsUser": 0}))
    server.kubectl("wait", "--for=condition=Ready", "pod/volumes", "--timeout=60s")

    def sh(script, check=True):
        return server.kubectl("exec", "volumes", "--", "sh", "-c", script, check=check)

    assert sh("cat /config/deep/a /one/file /secret/key /host/given") == "onetwos3cretby the host"
    assert sh("cat /all/a /all/key") == "ones3cret" and 'tier="front"' in sh("cat /all/labels")
    assert sh("stat -Lc %a /secret/key").strip() == "400"
    assert sh("cat /all/token").count(".") == 2
    sh("echo from the pod > /host/taken; echo x > /scratch/x; echo x > /memory/x")
    assert (tmp_path / "taken").read_text() == "from the pod\n"
    assert " /memory tmpfs " in sh("cat /proc/mounts")
    assert sh("echo no > /config/deep/a", check=False).returncode != 0
    # A change of the ConfigMap reaches the volume, and not what was mounted by subPath.
    server.kubectl("patch", "configmap", "vol", "-p", '{"data":{"a":"changed","b":"changed"}}')
    wait_for("the volume follows", lambda: sh("cat /config/deep/a") == "changed", deadline=120)
    assert sh("cat /one/file") == "two"
    server.kubectl("delete", "pod", "volumes")


def test_identity_and_rights(server):
    create(server, pod(
        "rights", {
            "name": "c", "command": ["sleep", "3600"], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "securityContext": {
                "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}},
        {"name": "other", "command": ["sleep", "3600"], "securityContext": {"runAsUser": 4321}},
        securityContext={
            "runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456, "supplementalGroups": [4567], "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"}},
        volumes=[{"name": "v", "emptyDir": {}}]))
    server.kubectl("wait", "--for=condition=Ready", "pod/rights", "--timeout=60s")

    def sh(script, container="c", check=True):
        return server.kubectl("exec", "rights", "-c", container, "--", "sh", "-c", script, check=check)

    assert re.match(r"uid=1234.* gid=2345.* groups=.*3456.*4567|uid=1234.* gid=2345.* groups=.*4567.*3456", sh("id"))
    assert sh("id -u", "other").strip() == "4321"
    assert sh("echo x > /x", check=False).returncode != 0
    sh("echo x > /v/x")
    assert sh("stat -c %g /v/x").strip() == "3456"
    status = dict(line.split(":\t") for line in sh("cat /proc/self/status").splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and int(status["CapBnd"], 16) == 1 << 10
    # The host refuses nothing here: it is the pod that asked not to be root.
    create(server, pod("root", "sleep 1", securityContext={"runAsNonRoot": True, "runAsUser": 0}))
    wait_for("a root user is refused", lambda: state(server, "root")["containerStatuses"][0]["state"]["waiting"]["reason"]
             == "CreateContainerConfigError")
    server.kubectl("delete", "pod", "rights", "root")


def test_init_containers_run_one_after_the_other_and_sidecars_stay(server):
    share = [{"name": "v", "mountPath": "/v"}]
    create(server, pod(
        "inits", {"name": "main", "command": ["sh", "-c", "cat /v/order; sleep 3600"], "volumeMounts": share},
        volumes=[{"name": "v", "emptyDir": {}}], initContainers=[
            {"name": "one", "image": IMAGE, "command": ["sh", "-c", "echo one >> /v/order"], "volumeMounts": share},
            {"name": "side", "image": IMAGE, "restartPolicy": "Always", "volumeMounts": share,
             "command": ["sh", "-c", "echo side >> /v/order; touch /v/up; sleep 3600"],
             "startupProbe": exists("/v/up")},
            {"name": "two", "image": IMAGE, "command": ["sh", "-c", "echo two >> /v/order"], "volumeMounts": share}]))
    server.kubectl("wait", "--for=condition=Ready", "pod/inits", "--timeout=60s")
    wait_for("the order is told", lambda: server.kubectl("logs", "inits", "-c", "main") == "one\nside\ntwo\n")
    found = state(server, "inits")
    assert [s["state"].keys() & {"terminated", "running"} for s in found["initContainerStatuses"]] == [
        {"terminated"}, {"running"}, {"terminated"}]
    server.kubectl("delete", "pod", "inits")


def test_restart_policies_and_exit_codes(server):
    create(
        server, pod("never", "echo dying >&2; exit 3", restartPolicy="Never"),
        pod("done", "echo fine", restartPolicy="OnFailure"),
        pod("again", {"name": "c", "command": ["sh", "-c", "test -e /v/x || { touch /v/x; echo first; exit 1; }; echo second"],
                      "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            restartPolicy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}]),
        pod("loop", {"name": "c", "command": ["sh", "-c", "echo why > /dev/termination-log; exit 4"]}))
    ended = phase(server, "never", "Failed")["containerStatuses"][0]
    assert ended["state"]["terminated"]["exitCode"] == 3 and ended["restartCount"] == 0
    assert phase(server, "done", "Succeeded")["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert phase(server, "again", "Succeeded")["containerStatuses"][0]["restartCount"] == 1
    assert server.kubectl("logs", "again") == "second\n" and server.kubectl("logs", "again", "--previous") == "first\n"
    waiting = wait_for("the loop backs off", lambda: (lambda s: s["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
                                                      and s)(state(server, "loop")["containerStatuses"][0]))
    assert waiting["lastState"]["terminated"]["message"].strip() == "why" and waiting["restartCount"] >= 1
    server.kubectl("delete", "pod", "never", "done", "again", "loop")


def test_probes(server):
    def sh(name, script):
        server.kubectl("exec", name, "--", "sh", "-c", script)

    tcp = {"tcpSocket": {"port": 9000}, "periodSeconds": 1}
    create(
        server,
        pod("slow", {
            "name": "c", "command": ["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.1; done; busybox nc -ll -p 9000 -e true"],
            # Liveness would kill it at once; it does not begin before the start-up probe has succeeded.
            "startupProbe": {**tcp, "failureThreshold": 600}, "livenessProbe": {**tcp, "failureThreshold": 1},
            "readinessProbe": exists("/tmp/ready")}),
        pod("sick", {"name": "c", "command": ["sh", "-c", "touch /tmp/well; sleep 3600"],
                     "livenessProbe": {**exists("/tmp/well"), "failureThreshold": 1, "initialDelaySeconds": 1}}))
    phase(server, "slow", "Running")
    phase(server, "sick", "Running")
    assert state(server, "slow")["containerStatuses"][0]["started"] is False
    sh("slow", "touch /tmp/go")
    wait_for("it has started", lambda: state(server, "slow")["containerStatuses"][0]["started"])
    assert not is_ready(state(server, "slow"))
    sh("slow", "touch /tmp/ready")
    server.kubectl("wait", "--for=condition=Ready", "pod/slow", "--timeout=60s")
    sh("slow", "rm /tmp/ready")
    server.kubectl("wait", "--for=condition=Ready=false", "pod/slow", "--timeout=60s")
    assert state(server, "slow")["containerStatuses"][0]["restartCount"] == 0
    wait_for("the sick one is well first", lambda: state(server, "sick")["containerStatuses"][0]["started"])
    sh("sick", "rm /tmp/well")
    wait_for("the sick one is restarted", lambda: state(server, "sick")["containerStatuses"][0]["restartCount"] >= 1)
    assert "Unhealthy" in server.kubectl("get", "events", "--field-selector", "involvedObject.name=sick",
                                         "-o", "jsonpath={.items[*].reason}")
    server.kubectl("delete", "pod", "slow", "sick")


def test_ending(server):
    """SIGTERM, the hook before it, the time to go, SIGKILL after it."""
    script = "trap 'echo asked >> /v/log; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    mount = [{"name": "v", "mountPath": "/v"}]
    create(
        server,
        pod("polite", {"name": "c", "command": ["sh", "-c", script], "volumeMounts": mount,
                       "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo started >> /v/log"]}},
                                     "preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /v/log"]}}}},
            {"name": "witness", "command": ["sh", "-c", "trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done"],
             "volumeMounts": mount},
            terminationGracePeriodSeconds=60, volumes=[{"name": "v", "emptyDir": {}}]),
        pod("deaf", "trap '' TERM; while :; do sleep 0.1; done", terminationGracePeriodSeconds=1))
    for name in ("polite", "deaf"):
        phase(server, name, "Running")
    server.kubectl("delete", "pod", "polite", "--wait=false")
    seen = wait_for("the log is complete", lambda: (lambda r: r.stdout.count("\n") == 3 and r.stdout)(
        server.kubectl("exec", "polite", "-c", "witness", "--", "cat", "/v/log", check=False)))
    assert seen == "started\nhook\nasked\n"
    server.kubectl("wait", "--for=delete", "pod/polite", "--timeout=60s")
    server.kubectl("delete", "pod", "deaf", "--timeout=60s")


def test_logs_of_a_time_and_attach(server):
    # stdinOnce: the end of the first attached input is the end of the container's.
    create(server, pod("talker", {
        "name": "c", "stdin": True, "stdinOnce": True,
        "command": ["sh", "-c", "echo early; while read line; do echo heard $line; done"]}, restartPolicy="Never"))
    phase(server, "talker", "Running")
    attached = subprocess.run(
        ["kubectl", "attach", "-i", "talker"], input="hello\n", text=True, capture_output=True, timeout=60,
        env={**os.environ, "KUBECONFIG": server.kubeconfig})
    assert "heard hello" in attached.stdout and attached.returncode == 0, attached
    phase(server, "talker", "Succeeded")
    wait_for("it is in the log", lambda: "heard hello" in server.kubectl("logs", "talker"))
    assert server.kubectl("logs", "talker", "--tail=1") == "heard hello\n"
    assert "early" in server.kubectl("logs", "talker", "--since=1h")
    assert server.kubectl("logs", "talker", "--since-time=2999-01-01T00:00:00Z") == ""
    assert server.kubectl("logs", "talker", "--limit-bytes=5") == "early"
    server.kubectl("delete", "pod", "talker")


def test_dns_names_of_services_and_pods(server):
    ports = [{"name": "http", "port": 8080}]
    create(
        server,
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "peers"}, "spec": {
            "clusterIP": "None", "selector": {"app": "peer"}, "ports": ports}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": {
            "selector": {"app": "peer"}, "ports": ports}},
        pod("peer-a", "sleep 3600", labels={"app": "peer"}, hostname="alpha", subdomain="peers"),
        pod("peer-b", "sleep 3600", labels={"app": "peer"}))
    for name in ("peer-a", "peer-b"):
        server.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    a, b = (state(server, name)["podIP"] for name in ("peer-a", "peer-b"))
    address = server.json("get", "service", "front")["spec"]["clusterIP"]

    def ask(*question):
        answer = server.kubectl("exec", "peer-b", "--", "nslookup", *question, check=False)
        return answer.stdout

    wait_for("both peers are known", lambda: a in ask("peers") and b in ask("peers.default.svc.cluster.local"))
    assert address in ask("front.default.svc.cluster.local")
    assert a in ask("alpha.peers.default.svc.cluster.local")
    dashed = b.replace(".", "-")
    assert b in ask(f"{dashed}.default.pod.cluster.local")
    service = ask("-type=srv", "_http._tcp.front.default.svc.cluster.local")
    assert "8080" in service and "front.default.svc.cluster.local" in service
    assert "alpha.peers.default.svc.cluster.local" in ask("-type=srv", "_http._tcp.peers.default.svc.cluster.local")
    assert "front.default.svc.cluster.local" in ask("-type=ptr", ".".join(reversed(address.split("."))) + ".in-addr.arpa")
    server.kubectl("delete", "pod", "peer-a", "peer-b")
    server.kubectl("delete", "service", "peers", "front")


def deployment(name, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}]}}, **spec}}


def watching(server, path):
    """A watch by the API's own lines, from the present state on."""
    version = json.loads(server.kubectl("get", "--raw", path))["metadata"]["resourceVersion"]
    return raw_watch(server, path + ("&" if "?" in path else "?") + f"watch=1&timeoutSeconds=120&resourceVersion={version}")


def raw_watch(server, path):
    return subprocess.Popen(
        ["kubectl", "get", "--raw", path], env={**os.environ, "KUBECONFIG": server.kubeconfig}, stdout=subprocess.PIPE, text=True)


def test_recreate_never_runs_two_versions(server):
    create(server, deployment("single", strategy={"type": "Recreate"}))
    server.kubectl("rollout", "status", "deployment/single", "--timeout=60s")
    old = {p["metadata"]["name"] for p in server.json("get", "pods", "-l", "app=single")["items"]}
    process = watching(server, "/api/v1/namespaces/default/pods?labelSelector=app%3Dsingle")
    try:
        server.kubectl("set", "image", "deployment/single", "c=localhost/web-app:2")
        new = set()
        for line in process.stdout:
            event = json.loads(line)
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                old.discard(name)
            elif event["type"] == "ADDED":
                assert old == set(), "a new pod while one of the old version is there"
                new.add(name)
                if len(new) == 2:
                    break
        assert len(new) == 2
    finally:
        process.kill()
        process.wait()
    server.kubectl("rollout", "status", "deployment/single", "--timeout=60s")
    server.kubectl("delete", "deployment", "single")


def test_pause_resume_and_a_deadline(server):
    create(server, deployment("held", progressDeadlineSeconds=2))
    server.kubectl("rollout", "status", "deployment/held", "--timeout=60s")
    server.kubectl("rollout", "pause", "deployment/held")
    server.kubectl("set", "image", "deployment/held", "c=localhost/web-app:2")
    server.kubectl("scale", "deployment/held", "--replicas=3")
    wait_for("it is scaled", lambda: server.json("get", "deployment", "held")["status"].get("readyReplicas") == 3)
    assert {p["spec"]["containers"][0]["image"] for p in server.json("get", "pods", "-l", "app=held")["items"]} == {IMAGE}
    server.kubectl("rollout", "resume", "deployment/held")
    server.kubectl("rollout", "status", "deployment/held", "--timeout=60s")
    # An image that nobody has: the rollout does not progress, and says so.
    server.kubectl("set", "image", "deployment/held", "c=localhost/no-such:1")
    failed = server.kubectl("rollout", "status", "deployment/held", "--timeout=60s", check=False)
    assert failed.returncode == 1 and "exceeded its progress deadline" in failed.stderr
    server.kubectl("rollout", "undo", "deployment/held")
    server.kubectl("rollout", "status", "deployment/held", "--timeout=60s")
    server.kubectl("delete", "deployment", "held")


@pytest.mark.parametrize("cascade, stays", [("orphan", True), ("foreground", False), ("background", False)])
def test_what_deleting_an_owner_does_to_the_owned(server, cascade, stays):
    name = f"owner-{cascade}"
    create(server, deployment(name))
    server.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    server.kubectl("delete", "deployment", name, f"--cascade={cascade}", "--timeout=60s")
    if stays:
        sets = server.json("get", "replicasets", "-l", f"app={name}")["items"]
        assert len(sets) == 1 and "ownerReferences" not in sets[0]["metadata"] and sets[0]["status"]["readyReplicas"] == 2
        server.kubectl("delete", "replicasets", "-l", f"app={name}")
    elif cascade == "foreground":
        # The owner goes last: when it is gone, nothing of it is left.
        assert server.kubectl("get", "replicasets,pods", "-l", f"app={name}", "-o", "name") == ""
    wait_for("the pods are gone", lambda: server.kubectl("get", "pods", "-l", f"app={name}", "-o", "name") == "")


def test_a_watch_that_begins_with_the_state(server):
    """WatchList (KEP-3157): the state as events, a bookmark that ends it, then changes."""
    create(server, *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"w{n}", "labels": {"w": "1"}}} for n in range(3)))
    path = ("/api/v1/namespaces/default/configmaps?watch=1&labelSelector=w%3D1&sendInitialEvents=true"
            "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=60")
    process = raw_watch(server, path)
    try:
        events = [json.loads(process.stdout.readline()) for _ in range(4)]
        assert [e["type"] for e in events] == ["ADDED"] * 3 + ["BOOKMARK"]
        assert events[3]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        server.kubectl("delete", "configmap", "w1")
        event = json.loads(process.stdout.readline())
        assert event["type"] == "DELETED" and event["object"]["metadata"]["name"] == "w1"
    finally:
        process.kill()
        process.wait()
    server.kubectl("delete", "configmaps", "-l", "w=1")


@only_with_crun("a node's port by 127.0.0.1 needs a setting of the bridge, which is containerd's")
def test_ports_of_the_node(server):
    create(
        server, pod("node-port", "busybox nc -ll -p 7000 -e echo served", labels={"app": "node-port"}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "node-port"}, "spec": {
            "type": "NodePort", "selector": {"app": "node-port"}, "ports": [{"port": 70, "targetPort": 7000, "nodePort": 31700}]}})
    server.kubectl("wait", "--for=condition=Ready", "pod/node-port", "--timeout=60s")

    def ask(*command):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL).stdout

    address = server.json("get", "service", "node-port")["spec"]["clusterIP"]
    wait_for("the node's port", lambda: ask("busybox", "nc", "127.0.0.1", "31700") == "served\n")
    assert ask("busybox", "nc", address, "70") == "served\n"
    create(server, pod("client", "sleep 3600"))
    server.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    # Through the service's own address also from the pod that serves it.
    for name in ("client", "node-port"):
        assert server.kubectl("exec", name, "--", "busybox", "nc", address, "70") == "served\n"
    server.kubectl("delete", "pod", "node-port", "client")
    server.kubectl("delete", "service", "node-port")


def test_what_only_a_label_changes_reaches_the_files(server):
    create(server, pod("told", {
        "name": "c", "command": ["sleep", "3600"], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }, labels={"app": "told"}, volumes=[{"name": "v", "downwardAPI": {"items": [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]))
    phase(server, "told", "Running")
    server.kubectl("label", "pod", "told", "colour=red")
    wait_for("the label is in the file", lambda: 'colour="red"' in server.kubectl("exec", "told", "--", "cat", "/v/labels"))


def test_a_gated_pod_says_so(server):
    body = pod("gated", "sleep 3600", schedulingGates=[{"name": "example.com/wait"}])
    create(server, body)
    assert state(server, "gated")["conditions"][0]["reason"] == "SchedulingGated"
    assert "SchedulingGated" in server.kubectl("get", "pod", "gated")
    server.kubectl("patch", "pod", "gated", "--type=json", "-p", '[{"op": "remove", "path": "/spec/schedulingGates"}]')
    phase(server, "gated", "Running")
    body["metadata"]["name"], body["spec"]["nodeName"] = "placed", "n"
    result = server.kubectl("create", "-f", "-", stdin=json.dumps(body), check=False)
    assert "cannot be set until all schedulingGates have been cleared" in result.stderr


def test_the_whole_name_as_the_hosts(server):
    create(server, pod("whole", "hostname; sleep 3600", hostname="h", subdomain="s", setHostnameAsFQDN=True))
    phase(server, "whole", "Running")
    wait_for("it says", lambda: server.kubectl("logs", "whole") == "h.s.default.svc.cluster.local\n")


def test_a_pod_with_all_that_it_may_use(server):
    """The kernel may not let this server shield it from running out of memory: it runs all the same. The disk counts from the
    first start on."""
    amounts = {"cpu": "50m", "memory": "32Mi", "ephemeral-storage": "10Mi"}
    create(server, pod("guaranteed", {
        "name": "c", "command": ["sleep", "3600"], "resources": {"requests": amounts, "limits": amounts}}))
    assert phase(server, "guaranteed", "Running")["qosClass"] == "Guaranteed"


def test_services_change_their_type(server):
    server.kubectl("create", "service", "clusterip", "turning", "--tcp=80:8080")

    def turn(kind, **fields):
        return server.kubectl(
            "patch", "service", "turning", "-p", json.dumps({"spec": {"type": kind, **fields}}), check=False)

    for kind in ("NodePort", "ClusterIP", "LoadBalancer", "ClusterIP", "NodePort"):
        assert turn(kind).returncode == 0, turn(kind).stderr
    assert turn("ExternalName", externalName="a.example").returncode == 0
    assert turn("ClusterIP", externalName=None).returncode == 0
    spec = server.json("get", "service", "turning")["spec"]
    assert "externalTrafficPolicy" not in spec and "nodePort" not in spec["ports"][0], spec
    for change, why in (
        ({"type": "NodePort", "clusterIP": "None"}, "may not be set to 'None' for NodePort services"),
        ({"ports": [{"port": 80, "nodePort": 30999}]}, "may not be used when `type` is 'ClusterIP'"),
    ):
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "wrong"}, "spec": {"ports": [{"port": 80}], **change}}
        result = server.kubectl("create", "-f", "-", stdin=json.dumps(service), check=False)
        assert result.returncode and why in result.stderr, result.stderr


def test_what_the_cluster_needs_comes_back(server):
    address = server.json("get", "service", "kubernetes")["spec"]["clusterIP"]
    server.kubectl("delete", "service", "kubernetes")
    server.kubectl("delete", "namespace", "kube-node-lease")
    wait_for("the service is back", lambda: server.kubectl(
        "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}", check=False).stdout == address)
    wait_for("the node's lease is back", lambda: server.kubectl(
        "get", "lease", "-n", "kube-node-lease", "-o", "name", check=False).stdout.startswith("lease"))


def test_probes_by_grpc(server, tmp_path):
    """Against a server of gRPC's own library, by the node's address: the pods are on the host's network."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=nobody", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
                   check=True, capture_output=True)
    service = health.HealthServicer()
    service.set("shop", health_pb2.HealthCheckResponse.NOT_SERVING)
    peer = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    health_pb2_grpc.add_HealthServicer_to_server(service, peer)
    plain = {"port": peer.add_insecure_port("0.0.0.0:0")}
    tls = {"port": peer.add_secure_port("0.0.0.0:0", grpc.ssl_server_credentials(
        [((tmp_path / "key").read_bytes(), (tmp_path / "certificate").read_bytes())])), "mode": "TLS"}
    peer.start()

    def says(name, text):
        wait_for(f"{name}: {text}", lambda: text in server.kubectl("describe", "pod", name))

    def ready(name):
        return is_ready(state(server, name))

    actions = {"grpc-whole": plain, "grpc-tls": tls, "grpc-shop": {**plain, "service": "shop"},
               "grpc-none": {**plain, "service": "none"}}
    try:
        create(server, *(pod(name, {
            "name": "c", "command": ["sleep", "3600"],
            "readinessProbe": {"grpc": action, "periodSeconds": 1, "timeoutSeconds": 5}}, hostNetwork=True)
            for name, action in actions.items()))
        for name in "grpc-whole", "grpc-tls":
            wait_for(f"{name} is well", lambda: ready(name))
        says("grpc-shop", 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")')
        says("grpc-none", "Readiness probe failed: error: health rpc probe failed: rpc error: code = NotFound")
        assert not ready("grpc-shop")
        service.set("shop", health_pb2.HealthCheckResponse.SERVING)
        wait_for("the service is well", lambda: ready("grpc-shop"))
        peer.stop(0).wait()
        for name in "grpc-shop", "grpc-tls":
            wait_for(f"nobody answers {name} any more", lambda: not ready(name))
    finally:
        peer.stop(0)
        server.kubectl("delete", "pod", *actions, "--ignore-not-found")
