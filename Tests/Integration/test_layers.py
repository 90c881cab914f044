"""What layers and copies mean: images that repeat a layer, images of many layers, groups of processes, folders that a copy
makes, patterns, archives. On images made without any network from Debian's busybox-static.

Run by Scripts/integration.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile

import pytest

from conftest import APUS, folder, fresh_server, wait_for
from test_build import BASE, BUSYBOX, Builder, builder  # noqa: F401 (a fixture)


def said(builder, path, *arguments, **options):
    return builder.files(*arguments, **options)[path][1].decode()


# Layers that are there twice (I1): the kernel refuses a folder that stands twice in an overlay's list.

REPEATED = {
    "neighbours": ("COPY f /a\nCOPY f /a\nRUN cat /a > /said", "f"),
    "apart": ("COPY f /a\nCOPY g /a\nCOPY f /a\nRUN cat /a > /said", "f"),
    "apart and covered": ("COPY f /a\nCOPY g /a\nCOPY f /a\nCOPY g /a\nRUN cat /a > /said", "g"),
    "with a whiteout between": ("COPY f /a\nRUN rm /a\nCOPY f /a\nRUN cat /a > /said", "f"),
    "whiteouts": ("COPY f /a\nRUN rm /a\nCOPY f /a\nRUN rm /a\nRUN test -e /a || echo -n none > /said", "none"),
    "an opaque folder between": (
        "COPY f /d/f\nRUN rm -r /d && mkdir /d && echo -n x > /d/x\nCOPY f /d/f\nRUN cat /d/* > /said", "fx"),
    "a file for a folder": ("COPY f /d/f\nRUN rm -r /d && touch /d\nRUN rm /d\nCOPY f /d/f\nRUN cat /d/f > /said", "f"),
    "many times": ("COPY f /a\nCOPY g /b\n" * 8 + "RUN cat /a /b > /said", "fg"),
}


@pytest.mark.parametrize("name", REPEATED)
def test_equal_layers(builder, name):
    instructions, wanted = REPEATED[name]
    epoch = {"env": {"SOURCE_DATE_EPOCH": "1"}}
    builder.context(f"FROM localhost/base:1\n{instructions}\n", {"f": "f", "g": "g"})
    assert said(builder, "said", **epoch) == wanted
    metadata = builder.metadata("-t", "localhost/repeated:1", **epoch)
    layers = [layer["digest"] for layer in builder.manifest(metadata)["layers"]]
    assert len(set(layers)) < len(layers)
    # As a base, as a source, and as a mount.
    builder.context("FROM localhost/repeated:1 AS r\nRUN cat /said > /again\n"
                    "FROM localhost/base:1\nCOPY --from=r /again /a\n"
                    "RUN --mount=type=bind,from=localhost/repeated:1,target=/m cat /m/said > /b\n")
    got = builder.files()
    assert got["a"][1].decode() == got["b"][1].decode() == wanted
    builder.assert_clean()


def test_many_layers(builder):
    count = 130
    files = {f"f{index}": str(index) for index in range(count)}
    copies = "".join(f"COPY f{index} /many/f{index}\n" for index in range(count))
    builder.context(f"FROM localhost/base:1\n{copies}RUN ls /many | wc -l > /said\n", files)
    builder.run("-t", "localhost/many:1")
    assert said(builder, "said").strip() == str(count)


# Groups and owners.

def test_the_primary_group_is_in_the_list(builder):
    builder.context("FROM localhost/base:1\nRUN grep Groups: /proc/self/status > /root-groups\n"
                    "USER node\nWORKDIR /w\nRUN grep Groups: /proc/self/status > /w/node-groups\n"
                    "USER 7:8\nRUN grep Groups: /proc/self/status > /tmp/number-groups\n")
    got = builder.files()
    assert got["root-groups"][1].split()[1:] == [b"0"]
    assert got["w/node-groups"][1].split()[1:] == [b"1000", b"2000"]
    assert got["tmp/number-groups"][1].split()[1:] == [b"8"]


def test_a_working_directory_of_nobody(builder):
    builder.context("FROM localhost/base:1\nUSER nosuch\nWORKDIR /w\nUSER root\nRUN stat -c %u:%g /w > /said\n")
    assert said(builder, "said").strip() == "0:0"
    assert "unable to find user nosuch" in builder.fails("FROM localhost/base:1\nUSER nosuch\nRUN true\n")


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_users_that_cannot_be_read(builder, name):
    text = builder.fails(f"FROM localhost/base:1\nRUN yes x | head -c 1100000 > /etc/{name}\nRUN true\n")
    assert f"/etc/{name} of the image has 1100000 bytes" in text
    text = builder.fails(f"FROM localhost/base:1\nRUN rm /etc/{name} && mkdir /etc/{name}\nUSER node\nRUN true\n")
    assert f"/etc/{name} of the image is no regular file" in text


# Copies (I2, I4, I6, I7, I10).

def test_folders_that_a_copy_makes(builder):
    context = builder.context(
        "FROM localhost/base:1 AS stage\nRUN mkdir -p /d/in && touch /d/in/f && chown -R 33:33 /d && chmod 700 /d /d/in\n"
        "FROM localhost/base:1\nRUN mkdir -m 711 /there && chown 5:6 /there\n"
        "COPY . /app\nCOPY f /new/sub/f\nCOPY --from=stage /d /copied\nCOPY --from=stage /d /there\n"
        "COPY --chown=7:8 sub /owned/x\nCOPY --chmod=777 f /p/sub/f\nCOPY --chmod=u+x f /q/f\n"
        "COPY --parents no*/*.x /empty\nCOPY --parents sub/./no* /empty2/\n", {"f": "f", "sub/g": "g"})
    for path in (context, context / "sub"):
        path.chmod(0o700)
    got = builder.files()

    def shown(name):
        return f"{got[name][0].mode:o} {got[name][0].uid}:{got[name][0].gid}"

    assert {shown(name) for name in ("app", "new", "new/sub", "copied", "q", "empty", "empty2")} == {"755 0:0"}
    assert shown("app/sub") == "700 0:0" and shown("copied/in") == "700 33:33" and shown("there") == "711 5:6"
    assert shown("owned") == shown("owned/x") == "755 7:8"
    assert shown("p") == shown("p/sub") == shown("p/sub/f") == "777 0:0"


def test_patterns_count_from_what_is_copied(builder):
    builder.context(
        "FROM scratch\n"
        "COPY --exclude=b --parents packages /1/\n"
        "COPY --exclude=a/i.js --parents packages/./a /2/\n"
        "COPY --exclude=packages/b packages /3/\n"
        "COPY --exclude=/b packages /4/\n"
        "COPY --exclude=*.js packages/a/i.js /5/\n"
        "COPY --parents /packages/a/. /6/\n", {"packages/a/i.js": "i", "packages/b/x": "x"})
    names = [name for name, (member, _) in builder.files().items() if member.isfile()]
    assert sorted(names) == [
        "1/packages/a/i.js", "1/packages/b/x", "3/a/i.js", "3/b/x", "4/a/i.js", "4/b/x", "5/i.js", "6/packages/a/i.js"]


def test_documents_and_files_of_a_stage(builder):
    builder.context("FROM localhost/base:1 AS x\nRUN echo f > /f\nFROM scratch\n"
                    "COPY --from=x f <<heredoc /t/\nwords\nheredoc\n")
    got = builder.files()
    assert got["t/f"][1] == b"f\n" and got["t/heredoc"][1] == b"words\n"


def test_a_folder_as_the_base(builder):
    root = builder.context(None, {"bin/x": "x", "etc/y": "y"}, name="root")
    builder.context("FROM busybox\nCOPY f /f\n", {"f": "f"})
    got = builder.files("--build-context", f"busybox={root}")
    assert got["bin/x"][1] == b"x" and got["etc/y"][1] == b"y" and got["f"][1] == b"f"


def test_triggers_lead_to_stages(builder):
    builder.build("FROM localhost/base:1\nRUN echo s > /file\n", None, "-t", "localhost/other:1")
    builder.context("FROM localhost/other:1 AS src\n"
                    "FROM localhost/base:1 AS base\nONBUILD COPY --from=src /file /foo\nFROM base\n")
    assert said(builder, "foo") == "s\n"


# Archives (I8).

def archive(*members):
    """Of (name, content) for a file, (name,) for a folder, (name, None, target) for a link."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, *rest in members:
            info = tarfile.TarInfo(name)
            if not rest:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif len(rest) == 2:
                info.type, info.linkname = tarfile.SYMTYPE, rest[1]
                tar.addfile(info)
            else:
                info.size = len(rest[0])
                tar.addfile(info, io.BytesIO(rest[0]))
    return data.getvalue()


def test_archives_as_they_come(builder):
    builder.context(
        "FROM localhost/base:1\nRUN touch /file && mkdir -p /folder/in\n"
        "ADD replace.tar /\nADD names.tar /n/\nADD linked.tar /\nADD implied.tar /\nADD unnamed.tar /u/\n",
        {"replace.tar": archive(("file",), ("file/in", b"1"), ("folder", b"2")),
         "names.tar": archive(("a/../b", b"b"), ("/abs/f", b"f"), ("s", None, ".."), ("s/etc/my", b"m")),
         "linked.tar": archive(("t", None, ".."), ("t/etc/mine", b"m")),
         # /lib is a link to usr/lib in the image.
         "implied.tar": archive(("lib/f", b"l")),
         "unnamed.tar": archive(("", b""), ("f", b"u"))})
    got = builder.files()
    assert got["file/in"][1] == b"1" and got["folder"][1] == b"2" and "folder/in" not in got
    assert got["n/b"][1] == b"b" and got["n/abs/f"][1] == b"f" and got["n/etc/my"][1] == b"m"
    assert got["etc/mine"][1] == b"m" and got["t"][0].issym()
    assert got["usr/lib/f"][1] == b"l" and got["lib"][0].issym()
    assert got["u/f"][1] == b"u"
    assert not os.path.exists("/etc/my") and not os.path.exists("/etc/mine")


# What cannot be in an image goes with the build (H18).

@pytest.mark.parametrize("script", [
    "touch \"$(printf 'a\\377b')\"",
    "n=$(printf %0250d 0); for i in $(seq 30); do mkdir $n && cd $n; done",
    "for i in $(seq 1500); do mkdir d && cd d; done",
], ids=["a name that is not UTF-8", "a path longer than 4,096 bytes", "folders nested 1,500 deep"])
def test_names_that_an_image_cannot_have(builder, script):
    text = builder.fails(f"FROM localhost/base:1\nRUN <<'EOT'\nset -e\nmkdir /x\ncd /x\n{script}\necho made\nEOT\n")
    assert "made" in text
    builder.assert_clean()


# In pods.

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  securityContext: {{runAsUser: 1000, runAsGroup: 3000, fsGroup: 4000, supplementalGroups: [5000]}}
  containers:
  - {{name: c, image: {image}, imagePullPolicy: Never, command: [/bin/sh, -c, "{command}"]}}
"""


def test_pods_of_such_images():
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("busybox-static is not installed")
    with folder("it-layers-") as base, fresh_server(base) as server:
        builder = Builder(base)
        shutil.copy(BUSYBOX, builder.context(BASE, name="base") / "busybox")
        builder.run("-t", "localhost/base:1", context=builder.path / "base")
        builder.build("FROM localhost/base:1\nCOPY f /a\nCOPY g /a\nRUN rm /a\nCOPY f /a\n", {"f": "f", "g": "g"},
                      "-t", "localhost/repeated:1", env={"SOURCE_DATE_EPOCH": "1"})
        copies = "".join(f"COPY f{index} /many/f{index}\n" for index in range(130))
        builder.build(f"FROM localhost/base:1\n{copies}", {f"f{index}": str(index) for index in range(130)},
                      "-t", "localhost/many:1")
        pods = {"repeated": ("localhost/repeated:1", "cat /a", "f"), "many": ("localhost/many:1", "ls /many | wc -l", "130"),
                "groups": ("localhost/base:1", "grep Groups: /proc/self/status", "Groups:\t2000 3000 4000 5000")}
        for name, (image, command, _) in pods.items():
            server.kubectl("apply", "-f", "-", stdin=POD.format(name=name, image=image, command=command))
        for name, (_, _, wanted) in pods.items():
            wait_for(f"{name} has ended", lambda: server.kubectl(
                "get", "pod", name, "-o", "jsonpath={.status.phase}") == "Succeeded")
            assert server.kubectl("logs", name).strip() == wanted
