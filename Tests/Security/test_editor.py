"""A user with `edit` in one namespace: the paths that he names in pods."""

import json
import os

import pytest

from conftest import wait_for

IMAGE = "localhost/web-app:1"
UP = "../" * 12


def make(server, name, container, volumes=(), **spec):
    server.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "terminationGracePeriodSeconds": 0, "volumes": list(volumes), "containers": [
                {"name": "c", "image": IMAGE, "command": ["sleep", "3600"], **container}], **spec}}))


def container(server, name):
    return server.json("get", "pod", name)["status"]["containerStatuses"][0]


def refused(server, name):
    found = wait_for("the container is refused", lambda: (lambda w: w.get("reason", "").startswith("CreateContainer") and w)(
        container(server, name)["state"].get("waiting", {})))
    server.kubectl("delete", "pod", name)
    return found["message"]


@pytest.mark.parametrize("expression", ["$(UP)/$(UP)/$(UP)/etc", "a/$(UP)/$(UP)/etc", "$(ROOT)etc", "a/../../b", "$(UP)"])
def test_an_expression_does_not_leave_the_volume(server, expression):
    message = refused_or_invalid(server, {
        "env": [{"name": "UP", "value": ".."}, {"name": "ROOT", "value": "/"}],
        "volumeMounts": [{"name": "v", "mountPath": "/m", "subPathExpr": expression}]},
        [{"name": "v", "emptyDir": {}}])
    assert ".." in message or "relative" in message


def refused_or_invalid(server, changes, volumes):
    """By the API, or by the node."""
    try:
        make(server, "paths", changes, volumes)
    except AssertionError as error:
        assert "Invalid value" in str(error) or "is invalid" in str(error), error
        return str(error)
    return refused(server, "paths")


@pytest.mark.parametrize("changes", [
    {"workingDir": f"/{UP}var/tmp/apus-escape"},
    {"workingDir": "/var/tmp/apus-escape"},
    {"terminationMessagePath": f"/{UP}var/tmp/apus-escape"},
    {"terminationMessagePath": f"/v/{UP}var/tmp/apus-escape"},
    {"volumeMounts": [{"name": "v", "mountPath": f"/{UP}var/tmp/apus-escape"}]},
    {"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": f"/v/{UP}var/tmp/apus-escape"}]},
])
def test_paths_in_the_container_stay_in_it(server, changes):
    """They are of its root, whatever they say: on the host nothing is made."""
    try:
        make(server, "inside", {"volumeMounts": [{"name": "v", "mountPath": "/v"}], **changes}, [{"name": "v", "emptyDir": {}}])
    except AssertionError as error:
        assert "Invalid value" in str(error) or "is invalid" in str(error), error
    else:
        wait_for("it runs or is refused", lambda: container(server, "inside")["state"].keys() & {"running"} or
                 container(server, "inside")["state"].get("waiting", {}).get("reason", "").endswith("Error"))
        server.kubectl("delete", "pod", "inside")
    assert not os.path.lexists("/var/tmp/apus-escape")


@pytest.mark.parametrize("profile", ["../../../etc/hostname", "missing.json", "link.json", "folder"])
def test_a_seccomp_profile_is_one_of_the_node(server, profile):
    folder = f"{server.data}/node/seccomp"
    os.makedirs(folder + "/folder", exist_ok=True)
    if not os.path.lexists(folder + "/link.json"):
        # A link out of the folder, as somebody who may write a profile could leave it.
        os.symlink("/etc/hostname", folder + "/link.json")
    message = refused_or_invalid(server, {"securityContext": {"seccompProfile": {
        "type": "Localhost", "localhostProfile": profile}}}, [])
    assert "rofile" in message and open("/etc/hostname").read().strip() not in message


def test_the_hosts_root_has_subpaths(server):
    make(server, "host", {"volumeMounts": [
        {"name": "v", "mountPath": "/name", "subPath": "etc/hostname", "readOnly": True},
        {"name": "v", "mountPath": "/etc-of-host", "subPath": "etc"}]}, [{"name": "v", "hostPath": {"path": "/"}}])
    server.kubectl("wait", "--for=condition=Ready", "pod/host", "--timeout=60s")
    assert server.kubectl("exec", "host", "--", "cat", "/name") == open("/etc/hostname").read()
    assert server.kubectl("exec", "host", "--", "cat", "/etc-of-host/hostname") == open("/etc/hostname").read()
    server.kubectl("delete", "pod", "host")


@pytest.mark.parametrize("path, kind", [
    ("/proc/self/root", ""), ("/proc/1/root", "Directory"), ("/proc/self/fd/0", "File"), ("/proc/1/cwd", "DirectoryOrCreate")])
def test_a_host_path_is_no_link_of_the_kernel(server, path, kind):
    """What such a link leads to is what a process of the host holds at that instant, and no path."""
    name = f"magic-{path.replace('/', '-').strip('-')}"
    make(server, name, {"volumeMounts": [{"name": "v", "mountPath": "/m"}]},
         [{"name": "v", "hostPath": {"path": path, "type": kind}}])
    event = wait_for("the mount is refused", lambda: [
        e["message"] for e in server.json("get", "events", "--field-selector", f"involvedObject.name={name}")["items"]
        if e["reason"] in ("FailedMount", "Failed")])
    assert "hostPath" in event[0]
    server.kubectl("delete", "pod", name)
