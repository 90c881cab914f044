"""Volumes, seen by the user that a pod runs as."""

import json
import os
import signal

from conftest import wait_for

IMAGE = "localhost/web-app:1"


def create(server, *objects):
    server.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def pod(name, mounts, volumes, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0, "volumes": volumes, "containers": [
            {"name": "c", "image": IMAGE, "command": ["sleep", "3600"], "volumeMounts": mounts}], **spec}}


def sh(server, name, script):
    return server.kubectl("exec", name, "--", "sh", "-c", script).strip()


def test_subpaths(server):
    create(
        server,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sub"}, "data": {"a": "one"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sub"}, "stringData": {"b": "one"}},
        pod("config", [
            {"name": "config", "mountPath": "/a", "subPath": "a"}, {"name": "secret", "mountPath": "/b", "subPath": "b"}],
            [{"name": "config", "configMap": {"name": "sub"}}, {"name": "secret", "secret": {"secretName": "sub"}}]),
        pod("user", [{"name": "v", "mountPath": "/m", "subPath": "new/folder"}, {"name": "v", "mountPath": "/v"}],
            [{"name": "v", "emptyDir": {}}], securityContext={"runAsUser": 1000}),
        pod("group", [{"name": "v", "mountPath": "/m", "subPath": "new/folder"}], [{"name": "v", "emptyDir": {}}],
            securityContext={"runAsUser": 1000, "fsGroup": 2000}))
    server.kubectl("wait", "--for=condition=Ready", "pod/config", "pod/user", "pod/group", "--timeout=60s")
    assert sh(server, "user", "echo x > /m/x; cat /v/new/folder/x; busybox stat -c %a /m /v/new") == "x\n777\n777"
    assert sh(server, "group", "echo x > /m/x; busybox stat -c '%a %g' /m; busybox stat -c %g /m/x") == "2777 2000\n2000"

    # What the first start mounted is removed with the change: the next start mounts what is there then.
    for kind, key in (("configmap", "data"), ("secret", "stringData")):
        server.kubectl("patch", kind, "sub", "-p", json.dumps({key: {"a" if kind == "configmap" else "b": "two"}}))
    uid = server.json("get", "pod", "config")["metadata"]["uid"]
    wait_for("the volume follows", lambda: open(f"{server.data}/node/pods/{uid}/volumes/config/a").read() == "two",
             deadline=120)
    assert sh(server, "config", "cat /a /b") == "oneone"

    def again():
        found = server.json("get", "pod", "config")["status"]["containerStatuses"][0]
        return found["restartCount"] >= 1 and "running" in found["state"]

    identity = server.json("get", "pod", "config")["status"]["containerStatuses"][0]["containerID"].split("//")[1]
    record = json.load(open(f"{server.data}/containers/containers/{identity}/record.json"))
    os.kill(record["process"]["pid"], signal.SIGKILL)
    wait_for("it starts again", again)
    wait_for("it has the new content", lambda: sh(server, "config", "cat /a /b") == "twotwo")
    server.kubectl("delete", "pod", "config", "user", "group")


def test_who_may_read_a_token(server):
    token = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    mount = [{"name": "t", "mountPath": "/t"}]
    create(
        server, pod("plain", mount, token, securityContext={"runAsUser": 0}),
        pod("user", mount, token, securityContext={"runAsUser": 1000}),
        pod("group", mount, token, securityContext={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}))
    server.kubectl("wait", "--for=condition=Ready", "pod/plain", "pod/user", "pod/group", "--timeout=60s")
    look = "busybox stat -Lc '%a %u %g' /t/token"
    assert sh(server, "plain", look) == "600 0 0"
    assert sh(server, "user", look) == "600 1000 0"
    assert sh(server, "group", look) == "640 1000 2000"
    for name in ("plain", "user", "group"):
        assert sh(server, name, "cat /t/token").count(".") == 2
    server.kubectl("delete", "pod", "plain", "user", "group")
