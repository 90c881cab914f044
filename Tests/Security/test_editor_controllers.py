"""A user with the role `edit` in one namespace, who wants the rights of a controller."""

import json
import os
import subprocess

import pytest

CONTROLLERS = ["deployment-controller", "generic-garbage-collector", "namespace-controller", "node-controller"]


@pytest.fixture(scope="module")
def editor(server):
    """Runs kubectl with nothing but a token of an account that may `edit` in `mill`."""
    server.kubectl("create", "namespace", "mill")
    server.kubectl("create", "serviceaccount", "mallory", "-n", "mill")
    server.kubectl("create", "rolebinding", "mallory", "-n", "mill", "--clusterrole=edit", "--serviceaccount=mill:mallory")
    config = json.loads(server.kubectl("config", "view", "--raw", "-o", "json"))
    token = server.kubectl("create", "token", "mallory", "-n", "mill").strip()
    config["users"] = [{"name": "mallory", "user": {"token": token}}]
    config["contexts"][0]["context"] = {**config["contexts"][0]["context"], "user": "mallory", "namespace": "mill"}
    path = os.path.join(os.path.dirname(server.data), "mallory.json")
    with open(path, "w") as file:
        json.dump(config, file)

    def run(*arguments, stdin=None):
        return subprocess.run(
            ["kubectl", *arguments], env={**os.environ, "KUBECONFIG": path, "HOME": os.path.dirname(server.data)},
            input=stdin, text=True, capture_output=True, timeout=60)

    yield run
    server.kubectl("delete", "namespace", "mill")


def refused(answer):
    return answer.returncode != 0 and "orbidden" in answer.stderr


def test_it_is_the_editor(editor):
    assert editor("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    assert editor("auth", "can-i", "create", "pods", "-n", "default").stdout.strip() == "no"


@pytest.mark.parametrize("name", CONTROLLERS)
def test_he_does_not_become_one(editor, name):
    user = f"system:serviceaccount:kube-system:{name}"
    assert refused(editor("get", "pods", "--as", user))
    assert refused(editor("create", "serviceaccount", name, "-n", "kube-system"))
    assert refused(editor("create", "token", name, "-n", "kube-system"))
    assert refused(editor("get", "nodes", "--as", "mallory", "--as-group", "system:nodes"))


@pytest.mark.parametrize("name", CONTROLLERS)
def test_he_does_not_change_what_they_may(editor, name):
    role = f"system:controller:{name}"
    assert refused(editor("patch", "clusterrole", role, "--type=merge", "-p", '{"rules": []}'))
    assert refused(editor("delete", "clusterrolebinding", role))
    # Nor has he it bound in his own namespace, where the role would be of use.
    assert refused(editor("create", "rolebinding", "mine", f"--clusterrole={role}", "--serviceaccount=mill:mallory"))


def test_an_account_of_the_name_elsewhere_is_nobody(server, editor):
    """The binding is for the account of `kube-system`, and not for one of the same name."""
    assert editor("create", "serviceaccount", "generic-garbage-collector").returncode == 0
    assert server.kubectl(
        "auth", "can-i", "delete", "pods", "-n", "default", "--as", "system:serviceaccount:mill:generic-garbage-collector",
        check=False).stdout.strip() == "no"


def test_nothing_was_refused_to_a_controller(server):
    """They do all of this server's work with what they declare."""
    metrics = server.kubectl("get", "--raw", "/metrics").splitlines()
    assert [line for line in metrics if line.startswith("apus_component_refusals_total{")] == []
