"""The author of an image, a Dockerfile, a chart: what their bytes make root do.

Run by Scripts/integration.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from conftest import APUS, folder

BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")


def tar(members):
    """An archive of (name, content), (name, None, link target) and (name, None, None, hard link target)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, *targets in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is not None:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
                continue
            info.type = tarfile.SYMTYPE if len(targets) == 1 else tarfile.LNKTYPE
            info.linkname = targets[-1]
            archive.addfile(info)
    return data.getvalue()


def image(path, name, layers):
    """A docker archive whose manifest names the layers as they are given, also one twice."""
    config = json.dumps({"architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine], "os": "linux",
                         "config": {"Cmd": ["/bin/sh"]}, "rootfs": {"type": "layers", "diff_ids": [
                             "sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]}}).encode()
    names = [hashlib.sha256(layer).hexdigest() + ".tar" for layer in layers]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": names}]).encode()
    files = {"manifest.json": manifest, "config.json": config, **dict(zip(names, layers))}
    path.write_bytes(tar(list(files.items())))
    return path


@pytest.fixture(scope="module")
def place():
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("busybox-static is not installed")
    with folder("it-author-") as path:
        yield pathlib.Path(path)


def build(place, dockerfile, files=(), *arguments):
    context = place / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "Dockerfile").write_text(dockerfile)
    for name, content in dict(files).items():
        (context / name).write_bytes(content)
    return subprocess.run(
        [APUS, "build", "--data", str(place / "data"), "--progress", "plain", *arguments, str(context)],
        capture_output=True, timeout=120)


LAYERS = {"f": [("a", b"f")], "g": [("a", b"g")], "gone": [(".wh.a", b"")],
          "folder": [("d/x", b"x")], "opaque": [("d/.wh..wh..opq", b""), ("d/y", b"y")]}


@pytest.mark.parametrize("order, wanted", [
    ("f f", "f"), ("f g f", "f"), ("f g f g", "g"), ("f gone f", "f"), ("f gone f gone", "none"), ("gone f gone", "none"),
    ("folder opaque folder", "xy"), ("folder opaque", "y"), ("opaque folder opaque", "y"), ("folder opaque folder opaque", "y"),
    ("f f f f f f f f g g g g f", "f"),
])
def test_an_image_that_repeats_layers(place, order, wanted):
    busybox = tar([("bin/busybox", open(BUSYBOX, "rb").read())])
    layers = [busybox, busybox, *(tar(LAYERS[name]) for name in order.split()), busybox]
    archive = image(place / "image.tar", "localhost/repeats:1", layers)
    subprocess.run([APUS, "image", "import", str(archive), "--data", str(place / "data")], check=True, capture_output=True)
    result = build(
        place, "FROM localhost/repeats:1 AS r\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cat /a /d/* > /said"
        " 2>/dev/null; true\"]\nFROM scratch\nCOPY --from=r /said /\n", {}, "-o", "type=tar,dest=-")
    assert result.returncode == 0, result.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as built:
        assert (built.extractfile("said").read().decode() or "none") == wanted


# Archives that ADD unpacks: nothing comes to be beside the target, whatever names and links say.

@pytest.mark.parametrize("members", [
    [("../escaped", b"x")], [("a/../../escaped", b"x")],
    [("l", None, "/"), ("l/escaped", b"x")], [("l", None, "../../../.."), ("l/escaped", b"x")],
    [("l", None, "/proc/self/root"), ("l/escaped", b"x")], [("l", None, "/proc/self/cwd"), ("l/escaped", b"x")],
    [("/escaped", b"x")], [("l", None, "m"), ("m", None, ".."), ("l/escaped", b"x")],
    [("h", None, None, "../../etc/passwd")], [("h", None, None, "/etc/passwd")],
    [("l", None, "/etc"), ("h", None, None, "l/passwd")],
    [("l", None, "l"), ("l/escaped", b"x")], [(".wh..wh..opq", b""), ("escaped", b"x")], [(".wh.etc", b"")],
    [("a\0b", b"x")], [("\udcff", b"x")],
])
def test_archives_stay_below_their_target(place, members):
    before = {path: os.path.lexists(path) for path in ("/escaped", "/tmp/escaped", "/var/tmp/escaped", "/etc/escaped")}
    result = build(place, "FROM scratch\nADD x.tar /target/\n", {"x.tar": tar(members)}, "-o", "type=tar,dest=-")
    assert {path: os.path.lexists(path) for path in before} == before
    if result.returncode == 0:
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as built:
            for member in built:
                assert member.name.rstrip("/") == "target" or member.name.startswith("target/"), member.name
                assert not member.isfile() or b"root:" not in built.extractfile(member).read()
    else:
        assert result.returncode == 1
    assert os.listdir(place / "data/build/builds") == []


def test_users_that_mean_root_to_the_kernel(place):
    """The largest number means "as it is" to the kernel, which is root."""
    busybox = open(BUSYBOX, "rb").read()
    for user in ("4294967295", "4294967295:4294967295", "1:4294967295", "+0"):
        result = build(place, f"FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nUSER {user}\n"
                       "RUN [\"/bin/busybox\", \"id\"]\n", {"busybox": busybox})
        assert result.returncode == 1, f"{user}: {result.stderr.decode()}"


def test_triggers_in_a_circle(place):
    result = build(place, "FROM scratch AS one\nONBUILD COPY --from=b /f /f\nFROM scratch AS two\n"
                   "ONBUILD COPY --from=a /f /f\nFROM one AS a\nFROM two AS b\n")
    assert result.returncode == 1 and b"circular dependency" in result.stderr
