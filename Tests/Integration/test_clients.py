"""The Python client and helm, unmodified."""

import os
import subprocess
import threading

import pytest

from conftest import wait_for

client = pytest.importorskip("kubernetes.client")
config = pytest.importorskip("kubernetes.config")
watch = pytest.importorskip("kubernetes.watch")
stream = pytest.importorskip("kubernetes.stream")


@pytest.fixture(scope="module")
def core(server):
    return client.CoreV1Api(config.new_client_from_config(server.kubeconfig))


def test_python_creates_lists_watches_and_deletes(core):
    seen = []

    def follow():
        for event in watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=60):
            if event["object"].metadata.name.startswith("python-"):
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

    follower = threading.Thread(target=follow)
    follower.start()
    made = core.create_namespaced_config_map(
        "default", client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="python-"), data={"a": "b"}))
    assert made.metadata.name.startswith("python-") and made.metadata.uid
    names = [item.metadata.name for item in core.list_namespaced_config_map("default").items]
    assert made.metadata.name in names
    made.data["a"] = "c"
    core.replace_namespaced_config_map(made.metadata.name, "default", made)
    with pytest.raises(client.ApiException) as conflict:
        core.replace_namespaced_config_map(made.metadata.name, "default", made)
    assert conflict.value.status == 409
    wait_for("the watch has seen it", lambda: ("MODIFIED", made.metadata.name) in seen)
    core.delete_namespaced_config_map(made.metadata.name, "default")
    follower.join(timeout=60)
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]


def test_python_pages(core):
    for index in range(5):
        core.create_namespaced_config_map("default", client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name=f"page-{index}", labels={"page": "yes"})))
    names, token = [], None
    while True:
        part = core.list_namespaced_config_map("default", label_selector="page=yes", limit=2, _continue=token)
        assert len(part.items) <= 2
        names += [item.metadata.name for item in part.items]
        token = part.metadata._continue
        if not token:
            break
    assert names == [f"page-{index}" for index in range(5)]
    core.delete_collection_namespaced_config_map("default", label_selector="page=yes")


def test_python_executes(core):
    core.create_namespaced_pod("default", client.V1Pod(
        metadata=client.V1ObjectMeta(name="python-exec"),
        spec=client.V1PodSpec(restart_policy="Never", termination_grace_period_seconds=0, containers=[client.V1Container(
            name="shell", image="localhost/web-app:1", command=["sleep", "3600"])])))
    wait_for("the pod runs", lambda: core.read_namespaced_pod("python-exec", "default").status.phase == "Running")
    output = stream.stream(
        core.connect_get_namespaced_pod_exec, "python-exec", "default", command=["echo", "from python"], stdout=True,
        stderr=True, stdin=False, tty=False)
    assert output.strip() == "from python"
    core.delete_namespaced_pod("python-exec", "default", grace_period_seconds=0)


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: little\nversion: 0.1.0\n",
    "values.yaml": "replicas: 1\nversion: '1'\n",
    "templates/app.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "localhost/web-app:{{ .Values.version }}", command: [sleep, "3600"]}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80, targetPort: 8080}]}
""",
}


def test_helm(server, tmp_path):
    chart = tmp_path / "little"
    for name, text in CHART.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text)

    def helm(*arguments):
        result = subprocess.run(
            ["helm", *arguments], env={**os.environ, "KUBECONFIG": server.kubeconfig, "HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    is_four = helm("version", "--short").startswith("v4")
    side = ["--server-side=false"] if is_four else []

    def image():
        return server.json("get", "deployment", "demo")["spec"]["template"]["spec"]["containers"][0]["image"]

    helm("install", "demo", str(chart), "--wait", "--timeout", "60s", *side)
    assert image() == "localhost/web-app:1"
    helm("upgrade", "demo", str(chart), "--set", "version=2", "--wait", "--timeout", "60s", *side)
    assert image() == "localhost/web-app:2"
    helm("rollback", "demo", "1", "--wait", "--timeout", "60s", *side)
    assert image() == "localhost/web-app:1"
    assert "demo" in helm("list")
    helm("uninstall", "demo", "--wait", "--timeout", "60s")
    assert server.kubectl("get", "deployment", "demo", check=False).returncode == 1
