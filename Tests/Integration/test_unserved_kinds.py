"""What nothing acts on yet is accepted with a warning, and says so in an event."""

import json

from conftest import wait_for


def test_a_warning_and_an_event(server):
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    objects = [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "unserved"}, "spec": {"template": pod}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "unserved"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "unserved"}, "spec": {
            "type": "LoadBalancer", "selector": {"a": "b"}, "ports": [{"port": 80}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "unserved"}, "spec": {
            "podSelector": {}}},
    ]
    for thing in objects:
        made = server.kubectl("create", "-f", "-", stdin=json.dumps(thing), check=False)
        assert made.returncode == 0 and f"Warning: no controller of apus acts on this {thing['kind']} yet: " in made.stderr
        events = wait_for(f"an event of the {thing['kind']}", lambda: server.json(
            "get", "events", "--field-selector",
            f"involvedObject.kind={thing['kind']},involvedObject.name=unserved,reason=NotActedOn")["items"])
        assert len(events) == 1 and events[0]["type"] == "Warning"
    plain = server.kubectl("create", "service", "clusterip", "served", "--tcp=80", check=False)
    assert plain.returncode == 0 and "Warning" not in plain.stderr
