"""How pods live and end, who runs in them, and what is said of it."""

import json
import os
import subprocess

from conftest import only_with_crun, wait_for

IMAGE = "localhost/web-app:1"


def create(server, *objects):
    server.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def pod(name, *containers, **spec):
    """A pod whose containers are shell scripts or whole containers."""
    made = [c if isinstance(c, dict) else {"name": f"c{i}", "command": ["sh", "-c", c]} for i, c in enumerate(containers)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"image": IMAGE, **c} for c in made], **spec}}


def status(server, name):
    return server.json("get", "pod", name)["status"]


def ready(server, name):
    return wait_for(f"{name} is ready", lambda: (lambda s: any(
        c["type"] == "Ready" and c["status"] == "True" for c in s.get("conditions", [])) and s)(status(server, name)))


def finished(server, name):
    return wait_for(f"{name} has ended", lambda: (
        lambda s: s["phase"] in ("Succeeded", "Failed") and s)(status(server, name)))


def log(server, name, wanted, *options):
    return wait_for(f"{wanted} in the log of {name}", lambda: (
        lambda text: wanted in text and text)(server.kubectl("logs", name, *options, check=False).stdout))


def events(server, name, reason):
    found = server.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")
    return [event["message"] for event in found["items"]]


IDS = "grep -E '^(Uid|Gid|Groups|CapBnd|CapEff):' /proc/self/status; echo done; exec sleep 3600"


def ids(server, name):
    lines = log(server, name, "done").splitlines()
    return {line.split(":")[0]: line.split()[1:] for line in lines if ":" in line}


@only_with_crun("CRI of containerd 1.6 has no supplementalGroupsPolicy, and does not tell who a container runs as")
def test_the_primary_group_is_among_the_groups(server):
    """CVE-2022-36109, CVE-2023-25173."""
    for name, context, groups in (
        ("groups-all", {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 4000, "supplementalGroups": [5000]}, [3000, 4000, 5000]),
        ("groups-bare", {"runAsUser": 1234}, [0]),
        ("groups-twice", {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [3000]}, [3000]),
        ("groups-strict", {"runAsUser": 0, "supplementalGroups": [7], "supplementalGroupsPolicy": "Strict"}, [0, 7]),
    ):
        create(server, pod(name, IDS, securityContext=context))
        seen = ids(server, name)
        assert sorted(int(g) for g in seen["Groups"]) == groups, (name, seen)
        user = status(server, name)["containerStatuses"][0]["user"]["linux"]
        assert (user["uid"], user["gid"], sorted(user["supplementalGroups"])) == (
            int(seen["Uid"][0]), int(seen["Gid"][0]), groups)
    assert server.json("get", "nodes")["items"][0]["status"]["features"]["supplementalGroupsPolicy"] is True


@only_with_crun("which capabilities a privileged container gets is decided by containerd")
def test_privileged_is_all_that_the_server_has(server):
    """K21: on a machine where the server lacks capabilities, privileged containers start with what there is."""
    mine = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("CapBnd"))
    create(server, pod("privileged", {"name": "c", "command": ["sh", "-c", IDS], "securityContext": {"privileged": True}}))
    assert ids(server, "privileged")["CapBnd"] == [mine]
    missing = [n for n, c in ((24, "SYS_RESOURCE"), (16, "SYS_MODULE")) if not int(mine, 16) >> n & 1]
    if missing:
        name = {24: "SYS_RESOURCE", 16: "SYS_MODULE"}[missing[0]]
        create(server, pod("lacking", {
            "name": "c", "command": ["sleep", "1"], "securityContext": {"capabilities": {"add": [name]}}}))
        wait_for("the refusal names the capability", lambda: name in status(server, "lacking")["containerStatuses"][0][
            "state"]["waiting"]["message"])


def test_every_hook_begins_at_once(server):
    """K8: the sidecar's hook does not wait for the main container, its stop signal does."""
    def container(name, **more):
        # The hook waits for the other's, so that neither ends unless both have begun.
        other = {"main": "side", "side": "main"}[name]
        hook = f"touch /shared/{name}-hook; for i in $(seq 300); do test -e /shared/{other}-hook && break; sleep 0.1; done"
        script = f"trap 'echo {name} >> /shared/order; exit 0' TERM; while :; do sleep 0.1; done"
        return {"name": name, "image": IMAGE, "command": ["sh", "-c", script],
                "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", hook]}}}, **more}
    path = os.path.join(os.path.dirname(server.data), "hooks")
    os.mkdir(path)
    os.chmod(path, 0o777)
    create(server, pod(
        "hooks", container("main"), initContainers=[container("side", restartPolicy="Always")],
        volumes=[{"name": "shared", "hostPath": {"path": path}}], terminationGracePeriodSeconds=60))
    ready(server, "hooks")
    server.kubectl("delete", "pod", "hooks", "--timeout=50s")
    assert open(f"{path}/order").read().split() == ["main", "side"]
    assert sorted(os.listdir(path)) == ["main-hook", "order", "side-hook"]


HUGE = 9223372036854775807


def test_numbers_without_bounds_end_nothing(server):
    """Anybody with `edit` may write them, and what traps once traps at every start."""
    process = json.loads(open(os.path.join(server.data, "server.json")).read())["processID"]
    create(server, pod("endless", {
        "name": "c", "command": ["sleep", "3600"], "resources": {
            "limits": {"cpu": "9000000000000000", "memory": "9E"}, "requests": {"cpu": "1m", "memory": "1Mi"}},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "3600"]}}}}, terminationGracePeriodSeconds=HUGE))
    wait_for("the pod runs, or says why not", lambda: status(server, "endless").get("containerStatuses"))
    server.kubectl("delete", "pod", "endless", "--wait=false")
    node = server.json("get", "nodes")["items"][0]["metadata"]["name"]
    for name in ("huge-a", "huge-b", "huge-c"):
        create(server, pod(name, {"name": "c", "command": ["true"], "resources": {
            "requests": {"memory": str(HUGE), "cpu": "9000000000000000"}}}, nodeName=node))
    for name in ("huge-a", "huge-b", "huge-c"):
        wait_for(f"{name} is refused", lambda: status(server, name)["reason"].startswith("OutOf"))
        server.kubectl("delete", "pod", name)
    create(server, {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "endless"}, "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "endless"}},
            "strategy": {"rollingUpdate": {"maxSurge": f"{HUGE}%", "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "endless"}}, "spec": {
                "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": IMAGE}]}}}})
    server.kubectl("rollout", "status", "deployment/endless", "--timeout=50s")
    server.kubectl("annotate", "replicaset", "-l", "app=endless", "--overwrite", f"deployment.kubernetes.io/revision={HUGE}",
                   "deployment.kubernetes.io/max-replicas=1")
    server.kubectl("set", "env", "deployment/endless", "A=b")
    server.kubectl("rollout", "status", "deployment/endless", "--timeout=50s")
    server.kubectl("delete", "deployment", "endless")
    # A runtime that refuses the limits has left nothing to wait for.
    server.kubectl("delete", "pod", "endless", "--grace-period=1", "--timeout=50s", "--ignore-not-found")
    # It is the same server that answered all along.
    assert server.process.poll() is None
    assert json.loads(open(os.path.join(server.data, "server.json")).read())["processID"] == process


def test_a_finished_pod_with_a_sidecar_is_completed(server):
    """K7."""
    create(server, pod("finished", "exit 0", restartPolicy="Never", initContainers=[
        {"name": "side", "image": IMAGE, "restartPolicy": "Always", "command": ["sh", "-c", "trap '' TERM; exec sleep 3600"]}],
        terminationGracePeriodSeconds=1))
    wait_for("the sidecar is killed", lambda: status(server, "finished")["initContainerStatuses"][0]["state"]["terminated"])
    assert server.kubectl("get", "pod", "finished", "--no-headers").split()[2] == "Completed"


def test_no_noise_before_a_service_listens(server):
    """U14: that a program needs a moment before it listens is no news; what a probe asked is."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5}
    create(server, pod("listens", {
        "name": "c", "command": ["sh", "-c", "sleep 1; exec httpd -f -p 8080 -h /"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 5}, "livenessProbe": {"tcpSocket": {"port": 8080}}}),
        pod("answers", {"name": "c", "command": ["httpd", "-f", "-p", "8080", "-h", "/etc"], "readinessProbe": probe}),
        pod("silent", {"name": "c", "command": ["sleep", "3600"], "readinessProbe": {**probe, "periodSeconds": 1}}))
    ready(server, "listens")
    address = wait_for("silent has an address", lambda: status(server, "silent")["podIP"])
    refused = wait_for("a refused probe is told", lambda: events(server, "silent", "Unhealthy"))
    assert refused[0] == (
        f'Readiness probe failed: Get "http://{address}:8080/healthz": dial tcp {address}:8080: connect: connection refused')
    answered = wait_for("a failed probe is told", lambda: events(server, "answers", "Unhealthy"))
    address = status(server, "answers")["podIP"]
    assert answered[0] == f"Readiness probe failed: HTTP probe failed with statuscode: 404 from http://{address}:8080/healthz"
    assert events(server, "listens", "Unhealthy") == []


def test_a_new_image_replaces_a_container_that_never_restarts(server):
    """C1: what is told is what runs, and an end that was not the container's own is no end of the pod."""
    create(server, pod("changed", "exec sleep 3600", restartPolicy="Never"))
    before = ready(server, "changed")["containerStatuses"][0]
    server.kubectl("set", "image", "pod/changed", "c0=localhost/web-app:2")
    after = wait_for("the container runs anew", lambda: (
        lambda s: s["restartCount"] == 1 and s["ready"] and s)(status(server, "changed")["containerStatuses"][0]))
    assert (before["image"], after["image"]) == (IMAGE, "localhost/web-app:2")
    assert status(server, "changed")["phase"] == "Running"


def run_attached(server, name, script, stdin, *options):
    return subprocess.run(
        ["kubectl", "run", name, f"--image={IMAGE}", "--restart=Never", "--attach", "--stdin", *options, "--command", "--", "sh", "-c", script],
        env={**os.environ, "KUBECONFIG": server.kubeconfig, "HOME": os.path.dirname(server.data)}, input=stdin, text=True,
        capture_output=True, timeout=60)


def test_run_attached(server):
    """K24: the client comes back when the container ends, and, when its input stays open, when its own input ends."""
    ended = run_attached(server, "attached", "read x; echo got $x; read y; echo bye", "hello\n")
    assert ended.returncode == 0 and "got hello\nbye" in ended.stdout, ended
    # The container goes on when its input is left open.
    left = run_attached(server, "left-open", "cat; echo closed", "hello\n", "--leave-stdin-open")
    assert left.returncode == 0, left
    text = log(server, "left-open", "hello")
    assert "closed" not in text and status(server, "left-open")["phase"] == "Running"
    # An end of the container is an end of the session, whoever holds the other end of its input.
    with subprocess.Popen(
            ["kubectl", "run", "ends", f"--image={IMAGE}", "--restart=Never", "--attach", "--stdin", "--leave-stdin-open",
             "--command", "--", "sh", "-c", "read x; echo got $x"],
            env={**os.environ, "KUBECONFIG": server.kubeconfig, "HOME": os.path.dirname(server.data)}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as held:
        wait_for("the container runs", lambda: server.kubectl(
            "get", "pod", "ends", "-o", "jsonpath={.status.phase}", check=False).stdout == "Running")
        held.stdin.write("hello\n")
        held.stdin.flush()
        try:
            assert held.wait(timeout=30) == 0
        finally:
            held.kill()
        assert "got hello" in held.stdout.read()
