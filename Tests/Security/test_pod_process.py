"""A process in a pod: what it puts into its files and volumes, for root to step on."""

import json
import os

import pytest

from conftest import wait_for

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
    assert set(text.split()) <= {".", "..", "f"}
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
