"""A client of the registry: what pushing and pulling can do to others.

Run by Scripts/integration.
"""

import hashlib
import os
import threading

import pytest

from conftest import folder
from test_disk import Registry, flip

PORT = 5081


@pytest.fixture(scope="module")
def base():
    with folder("it-client-") as path:
        yield path


def test_many_parts_of_a_blob_are_one_comparison(base):
    """A part is given out only of what has been compared as a whole: asking for many parts at once must not make the
    registry read everything as often, and damage must not get through any of them."""
    with Registry(base, "parts", PORT) as registry:
        data = os.urandom(8 << 20)
        digest = registry.push(data)
    with Registry(base, "parts", PORT) as registry:
        answers = []

        def part(start):
            client = Registry.__new__(Registry)
            client.port = PORT
            answers.append(
                (start, client.request("GET", f"/v2/a/blobs/{digest}", headers={"Range": f"bytes={start}-{start + 99}"})))

        threads = [threading.Thread(target=part, args=(start,)) for start in range(0, 4000, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(answer == (206, data[start:start + 100]) for start, answer in answers)
        flip(registry.path(digest))
        answers.clear()
        threads = [threading.Thread(target=part, args=(start,)) for start in range(0, 1000, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(status in (404, 500) for _, (status, _) in answers), answers


def test_a_push_cannot_put_other_bytes_under_a_digest(base):
    with Registry(base, "push", PORT) as registry:
        data = os.urandom(2 << 20)
        digest = registry.push(data)
        for body in (data[:-1] + b"x", data[:-1], data + b"x", b""):
            status, _ = registry.request("POST", f"/v2/b/blobs/uploads/?digest={digest}", body)
            assert status == 400
            assert registry.request("GET", f"/v2/b/blobs/{digest}")[0] == 404
            assert registry.request("GET", f"/v2/a/blobs/{digest}") == (200, data)
