"""`apus build` with real containers, on images made without any network from Debian's busybox-static.

    APUS=.build/debug/apus Scripts/integration Tests/Integration/test_build.py
"""

import base64
import contextlib
import functools
import glob
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import threading

import pytest

from conftest import APUS, ROOT, folder, wait_for

BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")

BASE = """
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY --chmod=644 <<PASSWD /etc/passwd
root:x:0:0:root:/root:/bin/sh
node:x:1000:1000:node:/home/node:/bin/sh
PASSWD
COPY --chmod=644 <<GROUP /etc/group
root:x:0:
node:x:1000:
tools:x:2000:node
GROUP
RUN mkdir -m 1777 /tmp && mkdir /usr /usr/lib && ln -s usr/lib /lib
ENV PATH=/bin
CMD ["/bin/sh"]
"""


# Those of builds: a server beside has its own.
CGROUPS = "/sys/fs/cgroup/*/apus-*-build*"


class Builder:
    """A data directory with the image localhost/base:1 and a folder for contexts."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.data = self.path / "data"
        # Of other servers and builds of this machine.
        self.cgroups = set(glob.glob(CGROUPS))

    def context(self, dockerfile, files=None, name="ctx"):
        root = self.path / name
        if root.exists():
            shutil.rmtree(root)
        root.mkdir(parents=True)
        if dockerfile is not None:
            (root / "Dockerfile").write_text(dockerfile)
        for path, content in (files or {}).items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                file.write_bytes(content)
            else:
                file.write_text(content)
        return root

    def run(self, *arguments, context=None, data=None, check=True, env=None, stdin=None):
        command = [APUS, "build", "--data", str(data or self.data), "--progress", "plain", *map(str, arguments)]
        command.append(str(context) if context is not None else str(self.path / "ctx"))
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, input=stdin, timeout=120,
            env={**os.environ, **(env or {})})
        result.text = result.stderr.decode(errors="replace")
        result.output = result.stdout.decode(errors="replace")
        if check:
            assert result.returncode == 0, result.text
        return result

    def build(self, dockerfile, files=None, *arguments, name="ctx", **options):
        context = self.context(dockerfile, files, name=name)
        return self.run(*arguments, context=context, **options)

    def fails(self, dockerfile, files=None, *arguments, **options):
        result = self.build(dockerfile, files, *arguments, check=False, **options)
        assert result.returncode == 1, f"{result.returncode}: {result.text}"
        self.assert_clean()
        return result.text

    def metadata(self, *arguments, **options):
        path = self.path / "metadata.json"
        self.run("--metadata-file", path, *arguments, **options)
        return json.loads(path.read_text())

    def files(self, *arguments, **options):
        """The built files as a dictionary of tar members with contents."""
        result = self.run("-o", "type=tar,dest=-", *arguments, **options)
        members = {}
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
            for member in archive:
                content = archive.extractfile(member).read() if member.isfile() else None
                members[member.name.rstrip("/")] = (member, content)
        return members

    def blob(self, digest):
        return (self.data / "images/blobs" / digest.replace(":", "/")).read_bytes()

    def config(self, metadata):
        return json.loads(self.blob(metadata["containerimage.config.digest"]))

    def manifest(self, metadata):
        return json.loads(self.blob(metadata["containerimage.digest"]))

    def assert_clean(self):
        """No mount, no process, no cgroup and no file of a build is left."""
        assert str(self.data) not in pathlib.Path("/proc/self/mountinfo").read_text()
        assert glob.glob(str(self.data / "build/builds/*")) == []
        assert set(glob.glob(CGROUPS)) - self.cgroups == set()
        # It ends by itself when the build does, in whatever way.
        wait_for("no way out is left", lambda: subprocess.run(["pgrep", "-x", "slirp4netns"]).returncode == 1)


@pytest.fixture(scope="module")
def builder():
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("busybox-static is not installed")
    with folder("apus-build-") as path:
        builder = Builder(path)
        context = builder.context(BASE, name="base")
        shutil.copy(BUSYBOX, context / "busybox")
        builder.run("-t", "localhost/base:1", context=context)
        yield builder
        builder.assert_clean()


def steps(text):
    """`{title: "CACHED" | "DONE" | "ERROR"}` of plain progress."""
    titles, states = {}, {}
    for line in text.splitlines():
        if not line.startswith("#"):
            continue
        number, _, rest = line.partition(" ")
        if rest.startswith("["):
            titles[number] = rest
        for state in ("CACHED", "DONE", "ERROR", "CANCELED"):
            if rest.startswith(state) and number in titles:
                states[titles[number]] = state
    return states


# The two patterns.

PRODUCTION = """# syntax=docker/dockerfile:1
ARG BASE=localhost/base:1
FROM ${BASE} AS build
WORKDIR /app
COPY package.json ./
RUN --mount=type=cache,target=/root/.cache mkdir -p node_modules/dev node_modules/prod && \\
    echo dev > node_modules/dev/index && echo prod > node_modules/prod/index && date > /root/.cache/stamp
COPY src ./src
RUN mkdir dist && cat src/*.txt > dist/app
RUN rm -rf node_modules/dev

FROM ${BASE} AS production
ENV NODE_ENV=production
COPY --chmod=755 <<'EOT' /sbin/tini
#!/bin/sh
[ "$1" = -- ] && shift
exec "$@"
EOT
WORKDIR /app
COPY --from=build --chown=1000:1000 /app/dist ./dist
COPY --from=build --chown=node:tools /app/node_modules ./node_modules
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --start-interval=1s --retries=3 \\
    CMD wget -q -O /dev/null http://127.0.0.1:3000/health || exit 1
ENTRYPOINT ["/sbin/tini", "--"]
CMD ["cat", "dist/app"]

FROM build AS test
RUN exit 3
"""

PRODUCTION_FILES = {"package.json": "{}", "src/a.txt": "one\n", "src/b.txt": "two\n", ".dockerignore": "*.log\n",
                    "noise.log": "x"}


def test_production_pattern(builder):
    builder.context(PRODUCTION, PRODUCTION_FILES)
    metadata = builder.metadata("-t", "localhost/prod:1", "--target", "production")
    config = builder.config(metadata)["config"]
    assert config["Entrypoint"] == ["/sbin/tini", "--"]
    assert config["Cmd"] == ["cat", "dist/app"]
    assert config["User"] == "1000:1000"
    assert config["WorkingDir"] == "/app"
    assert config["ExposedPorts"] == {"3000/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert "NODE_ENV=production" in config["Env"]
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:3000/health || exit 1"],
        "Interval": 30_000_000_000, "Timeout": 3_000_000_000, "StartPeriod": 5_000_000_000,
        "StartInterval": 1_000_000_000, "Retries": 3}
    files = builder.files("--target", "production")
    assert files["app/dist/app"][1] == b"one\ntwo\n"
    assert (files["app/dist/app"][0].uid, files["app/dist/app"][0].gid) == (1000, 1000)
    assert (files["app/node_modules/prod/index"][0].uid, files["app/node_modules/prod/index"][0].gid) == (1000, 2000)
    assert "app/node_modules/dev" not in files
    assert files["sbin/tini"][0].mode == 0o755
    # What was mounted left nothing: neither its files nor the places for them.
    assert "root/.cache" not in files
    # The stage that nobody needs, and that would fail, was not touched.
    history = builder.config(metadata)["history"]
    layers = builder.config(metadata)["rootfs"]["diff_ids"]
    assert len([line for line in history if not line.get("empty_layer")]) == len(layers)
    builder.assert_clean()


def test_change_of_the_source_reuses_every_earlier_step(builder):
    builder.context(PRODUCTION, PRODUCTION_FILES)
    builder.run("--target", "production")
    builder.context(PRODUCTION, {**PRODUCTION_FILES, "src/a.txt": "ONE\n"})
    seen = steps(builder.run("--target", "production").text)
    built = {title.split("] ")[1] for title, state in seen.items() if state == "DONE" and "internal" not in title}
    assert built == {"COPY src ./src", "RUN mkdir dist && cat src/*.txt > dist/app", "RUN rm -rf node_modules/dev",
                     "COPY --from=build --chown=1000:1000 /app/dist ./dist",
                     "COPY --from=build --chown=node:tools /app/node_modules ./node_modules"}
    # A change that does not come out in the end stops there: the copies are found by their content.
    builder.context(PRODUCTION, {**PRODUCTION_FILES, "src/a.txt": "ONE\ntwo\n", "src/b.txt": ""})
    seen = steps(builder.run("--target", "production").text)
    assert [state for title, state in seen.items() if "COPY --from=build" in title] == ["CACHED", "CACHED"]


def test_second_build_elsewhere_is_the_same_image(builder):
    builder.context(PRODUCTION, PRODUCTION_FILES)
    first = builder.metadata("--target", "production")
    other = builder.context(PRODUCTION, PRODUCTION_FILES, name="else/where")
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    second = builder.metadata("--target", "production", context=other)
    assert first["containerimage.digest"] == second["containerimage.digest"]
    text = builder.run("--target", "production", context=other).text
    assert set(state for title, state in steps(text).items() if "RUN" in title or "COPY" in title) == {"CACHED"}


def test_reproducible_on_another_machine(builder):
    """SOURCE_DATE_EPOCH, another store, other times of files: the same bytes."""
    digests = []
    for name in ("m1", "m2"):
        data = builder.path / name / "data"
        base = builder.context(BASE, name=f"{name}/base")
        shutil.copy(BUSYBOX, base / "busybox")
        context = builder.context(PRODUCTION, PRODUCTION_FILES, name=f"{name}/ctx")
        for path in context.rglob("*"):
            os.utime(path, (1_500_000_000 + len(digests), 1_500_000_000))
        builder.run("-t", "localhost/base:1", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", context=base, data=data)
        digests.append(builder.metadata("--target", "production", "--build-arg", "SOURCE_DATE_EPOCH=1700000000",
                                        context=context, data=data)["containerimage.digest"])
        shutil.rmtree(data)
    assert digests[0] == digests[1]


ORDERED = """
FROM localhost/base:1
RUN echo curl > /usr/lib/system-packages
WORKDIR /srv
COPY requirements.txt .
RUN cat requirements.txt > installed
COPY . .
CMD ["/bin/sh"]
"""


def test_cache_ordered_pattern(builder):
    files = {"requirements.txt": "flask\n", "main.py": "1\n"}
    builder.build(ORDERED, files)
    seen = steps(builder.build(ORDERED, {**files, "main.py": "2\n"}).text)
    assert [state for title, state in sorted(seen.items()) if "/6]" in title] == ["CACHED"] * 5 + ["DONE"]
    seen = steps(builder.build(ORDERED, {**files, "requirements.txt": "django\n"}).text)
    assert [state for title, state in sorted(seen.items()) if "/6]" in title] == ["CACHED"] * 3 + ["DONE"] * 3
    # Forth and back: what was built is still known.
    seen = steps(builder.build(ORDERED, files).text)
    assert set(state for title, state in seen.items() if "/6]" in title) == {"CACHED"}


# Copying.

def test_copy_semantics(builder):
    files = builder.context(
        """
        FROM localhost/base:1
        COPY a.txt /file
        COPY a.txt /tmp
        COPY a.txt b.txt /dir/
        COPY sub /sub
        COPY s* /wild/
        COPY sub/../a.txt /up
        COPY link /linked
        COPY a.txt /lib/through
        COPY --chown=node --chmod=u=rw,go=r a.txt /owned
        COPY --link a.txt /link/only
        COPY --parents ./sub/./deep/x /parents/
        COPY --exclude=*.md --exclude=deep sub /excluded/
        COPY .hidden /
        """.replace("        ", ""),
        {"a.txt": "a", "b.txt": "b", "sub/deep/x": "x", "sub/y.md": "y", "sub/z": "z", ".hidden": "h",
         ".dockerignore": "sub/ignored\n!sub/z\n", "sub/ignored": "no"})
    os.symlink("a.txt", files / "link")
    os.symlink("z", files / "sub/inner")
    got = builder.files()
    assert got["file"][1] == b"a"
    assert got["tmp/a.txt"][1] == b"a" and got["tmp"][0].mode == 0o1777
    assert got["dir/a.txt"][1] == b"a" and got["dir/b.txt"][1] == b"b"
    assert got["sub/deep/x"][1] == b"x" and "sub/ignored" not in got
    assert got["sub/inner"][0].issym() and got["sub/inner"][0].linkname == "z"
    assert got["wild/deep/x"][1] == b"x" and "wild/sub" not in got
    assert got["up"][1] == b"a"
    assert got["linked"][1] == b"a" and got["linked"][0].isfile()
    assert got["usr/lib/through"][1] == b"a" and got["lib"][0].issym()
    assert (got["owned"][0].uid, got["owned"][0].gid, got["owned"][0].mode) == (1000, 1000, 0o644)
    assert got["link/only"][1] == b"a"
    assert got["parents/deep/x"][1] == b"x"
    assert "excluded/z" in got and "excluded/y.md" not in got and "excluded/deep" not in got
    assert got[".hidden"][1] == b"h"


def archive(members, mode="w:gz"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            info.uid = 33
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def test_add_unpacks_local_archives(builder):
    files = {"x.tgz": archive([("in/one", b"1")]), "x.tar": archive([("two", b"2")], "w"),
             "x.txz": archive([("three", b"3")], "w:xz"), "plain.gz": b"\x1f\x8b no archive"}
    dockerfile = "FROM scratch\nADD x.tgz x.tar x.txz /all/\nADD --unpack=false x.tar /kept.tar\nADD plain.gz /\n"
    builder.context(dockerfile, files)
    got = builder.files()
    assert got["all/in/one"][1] == b"1" and got["all/in/one"][0].uid == 33
    assert got["all/two"][1] == b"2" and got["all/three"][1] == b"3"
    assert got["kept.tar"][1] == files["x.tar"] and got["plain.gz"][1] == files["plain.gz"]


class Files(http.server.SimpleHTTPRequestHandler):
    """Plain files; below /private/ only for user:t0ken-value; /moved/X leads to X."""

    # The paths that somebody told a password for.
    authorized = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        if "Authorization" in self.headers:
            Files.authorized.append(self.path)
        if self.path.startswith("/private/"):
            wanted = "Basic " + base64.b64encode(b"user:t0ken-value").decode()
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.end_headers()
                return
            self.path = self.path[len("/private"):]
        elif self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path[len("/moved"):])
            self.end_headers()
            return
        super().do_GET()


@contextlib.contextmanager
def serving(directory, address="127.0.0.1"):
    server = http.server.ThreadingHTTPServer((address, 0), functools.partial(Files, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always",
         "-C", str(folder), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Repository:
    """served.git with a branch, a tag, a folder, links that lead out, and a submodule by a relative address."""

    def __init__(self, builder):
        self.module = builder.context(None, {"inside": "module"}, name="module")
        source = builder.context(
            "FROM scratch\nCOPY . /\n", {"f": "first", "sub/Dockerfile": "FROM scratch\nCOPY . /\n", "sub/g": "in sub",
                                        "other.Dockerfile": "FROM scratch\nCOPY f /other\n", "ignored": "x",
                                        ".dockerignore": "ignored\n"}, name="repository")
        os.symlink("/etc", source / "escape")
        for folder, bare in ((self.module, "module.git"), (source, "served.git")):
            git(folder, "init", "-q", "-b", "main")
            git(folder, "add", ".")
            git(folder, "commit", "-qm", "first")
            if folder == source:
                self.first = git(folder, "rev-parse", "HEAD")
                git(folder, "tag", "-a", "v1", "-m", "v1")
                (source / "f").write_text("second")
                git(folder, "commit", "-qam", "second")
                self.second = git(folder, "rev-parse", "HEAD")
                git(folder, "checkout", "-qb", "with-module")
                git(folder, "submodule", "add", "-q", str(builder.path / "module.git"), "mod")
                git(folder, "config", "-f", ".gitmodules", "submodule.mod.url", "../module.git")
                git(folder, "commit", "-qam", "module")
                git(folder, "checkout", "-q", "main")
            subprocess.run(["git", "clone", "-q", "--bare", str(folder), str(builder.path / bare)], check=True)
            git(builder.path / bare, "update-server-info")

    def with_submodule(self, builder, branch, address):
        """A branch whose submodule is at an address."""
        source = builder.path / "repository"
        git(source, "checkout", "-qb", branch, "main")
        (source / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = {address}\n')
        git(source, "add", ".gitmodules")
        git(source, "update-index", "--add", "--cacheinfo", f"160000,{git(self.module, 'rev-parse', 'HEAD')},m")
        git(source, "commit", "-qm", branch)
        git(source, "push", "-q", str(builder.path / "served.git"), branch)
        git(source, "checkout", "-q", "main")
        git(builder.path / "served.git", "update-server-info")
        return branch


@pytest.fixture(scope="module")
def repository(builder):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    return Repository(builder)


@contextlib.contextmanager
def git_daemon(builder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={builder.path}",
         "--export-all"], start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_for("git daemon", lambda: socket.create_connection(("127.0.0.1", port)).close() is None)
        yield f"git://127.0.0.1:{port}"
    finally:
        # It starts others, in its group.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_add_of_urls_and_repositories(builder, repository):
    with serving(builder.path) as url, git_daemon(builder) as daemon:
        (builder.path / "download.txt").write_text("fetched")
        digest = hashlib.sha256(b"fetched").hexdigest()
        builder.context(f"""
FROM scratch
ADD {url}/download.txt /d/
ADD {url}/moved/download.txt /moved/
ADD --checksum=sha256:{digest} {url}/download.txt /checked
ADD {url}/served.git /plain/
ADD {url}/served.git#v1:sub /sub/
ADD {daemon}/served.git#{repository.first} /first/
ADD --keep-git-dir --checksum={repository.second} {daemon}/served.git#main /kept/
ADD {daemon}/served.git#with-module /with/
ADD {daemon}/served.git?ref=with-module&submodules=false /without/
""")
        got = builder.files()
        assert got["d/download.txt"][1] == got["moved/download.txt"][1] == got["checked"][1] == b"fetched"
        assert got["plain/f"][1] == b"second" and got["sub/g"][1] == b"in sub" and got["first/f"][1] == b"first"
        assert "plain/.git" not in got and got["kept/.git/HEAD"][1].decode().strip() == repository.second
        assert got["with/mod/inside"][1] == b"module" and "without/mod/inside" not in got
        text = builder.fails(f"FROM scratch\nADD --checksum=sha256:{'0' * 64} {url}/download.txt /checked\n")
        assert "digest mismatch" in text
        text = builder.fails(f"FROM scratch\nADD {url}/missing /x\n")
        assert "404" in text or "not found" in text
        text = builder.fails(f"FROM scratch\nADD --checksum={repository.first} {daemon}/served.git /x/\n")
        assert f"expected checksum to match {repository.first}, got {repository.second}" in text
        # Where a redirect ends is no name that leads out of the destination.
        text = builder.fails(f"FROM scratch\nADD {url}/moved/served.git/.. /x/\n")
        assert "cannot tell a file name" in text, text


def test_contexts_that_are_fetched(builder, repository):
    def got(context, *arguments, **options):
        return builder.files(*arguments, context=context, **options)

    with serving(builder.path) as url, git_daemon(builder) as daemon:
        for place in (f"{url}/served.git", f"{daemon}/served.git"):
            assert got(place)["f"][1] == b"second"
            assert got(f"{place}#v1")["f"][1] == b"first"
            assert got(f"{place}#{repository.first}")["f"][1] == b"first"
            assert set(got(f"{place}#main:sub")) == {"Dockerfile", "g"}
            assert got(place, "-f", "other.Dockerfile")["other"][1] == b"second"
            assert got(f"{place}#with-module")["mod/inside"][1] == b"module"
            files = got(place)
            assert "ignored" not in files and ".git" not in files and files["escape"][0].issym()
            assert got(place, "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")[".git/HEAD"]
            # The folder that the address names is looked up in the repository.
            text = builder.run(context=f"{place}#main:escape", check=False).text
            assert '"escape" is no folder in the repository' in text, text
            assert '"nowhere" is no folder' in builder.run(context=f"{place}#main:nowhere", check=False).text
            assert builder.run(context=f"{place}#no-such-branch", check=False).returncode == 1
            text = builder.run(context=f"{place}?checksum={'0' * 40}", check=False).text
            assert "expected checksum to match" in text
            builder.assert_clean()
        # Cached as any other context: by what is in it.
        text = builder.run(context=f"{url}/served.git").text
        assert [state for title, state in steps(text).items() if "COPY" in title] == ["CACHED"]

        members = [("Dockerfile", b"FROM scratch\nCOPY f /\n"), ("f", b"1")]
        for name, mode in (("c.tar", "w"), ("c.tar.gz", "w:gz"), ("c.tar.xz", "w:xz"), ("c.tar.bz2", "w:bz2")):
            (builder.path / name).write_bytes(archive(members, mode))
            assert got(f"{url}/{name}")["f"][1] == b"1"
            assert got(builder.path / name)["f"][1] == b"1"
        (builder.path / "alone").write_text("FROM scratch\nCOPY <<EOT /said\nhere\nEOT\n")
        assert got(f"{url}/alone")["said"][1] == b"here\n"
        assert got(f"{url}/c.tar", "-f", "-", stdin=b"FROM scratch\nCOPY f /g\n")["g"][1] == b"1"
        text = builder.run("-f", "-", context=f"{url}/alone", check=False, stdin=b"FROM scratch\n").text
        assert "-f names another one" in text
        (builder.path / "noise").write_bytes(b"\x1f\x8b" + b"noise" * 200)
        assert "no tar archive" in builder.run(context=f"{url}/noise", check=False).text
        (builder.path / "long").write_bytes(b"# x\n" * (1 << 19))
        assert builder.run(context=f"{url}/long", check=False).returncode == 1
        assert "404" in builder.run(context=f"{url}/nothing.tar", check=False).text
        climbing = archive([("../../climbed", b"x"), ("Dockerfile", b"FROM scratch\nCOPY . /\n")], "w")
        (builder.path / "climbing.tar").write_bytes(climbing)
        builder.run(context=f"{url}/climbing.tar", check=False)
        assert not list(builder.path.rglob("climbed"))

        # Named contexts are fetched in the same way, and only when something needs them.
        builder.context("FROM scratch AS unneeded\nCOPY --from=away / /\nFROM scratch\nCOPY --from=code sub/g /g\n")
        files = builder.files("--build-context", f"code={daemon}/served.git#v1", "--build-context", f"away={url}/missing.tar")
        assert files["g"][1] == b"in sub"
        # A Dockerfile that was fetched does not give itself this machine's network.
        (builder.path / "wants").write_text("FROM localhost/base:1\nRUN --network=host true\n")
        assert "network.host is not allowed" in builder.run(context=f"{url}/wants", check=False).text
        builder.run("--allow", "network.host", context=f"{url}/wants")
    builder.assert_clean()


def test_who_builds_takes_no_part_in_fetching(builder, repository):
    """Neither the user's git configuration, nor hooks, nor keys; what an address has of credentials goes nowhere else."""
    home = builder.context(None, {"hooks/post-checkout": f"#!/bin/sh\ntouch {builder.path}/hooked\n"}, name="home")
    (home / "hooks/post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {home}/hooks\n[init]\n\ttemplateDir = {home}\n"
        '[url "http://127.0.0.1:1/"]\n\tinsteadOf = http://127.0.0.1\n')
    environment = {"HOME": str(home), "GIT_CONFIG_PARAMETERS": f"'core.hookspath={home}/hooks'", "GIT_DIR": "/nonexistent"}
    with serving(builder.path) as url:
        assert builder.files(context=f"{url}/served.git", env=environment)["f"][1] == b"second"
        assert not (builder.path / "hooked").exists()
        # Without the password there is nobody to ask for it.
        text = builder.run(context=f"{url}/private/served.git", check=False).text
        assert "Authentication failed" in text or "could not read Username" in text, text
        secret = url.replace("http://", "http://user:t0ken-value@") + "/private/served.git"
        builder.context(f"FROM scratch\nADD --keep-git-dir {secret}#main /r/\n")
        result = builder.run("-t", "localhost/private:1", "--provenance=mode=max")
        assert "t0ken" not in result.text
        assert "t0ken" not in builder.run(context=f"{secret}#main").text
        text = builder.run(context=f"{secret}#nowhere", check=False).text
        assert "nowhere" in text and "t0ken" not in text
        files = builder.files()
        assert not [name for name, (_, content) in files.items() if content and b"t0ken" in content]
        # A submodule of the same server gets none of it.
        text = builder.run(context=f"{secret}#with-module", check=False).text
        assert ("Authentication failed" in text or "could not read Username" in text) and "t0ken" not in text, text
        # Nor does one whose address begins as the repository's does.
        for number, rest in enumerate(("/../module.git", "/../../private/module.git", "-other/x", "/below")):
            branch = repository.with_submodule(builder, f"like-{number}", url + "/private/served.git" + rest)
            Files.authorized.clear()
            text = builder.run(context=f"{secret}#{branch}", check=False).text
            assert ("Authentication failed" in text or "could not read Username" in text) and "t0ken" not in text, text
            assert Files.authorized and all(path.startswith("/private/served.git/") for path in Files.authorized)
        # Nor what the repository's address leads to.
        moved = url.replace("http://", "http://user:t0ken-value@") + "/moved/private/served.git"
        Files.authorized.clear()
        text = builder.run(context=f"{moved}#main", check=False).text
        assert ("Authentication failed" in text or "could not read Username" in text) and "t0ken" not in text, text
        assert Files.authorized == []
    shutil.rmtree(builder.path / "ctx")
    assert subprocess.run(["grep", "-rl", "t0ken", str(builder.data)], stdout=subprocess.PIPE).stdout == b""
    builder.assert_clean()


def test_the_umask_is_in_no_image(builder, repository):
    digests = set()
    with serving(builder.path) as url:
        for mask in (0o022, 0o077, 0):
            before = os.umask(mask)
            try:
                told = builder.metadata("--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1", context=f"{url}/served.git#v1")
            finally:
                os.umask(before)
            digests.add(told["containerimage.digest"])
    assert len(digests) == 1


def test_a_build_that_is_killed_while_it_fetches(builder):
    """The server takes the connection and says nothing. Neither git nor what it wrote stays."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"git://127.0.0.1:{silent.getsockname()[1]}/x.git"
        for number in (signal.SIGINT, signal.SIGKILL):
            process = subprocess.Popen(
                [APUS, "build", "--data", str(builder.data), "--progress", "plain", place], stderr=subprocess.DEVNULL)
            connection, _ = silent.accept()
            with connection:
                # It has begun to ask.
                connection.recv(1)
                process.send_signal(number)
                assert process.wait(30) == (130 if number == signal.SIGINT else -signal.SIGKILL)
                builder.build("FROM scratch\nLABEL a=b\n", name="next")
                # One that has ended may still wait for process 1 to take its end.
                assert subprocess.run(["pgrep", "--runstates", "RSDT", "-x", "git"], stdout=subprocess.PIPE).stdout == b""
            builder.assert_clean()


def test_repositories_by_ssh_need_an_agent(builder, repository):
    """A real sshd on the loopback, that lets one key in."""
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    if not sshd or not shutil.which("ssh-agent"):
        pytest.skip("openssh-server or openssh-client is not installed")
    keys = builder.path / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (keys / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPermitRootLogin yes\n")
    os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen([sshd, "-D", "-e", "-f", str(keys / "config")], stderr=subprocess.DEVNULL)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(keys / "agent")], stdout=subprocess.DEVNULL)
    # OpenSSH takes the home of the password file, and nothing of the environment: root's own folder is covered up.
    known = pathlib.Path(os.path.expanduser("~root/.ssh/known_hosts"))
    is_new = not known.parent.exists()
    known.parent.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(known.parent)], check=True)
    place = f"ssh://root@127.0.0.1:{port}{builder.path}/served.git"
    try:
        wait_for("sshd", lambda: socket.create_connection(("127.0.0.1", port)).close() is None)
        wait_for("the agent", lambda: os.path.exists(keys / "agent"))
        subprocess.run(["ssh-add", "-q", str(keys / "user")], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(keys / "agent")})
        environment = {"SSH_AUTH_SOCK": str(keys / "agent")}
        text = builder.run("--ssh", "default", context=place, env=environment, check=False).text
        assert "Host key verification failed" in text, text
        kind, key = (keys / "host.pub").read_text().split()[:2]
        with open(known, "a") as file:
            file.write(f"[127.0.0.1]:{port} {kind} {key}\n")
        text = builder.run(context=place, env=environment, check=False).text
        assert "Permission denied" in text, text
        assert builder.files("--ssh", "default", context=place, env=environment)["f"][1] == b"second"
    finally:
        for process in (server, agent):
            process.terminate()
            process.wait()
        subprocess.run(["umount", str(known.parent)], check=True)
        if is_new:
            known.parent.rmdir()


def test_provenance(builder, repository):
    """What an image says of itself, where it is, and what it never says."""
    with serving(builder.path) as url, git_daemon(builder) as daemon:
        (builder.path / "download.txt").write_text("fetched")
        secret = builder.path / "token"
        secret.write_text("s3cr3t-content")
        builder.context(f"""
FROM localhost/base:1
ARG API_TOKEN
ARG VERSION
ADD {url}/download.txt?sig=s3cr3t-query /d/
ADD {daemon}/served.git#v1 /r/
RUN --mount=type=secret,id=npm test -s /run/secrets/npm && echo "$VERSION" > /v
""")
        arguments = ["--build-arg", "API_TOKEN=s3cr3t-argument", "--build-arg", "VERSION=7", "--secret", f"id=npm,src={secret}",
                     "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-t", "localhost/told:1"]
        plain = builder.metadata(*arguments)
        assert plain == builder.metadata("--provenance=false", *arguments)
        told = builder.metadata("--provenance=mode=max", *arguments)
        again = builder.metadata("--provenance=mode=max", *arguments)
        small = builder.metadata("--provenance=true", *arguments)
    # Without it a plain manifest; with it that same manifest, in an index.
    assert plain["containerimage.descriptor"]["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert told["containerimage.descriptor"]["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert told["containerimage.digest"] == again["containerimage.digest"] != small["containerimage.digest"]
    statements = {}
    for name, metadata in (("max", told), ("min", small)):
        image, attestation = json.loads(builder.blob(metadata["containerimage.digest"]))["manifests"]
        assert image["digest"] == plain["containerimage.digest"]
        assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
        assert attestation["annotations"] == {"vnd.docker.reference.type": "attestation-manifest",
                                              "vnd.docker.reference.digest": image["digest"]}
        manifest = json.loads(builder.blob(attestation["digest"]))
        layer, = manifest["layers"]
        assert layer["mediaType"] == "application/vnd.in-toto+json"
        assert layer["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
        assert json.loads(builder.blob(manifest["config"]["digest"]))["rootfs"]["diff_ids"] == [layer["digest"]]
        statements[name] = json.loads(builder.blob(layer["digest"]))
    statement = statements["max"]
    assert statement["subject"] == [{"name": "pkg:docker/localhost/told@1?platform=linux%2F" + builder.config(plain)["architecture"],
                                     "digest": {"sha256": plain["containerimage.digest"].split(":")[1]}}]
    definition = statement["predicate"]["buildDefinition"]
    materials = {item["uri"]: item["digest"] for item in definition["resolvedDependencies"]}
    assert materials[f"{url}/download.txt"] == {"sha256": hashlib.sha256(b"fetched").hexdigest()}
    assert materials[f"{daemon}/served.git#v1"] == {"sha1": repository.first}
    assert [uri for uri in materials if uri.startswith("pkg:docker/localhost/base@1?")] and len(materials) == 3
    request = definition["externalParameters"]["request"]
    assert request["args"]["build-arg:VERSION"] == "7" and request["args"]["build-arg:API_TOKEN"] == "<redacted>"
    assert request["secrets"] == [{"id": "npm"}]
    assert statement["predicate"]["runDetails"]["metadata"] == {
        "startedOn": "2023-11-14T22:13:20Z", "finishedOn": "2023-11-14T22:13:20Z"}
    assert statements["min"]["predicate"]["buildDefinition"]["resolvedDependencies"] == definition["resolvedDependencies"]
    assert "args" not in statements["min"]["predicate"]["buildDefinition"]["externalParameters"]["request"]
    for word in ("s3cr3t", str(secret)):
        assert word not in json.dumps(statements)
    assert subprocess.run(["grep", "-rlE", "s3cr3t-(argument|content)", str(builder.data)], stdout=subprocess.PIPE).stdout == b""
    text = builder.run("--provenance=mode=all", check=False).text
    assert 'unknown mode "all"' in text
    assert "--sbom is not built" in builder.run("--sbom=true", check=False).text
    for wrong in ("db:host-gateway", "db:1.2.3", "db:1.2.3.4 evil", "d b:1.2.3.4"):
        assert "bad format for add-host" in builder.run("--add-host", wrong, check=False).text


def test_provenance_of_a_fetched_context(builder, repository):
    with git_daemon(builder) as daemon:
        path = builder.path / "metadata.json"
        builder.run("--provenance=true", "--platform", "linux/amd64,linux/arm64", "--metadata-file", path,
                    context=f"{daemon}/served.git#v1")
    index = json.loads(builder.blob(json.loads(path.read_text())["containerimage.digest"]))
    images = [item for item in index["manifests"] if "annotations" not in item]
    attestations = [item for item in index["manifests"] if "annotations" in item]
    assert [item["platform"]["architecture"] for item in images] == ["amd64", "arm64"]
    assert [item["annotations"]["vnd.docker.reference.digest"] for item in attestations] == [item["digest"] for item in images]
    for item in attestations:
        layer, = json.loads(builder.blob(item["digest"]))["layers"]
        definition = json.loads(builder.blob(layer["digest"]))["predicate"]["buildDefinition"]
        expected = {"uri": f"{daemon}/served.git#v1", "digest": {"sha1": repository.first}}
        assert definition["resolvedDependencies"] == [expected]
        assert definition["externalParameters"]["configSource"] == {"path": "Dockerfile", **expected}


# Running.

def test_mounts(builder):
    secret = builder.path / "token"
    secret.write_text("s3cr3t-value")
    dockerfile = """
FROM localhost/base:1 AS source
RUN echo stage > /data
FROM localhost/base:1
RUN --mount=type=bind,target=/ctx test "$(cat /ctx/a.txt)" = a && ! touch /ctx/new && test ! -e /ctx/ignored
RUN --mount=type=bind,from=source,source=/data,target=/d cat /d > /from-stage
RUN --mount=type=bind,from=source,target=/other,rw echo x > /other/new
RUN --mount=type=tmpfs,target=/scratch,size=1m mount | grep -q /scratch && touch /scratch/x
RUN --mount=type=secret,id=token,uid=1000,mode=0440 stat -c '%u %a' /run/secrets/token && cat /run/secrets/token | wc -c
RUN --mount=type=secret,id=token,env=TOKEN test "$TOKEN" = s3cr3t-value
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
RUN --mount=type=cache,id=c,target=/cache,uid=1000,mode=0700 stat -c '%u %a' /cache > /cache-mode; echo 1 >> /cache/n
RUN --mount=type=cache,id=c,target=/cache,sharing=locked echo 2 >> /cache/n && cp /cache/n /cache-content
RUN <<EOT
echo heredoc
EOT
RUN <<'EOT' sh
echo "$0" > /script
EOT
RUN <<EOT
#!/bin/sh
echo from-program > /program
EOT
"""
    builder.context(dockerfile, {"a.txt": "a", "ignored": "x", ".dockerignore": "ignored"})
    got = builder.files("--secret", f"id=token,src={secret}")
    assert got["from-stage"][1] == b"stage\n"
    assert got["cache-mode"][1] == b"1000 700\n"
    assert got["cache-content"][1].endswith(b"1\n2\n")
    assert got["program"][1] == b"from-program\n"
    for name in ("run", "ctx", "d", "other", "scratch", "cache", "etc/resolv.conf", "etc/hosts", "proc", "sys"):
        assert name not in got, name
    builder.assert_clean()
    # A secret is nowhere on the disk, and another one gives the same key.
    found = subprocess.run(["grep", "-rl", "s3cr3t-value", str(builder.data)], stdout=subprocess.PIPE)
    assert found.stdout == b""
    secret.write_text("another")
    text = builder.run("--secret", f"id=token,src={secret}").text
    assert not [title for title, state in steps(text).items() if "RUN" in title and state != "CACHED"]


def test_agent_socket(builder):
    path = str(builder.path / "agent.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    try:
        builder.build('FROM localhost/base:1\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n', None, "--ssh",
                      f"default={path}")
    finally:
        listener.close()
    text = builder.fails("FROM localhost/base:1\nRUN --mount=type=ssh,required=true true\n")
    assert "unset ssh forward key default" in text


def test_network_and_hosts(builder):
    text = builder.build(
        "FROM localhost/base:1\nRUN --network=none test $(cat /proc/net/dev | wc -l) = 3\n"
        "RUN grep '10.1.2.3.*db' /etc/hosts && hostname\n", None, "--add-host", "db:10.1.2.3").text
    assert "apus-build" in text


# Busybox's own clients are no use in an image without the C library: they die when they look a name up, and a test that
# expects them to fail would always be content.
PROBE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int reach(int kind, const char *address, int port, int is_around) {
  int fd = socket(AF_INET, kind, 0);
  struct timeval patience = {2, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  // By the interface that leads out: any process may bind a socket to an interface.
  if (is_around && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "tap0", 4)) return perror("bind"), exit(3), -1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return perror("connect"), -1;
  return fd;
}

static int answer(int fd, const void *question, int count) {
  unsigned char bytes[4096];
  if (fd < 0 || write(fd, question, count) < 0) return 1;
  int got = read(fd, bytes, sizeof bytes);
  if (got <= 0) return perror("read"), 1;
  for (int at = 0; at < got; at++) putchar(bytes[at]);
  return 0;
}

// get ADDRESS PORT: what an HTTP server says. ask ADDRESS: what a name server says. around PORT: to the loopback by the
// way out. raw: packets of its own making.
int main(int count, char **words) {
  if (!strcmp(words[1], "get")) {
    const char *request = "GET /page HTTP/1.0\r\n\r\n";
    int fd = reach(SOCK_STREAM, words[2], atoi(words[3]), 0);
    // The header, and when it does not come with it, the page.
    int failed = answer(fd, request, strlen(request));
    if (!failed) answer(fd, "", 0);
    return failed;
  }
  if (!strcmp(words[1], "ask"))
    return answer(reach(SOCK_DGRAM, words[2], 53, 0), "\1\2\1\0\0\1\0\0\0\0\0\0\3any\7example\0\0\1\0\1", 29);
  if (!strcmp(words[1], "around")) {
    for (int kind = 0; kind < 2; kind++) {
      int fd = reach(kind ? SOCK_STREAM : SOCK_DGRAM, "127.0.0.1", atoi(words[2]), 1);
      if (fd >= 0) write(fd, "x", 1);
    }
    return 0;
  }
  return socket(AF_PACKET, SOCK_RAW, 0) >= 0 || socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0 ? 0 : 1;
}
"""


@contextlib.contextmanager
def outside():
    """An address that is not this machine's loopback, in the namespace of the test."""
    subprocess.run(["ip", "link", "add", "outside", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "192.0.2.10/24", "dev", "outside"], check=True)
        subprocess.run(["ip", "link", "set", "outside", "up"], check=True)
        yield "192.0.2.10"
    finally:
        subprocess.run(["ip", "link", "del", "outside"], check=True)


class Resolver(threading.Thread):
    """Answers every question for an IPv4 address with 192.0.2.10, on the loopback's port 53."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))

    def run(self):
        while True:
            try:
                question, sender = self.socket.recvfrom(512)
            except OSError:
                return
            if not question:  # The socket was shut down.
                return
            if b"\0" not in question[12:]:
                continue
            end = question.index(b"\0", 12) + 5
            is_v4 = question[end - 4:end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes([192, 0, 2, 10]) if is_v4 else b""
            self.socket.sendto(question[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_v4 else b"\0\0") + b"\0\0\0\0" +
                               question[12:end] + answer, sender)


def test_a_step_gets_out_and_not_at_the_loopback(builder):
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler is installed")
    source = builder.path / "probe.c"
    source.write_text(PROBE)
    subprocess.run([compiler, "-static", "-o", str(builder.path / "probe"), str(source)], check=True)
    probe = (builder.path / "probe").read_bytes()
    stream, packets = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port = stream.getsockname()[1]
    packets.bind(("127.0.0.1", port))
    stream.setblocking(False)
    packets.setblocking(False)
    (builder.path / "page").write_text("from outside")
    resolver = Resolver()
    resolver.start()
    configuration = builder.path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\nsearch nowhere.example\n")
    subprocess.run(["mount", "--bind", str(configuration), os.path.realpath("/etc/resolv.conf")], check=True)
    try:
        with outside() as address, serving(builder.path, address) as url, serving(builder.path) as inside:
            outer, inner = url.rsplit(":", 1)[1], inside.rsplit(":", 1)[1]
            mount = "--mount=type=bind,target=/m"

            def build(steps, *arguments):
                context = builder.context("FROM localhost/base:1\n" + steps, {"probe": probe})
                (context / "probe").chmod(0o755)
                return builder.run("--no-cache", *arguments, check=False)

            result = build(f"""
RUN {mount} /m/probe get {address} {outer} | grep -q 'from outside'
RUN grep -q '^nameserver 10.0.2.3$' /etc/resolv.conf && grep -q '^search nowhere.example$' /etc/resolv.conf
RUN {mount} /m/probe ask 10.0.2.3 | hexdump -C | grep -q 'c0 00 02 0a'
RUN {mount} ! /m/probe get 127.0.0.1 {inner} && ! /m/probe get 10.0.2.2 {inner} && ! /m/probe get 10.0.2.2 {port}
RUN {mount} /m/probe around {port} && ! /m/probe raw
USER node
RUN {mount} /m/probe around {port} && ! /m/probe raw
RUN --network=none {mount} ! /m/probe get {address} {outer}
""")
            assert result.returncode == 0, result.text
            for listener in (stream.accept, functools.partial(packets.recv, 1)):
                with pytest.raises(BlockingIOError):
                    listener()
            # Who says so has the machine's, and then still makes no packets.
            get = f"{mount} /m/probe get 127.0.0.1 {inner} | grep -q 'from outside' && ! /m/probe raw\n"
            assert build(f"RUN --network=host {get}").returncode == 0
            assert build(f"RUN {get}", "--network=host").returncode == 0
            assert "exit code: 1" in build(f"RUN {get}").text
            # A name server with an IPv6 address is passed over; with those alone there is none, and it is said.
            configuration.write_text("nameserver ::1\nnameserver 127.0.0.1\n")
            result = build(f"RUN {mount} /m/probe ask 10.0.2.3 | hexdump -C | grep -q 'c0 00 02 0a'\n")
            assert result.returncode == 0 and "no names can be looked up" not in result.text, result.text
            configuration.write_text("nameserver 2001:db8::1\n")
            result = build("RUN ! grep -q nameserver /etc/resolv.conf\n")
            assert result.returncode == 0 and "no names can be looked up" in result.text, result.text
    finally:
        subprocess.run(["umount", os.path.realpath("/etc/resolv.conf")], check=True)
        resolver.socket.close()
        stream.close()
        packets.close()


def test_without_the_program_for_the_network(builder):
    """Nothing weaker in its place: the build says what to install."""
    program = shutil.which("slirp4netns")
    subprocess.run(["mount", "--bind", "/dev/null", program], check=True)
    try:
        text = builder.fails("FROM localhost/base:1\nRUN echo never\n", None, "--no-cache")
        assert "install the package slirp4netns" in text
        builder.build("FROM localhost/base:1\nRUN --network=none true\n", None, "--no-cache")
    finally:
        subprocess.run(["umount", program], check=True)


def test_user_arguments_and_shell(builder):
    builder.context("""
FROM localhost/base:1
ARG VERSION=1
ARG HTTP_NOT_A_PROXY
ENV GREETING="hello ${VERSION}"
USER node
WORKDIR /home/node/work
RUN id -u > me && echo "$GREETING $VERSION" > said && echo "${HTTP_PROXY:-none}" > proxy
SHELL ["/bin/sh", "-ec"]
RUN false; echo not reached > /tmp/never || true
""".replace("RUN false; echo not reached > /tmp/never || true\n", "RUN echo $0 > shell\n"))
    got = builder.files("--build-arg", "VERSION=2", "--build-arg", "HTTP_PROXY=http://proxy.invalid")
    assert got["home/node/work/me"][1] == b"1000\n"
    assert got["home/node/work"][0].uid == 1000
    assert got["home/node/work/said"][1] == b"hello 2 2\n"
    assert got["home/node/work/proxy"][1] == b"http://proxy.invalid\n"
    # A proxy is no part of the key, and not of the image.
    text = builder.run("--build-arg", "VERSION=2", "--build-arg", "HTTP_PROXY=http://other.invalid").text
    assert not [title for title, state in steps(text).items() if "RUN" in title and state != "CACHED"]
    metadata = builder.metadata("--build-arg", "VERSION=2", "--build-arg", "HTTP_PROXY=http://other.invalid")
    assert "other.invalid" not in builder.blob(metadata["containerimage.config.digest"]).decode()


def test_onbuild(builder):
    builder.build("FROM localhost/base:1\nONBUILD COPY a.txt /triggered\nONBUILD RUN echo ran > /ran\n", None,
                  "-t", "localhost/onbuild:1")
    builder.context("FROM localhost/onbuild:1\n", {"a.txt": "a"})
    got = builder.files()
    assert got["triggered"][1] == b"a" and got["ran"][1] == b"ran\n"
    assert "OnBuild" not in builder.config(builder.metadata())["config"]


def test_parallel_stages(builder):
    """Two stages that wait for one another's mark in a shared cache: they finish only when they run at the same time."""
    builder.build("""
FROM localhost/base:1 AS a
RUN --mount=type=cache,id=meet,target=/m rm -f /m/a; touch /m/a; for i in $(seq 50); do test -e /m/b && exit 0; sleep 0.1; done; exit 1
FROM localhost/base:1 AS b
RUN --mount=type=cache,id=meet,target=/m touch /m/b; for i in $(seq 50); do test -e /m/a && exit 0; sleep 0.1; done; exit 1
FROM scratch
COPY --from=a /etc/passwd /a
COPY --from=b /etc/passwd /b
""", None, "--no-cache")


# Each run of the step counts, prints a mark of its own and waits until it may go on.
SHARED = """
FROM localhost/base:1
RUN --mount=type=cache,id=@ID@,target=/m echo run >> /m/runs; \\
  touch /m/@ID@; echo "mark $(cat /proc/sys/kernel/random/uuid)"; \\
  for i in $(seq 600); do test -e /m/go && break; sleep 0.1; done; echo after; exit @CODE@
"""


@contextlib.contextmanager
def shared_builds(builder, name, code=0):
    """Two builds that are at one step, the one that began it first; its mark; the folder of the step's cache mount."""
    processes = []

    def start(context):
        process = subprocess.Popen(
            [APUS, "build", "--data", str(builder.data), "--progress", "plain", str(context)],
            stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    dockerfile = SHARED.replace("@ID@", name).replace("@CODE@", str(code))
    try:
        first = start(builder.context(dockerfile, name="one"))
        begun = mark(first)
        second = start(builder.context(dockerfile, name="two"))
        # What was printed before it came.
        assert mark(second) == begun
        folder, = glob.glob(str(builder.data / "build/caches/*/files" / name))
        yield first, second, begun, pathlib.Path(folder).parent
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stderr.close()


def mark(process):
    """What a run of the step has printed, as soon as the build shows it."""
    seen = []
    for line in process.stderr:
        seen.append(line)
        found = re.search(r" mark ([0-9a-f-]{36})$", line.rstrip())
        if found:
            return found.group(1)
    raise AssertionError("the step has not begun: " + "".join(seen))


def test_equal_steps_of_builds_at_once(builder):
    with shared_builds(builder, "made") as (first, second, _, mount):
        (mount / "go").touch()
        for process in (first, second):
            text = process.stderr.read()
            assert process.wait(60) == 0, text
            assert re.search(r"^#\d+ \S+ after$", text, re.MULTILINE), text
        assert (mount / "runs").read_text() == "run\n"
    builder.assert_clean()


def test_a_failure_of_a_shared_step(builder):
    with shared_builds(builder, "failed", code=7) as (first, second, _, mount):
        (mount / "go").touch()
        for process in (first, second):
            text = process.stderr.read()
            assert process.wait(60) == 1, text
            assert "exit code: 7" in text and "> [2/2] RUN" in text and ">>> RUN" in text, text
        assert (mount / "runs").read_text() == "run\n"
        # It is not kept.
        assert "exit code: 7" in builder.run(context=builder.path / "two", check=False).text
        assert (mount / "runs").read_text() == "run\n" * 2
    builder.assert_clean()


def test_who_began_a_shared_step_is_interrupted(builder):
    """Another process begins it anew."""
    with shared_builds(builder, "left") as (first, second, begun, mount):
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
        assert mark(second) != begun
        (mount / "go").touch()
        text = second.stderr.read()
        assert second.wait(60) == 0, text
        assert (mount / "runs").read_text() == "run\n" * 2
    builder.assert_clean()


# Failures.

def test_hard_links_stay_links(builder):
    """From a stage and from the context, in the layer and in an export; a name that the copy replaces is no target."""
    context = builder.context(
        "FROM localhost/base:1 AS made\n"
        "RUN mkdir /l && dd if=/dev/urandom of=/l/a bs=1024 count=100 && ln /l/a /l/b && ln /l/a /l/c && echo x > /other\n"
        "FROM scratch\nCOPY --from=made /l /l\nCOPY two /two\n"
        "COPY --from=made /l/a /l/b /other /some/\nCOPY --from=made /other /some/a\n")
    (context / "two").mkdir()
    (context / "two/x").write_bytes(b"content" * 1000)
    os.link(context / "two/x", context / "two/y")
    archive = builder.path / "links.tar"
    builder.run("-o", f"type=oci,dest={archive}", "--compression", "none")
    with tarfile.open(archive) as outer:
        manifest = json.load(outer.extractfile(json.load(outer.extractfile("index.json"))["manifests"][0]["digest"]
                                               .replace("sha256:", "blobs/sha256/")))
        kinds = []
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer["digest"].replace("sha256:", "blobs/sha256/"))) as inner:
                kinds.append([(m.name, m.linkname) for m in inner if not m.isdir()])
    assert kinds[0] == [("l/a", ""), ("l/b", "l/a"), ("l/c", "l/a")]
    assert kinds[1] == [("two/x", ""), ("two/y", "two/x")]
    assert ("some/b", "some/a") in kinds[2]
    exported = builder.run("-o", "type=tar,dest=-")
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as tree:
        assert tree.getmember("l/c").linkname == "l/a" and tree.getmember("two/y").islnk()
        # The last copy has taken the name from the file.
        assert tree.extractfile("some/a").read() == b"x\n" and tree.extractfile("some/b").read() == tree.extractfile("l/a").read()
    builder.assert_clean()


def test_failing_step(builder):
    text = builder.fails("FROM localhost/base:1\nRUN echo before; (sleep 1000 &) ; exit 7\n")
    assert "exit code: 7" in text and "> [2/2] RUN" in text and ">>> RUN" in text and "Dockerfile:2" in text
    text = builder.fails('FROM localhost/base:1\nRUN ["/no/such/program"]\n')
    assert "/no/such/program" in text
    text = builder.fails("FROM localhost/base:1\nUSER nobody-there\nRUN true\n")
    assert "unable to find user nobody-there" in text


def test_interrupted_and_killed_builds_leave_nothing(builder):
    builder.context("FROM localhost/base:1\nRUN echo started; sleep 1000\n")
    # SIGHUP: the terminal goes. Whoever runs the tests may have it ignored (nohup), and then a build ignores it, too.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        process = subprocess.Popen(
            [APUS, "build", "--data", str(builder.data), "--progress", "plain", str(builder.path / "ctx")],
            stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        for line in process.stderr:
            if line.rstrip().endswith(" started"):
                break
        process.send_signal(number)
        process.stderr.read() if number != signal.SIGKILL else None
        process.wait(30)
        process.stderr.close()
        if number != signal.SIGKILL:
            assert process.returncode == 130
        else:
            builder.build("FROM scratch\nLABEL a=b\n", name="next")
        builder.assert_clean()
        sleeping = subprocess.run(["pgrep", "-f", "^sleep 1000"], stdout=subprocess.PIPE)
        assert sleeping.stdout == b""


@pytest.mark.parametrize("dockerfile, files, message", [
    ("FROM localhost/base:1\nRUNN true\n", {}, "unknown instruction: RUNN"),
    ("FROM localhost/base:1\nCOPY missing /\n", {}, '"/missing": not found'),
    ("FROM localhost/base:1\nCOPY secret /\n", {"secret": "", ".dockerignore": "secret"}, ".dockerignore leaves it out"),
    ("FROM localhost/base:1\nCOPY ../outside /\n", {}, '"/outside": not found'),
    ("FROM localhost/base:1\nCOPY ../inside ./../b/../inside /there/\n", {"inside": ""}, None),
    ("FROM localhost/base:1\nADD --checksum=sha256:00 a /\n", {"a": ""}, "checksum can't be specified for non-HTTP(S)"),
    ("FROM localhost/base:1\nCOPY http://127.0.0.1:1/a /\n", {}, "source can't be a URL for COPY"),
    ("FROM localhost/base:1\nRUN --mount=type=cache true\n", {}, 'invalid mount target ""'),
    ("FROM localhost/base:1\nCOPY a* /target\n", {"a1": "", "a2": ""}, "must be a directory and end with a /"),
    ("FROM localhost/base:1\nCOPY a /lib\n", {"a/b": ""}, None),
    ("FROM localhost/base:1\nCOPY a /\n", {"a/lib/b": ""}, "cannot copy to non-directory: /lib"),
    ("FROM localhost/base:1\nCOPY --chown=ghost a /\n", {"a": ""}, "ghost"),
    ("FROM nowhere.invalid/x:1\n", {}, "failed to resolve source metadata for nowhere.invalid/x:1"),
    ("FROM localhost/base:1\nRUN --security=insecure true\n", {}, "not built"),
    ("FROM localhost/base:1 AS a\nCOPY --from=b /x /\n", {}, "failed to resolve"),
])
def test_bad_input(builder, dockerfile, files, message):
    if message is None:
        builder.build(dockerfile, files)
        return
    text = builder.fails(dockerfile, files)
    assert message in text, text


def test_links_and_devices_of_the_context(builder):
    context = builder.context("FROM scratch\nCOPY escape /\n")
    os.symlink("../../../../../etc/passwd", context / "escape")
    text = builder.run(check=False).text
    assert "is not in the build context" in text
    os.unlink(context / "escape")
    os.mknod(context / "escape", 0o600 | 0o020000, os.makedev(1, 3))
    assert "is a device" in builder.run(check=False).text
    os.unlink(context / "escape")
    os.mkfifo(context / "escape")
    assert "is a named pipe" in builder.run(check=False).text


def test_context_that_changes(builder):
    """A file that grows all the time is either stored whole or refused, never stored torn."""
    context = builder.context("FROM scratch\nCOPY . /\n", {"big": b"0" * (64 << 20)})
    writer = subprocess.Popen(["sh", "-c", f"while :; do echo x >> {context}/big; done"])
    try:
        result = builder.run(check=False)
    finally:
        writer.kill()
        writer.wait()
    assert result.returncode == 1 and "changed while" in result.text or "has changed since" in result.text, result.text
    builder.assert_clean()


def test_foreign_platform(builder):
    text = builder.fails("FROM --platform=linux/s390x scratch\nRUN [\"/x\"]\n")
    assert "qemu-s390x" in text
    metadata = builder.build("FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n", None, "--platform",
                             "linux/amd64,linux/arm64", "-t", "localhost/multi:1", "--metadata-file",
                             builder.path / "m.json")
    metadata = json.loads((builder.path / "m.json").read_text())
    index = json.loads(builder.blob(metadata["containerimage.digest"]))
    assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]


ARM64 = os.environ.get("BUSYBOX_ARM64", str(ROOT / ".cache/arm64/busybox"))
BINFMT = "/proc/sys/fs/binfmt_misc"


@contextlib.contextmanager
def emulator():
    """The kernel's handler for arm64 programs. The test's mount namespace has the file system of handlers for itself, and
    the handler goes with its last mount; where somebody has mounted it already, it is used as it is."""
    if os.path.exists(f"{BINFMT}/qemu-aarch64"):
        yield
        return
    configuration = "/usr/lib/binfmt.d/qemu-aarch64.conf"
    if not os.path.exists(configuration):
        pytest.skip("qemu-user-static is not installed")
    if os.path.exists(f"{BINFMT}/register"):
        pytest.skip("binfmt_misc is mounted, and nobody has registered qemu-aarch64: that is the machine's to change")
    mounted = subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], stderr=subprocess.PIPE, text=True)
    if mounted.returncode:
        pytest.skip(f"the kernel has no binfmt_misc: {mounted.stderr}")
    try:
        with open(f"{BINFMT}/register", "w") as file:
            file.write(open(configuration).read().strip())
        yield
    finally:
        if os.path.exists(f"{BINFMT}/qemu-aarch64"):
            with open(f"{BINFMT}/qemu-aarch64", "w") as file:
                file.write("-1")
        subprocess.run(["umount", BINFMT], check=True)


def test_run_for_another_processor(builder):
    if os.uname().machine != "x86_64":
        pytest.skip("the foreign processor of this test is arm64")
    if not os.access(ARM64, os.X_OK):
        pytest.skip(f"there is no static busybox for arm64 at {ARM64}: Scripts/setup tests fetches it")
    builder.context("""
FROM scratch
ARG TARGETARCH
COPY --chmod=755 busybox-$TARGETARCH /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
RUN uname -m > /machine && echo "$TARGETARCH" > /target && mkdir /made && chown 1000:1000 /made
USER 1000:1000
RUN id -u > /made/user && cat /proc/self/status | grep -q Uid
""", {"busybox-amd64": pathlib.Path(BUSYBOX).read_bytes(), "busybox-arm64": pathlib.Path(ARM64).read_bytes()})
    with emulator():
        metadata = builder.metadata("--platform", "linux/amd64,linux/arm64", "-t", "localhost/both:1")
        index = json.loads(builder.blob(metadata["containerimage.digest"]))
        assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
        files = builder.files("--platform", "linux/amd64,linux/arm64")
        for folder, machine, target in (("linux_amd64", "x86_64", "amd64"), ("linux_arm64", "aarch64", "arm64")):
            assert files[f"{folder}/machine"][1].decode().strip() == machine
            assert files[f"{folder}/target"][1].decode().strip() == target
            assert files[f"{folder}/made/user"][1] == b"1000\n"
        # A cross build: the builder stage is this machine's, only the result is not.
        got = builder.build(f"""
FROM --platform=$BUILDPLATFORM localhost/both:1 AS build
USER root
RUN uname -m > /built-on
FROM localhost/both:1
COPY --from=build /built-on /
USER root
RUN cat /built-on && uname -m
""", None, "--platform", "linux/arm64").text
        assert "x86_64" in got and "aarch64" in got
    # Without the handler the step says what is missing.
    if not os.path.exists(f"{BINFMT}/qemu-aarch64"):
        text = builder.run("--platform", "linux/arm64", "--no-cache", check=False).text
        assert "qemu-aarch64" in text and "install qemu-user-static" in text
    builder.assert_clean()


# Outputs, cache, command line.

def test_outputs(builder):
    builder.context("FROM scratch\nCOPY a /x/a\n", {"a": "content"})
    builder.run("-o", builder.path / "out")
    assert (builder.path / "out/x/a").read_text() == "content"
    identifier = builder.run("-q").output.strip()
    assert identifier.startswith("sha256:")
    builder.run("--iidfile", builder.path / "iid")
    assert (builder.path / "iid").read_text() == identifier


def test_archives_have_every_platform_and_the_provenance(builder):
    builder.context("FROM scratch\nCOPY a /x/a\n", {"a": "content"})
    path = builder.path / "image.tar"

    def members():
        with tarfile.open(path) as archive:
            return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}

    for tags in ([], ["-t", "localhost/several:1"]):
        for arguments, count in ((["--platform", "linux/amd64,linux/arm64"], 2),
                                 (["--platform", "linux/amd64,linux/arm64", "--provenance=true"], 4),
                                 (["--platform", "linux/arm64", "--provenance=true"], 2)):
            told = builder.metadata("-o", f"type=oci,dest={path}", *tags, *arguments)
            files = members()
            top, = json.loads(files["index.json"])["manifests"]
            assert top["digest"] == told["containerimage.digest"]
            assert ("org.opencontainers.image.ref.name" in top.get("annotations", {})) == bool(tags)
            inner = json.loads(files["blobs/" + top["digest"].replace(":", "/")])["manifests"]
            assert len(inner) == count and all("blobs/" + item["digest"].replace(":", "/") in files for item in inner)
        told = builder.metadata("--platform", "linux/arm64", "--provenance=true", "-o", f"type=docker,dest={path}", *tags)
        entry, = json.loads(members()["manifest.json"])
        assert entry["Config"] == told["containerimage.config.digest"].split(":")[1] + ".json"
        assert entry["RepoTags"] == tags[1:]
    text = builder.run("--platform", "linux/amd64,linux/arm64", "-o", f"type=docker,dest={path}", check=False).text
    assert "a docker archive holds one platform" in text


def test_cache_goes_to_another_machine(builder):
    builder.context(PRODUCTION, PRODUCTION_FILES)
    cache = builder.path / "cache"
    builder.run("--target", "production", "--cache-to", f"type=local,dest={cache}")
    # A folder of its own: nothing that is done to it is done to the store.
    assert all(file.stat().st_nlink == 1 for file in cache.rglob("*") if file.is_file())
    other = builder.path / "other/data"
    base = builder.context(BASE, name="base-again")
    shutil.copy(BUSYBOX, base / "busybox")
    # The base image itself comes from the same cache, so that what is built on it has the same keys.
    builder.run("-t", "localhost/base:1", "--cache-to", f"type=local,dest={builder.path}/base-cache", context=base)
    builder.run("-t", "localhost/base:1", "--cache-from", f"type=local,src={builder.path}/base-cache", context=base,
                data=other)
    text = builder.run("--target", "production", "--cache-from", f"type=local,src={cache}", data=other).text
    assert not [title for title, state in steps(text).items()
                if ("RUN" in title or "COPY" in title) and state != "CACHED"], text


@pytest.fixture()
def registry(builder):
    """Debian's docker-registry on a port of its own."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = builder.path / "registry.yml"
    configuration.write_text(json.dumps({
        "version": 0.1, "storage": {"filesystem": {"rootdirectory": str(builder.path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"}}))
    process = subprocess.Popen(["docker-registry", "serve", str(configuration)], stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    try:
        wait_for("the registry", lambda: socket.create_connection(("127.0.0.1", port)).close() is None)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_push_pull_and_cache_by_a_registry(builder, registry):
    builder.run("-t", f"{registry}/team/base:1", "--push", context=builder.path / "base")
    builder.context(f"FROM {registry}/team/base:1\nRUN --mount=type=cache,target=/c echo 1 >> /c/n && cp /c/n /n\n"
                    "RUN echo two > /two\n")
    builder.run("--cache-to", f"type=registry,ref={registry}/team/cache:1")
    # Another machine: the base image is pulled, nothing is run, and only the result's layers are fetched.
    other = builder.path / "pulled/data"
    text = builder.run("-t", "localhost/x:1", "--cache-from", f"{registry}/team/cache:1", data=other).text
    assert not [title for title, state in steps(text).items() if "RUN" in title and state != "CACHED"], text
    # What came from there is known from then on.
    text = builder.run(data=other).text
    assert not [title for title, state in steps(text).items() if "RUN" in title and state != "CACHED"], text
    # The files of the cache mount came along.
    (builder.path / "ctx/Dockerfile").write_text(
        f"FROM {registry}/team/base:1\nRUN --mount=type=cache,target=/c cat /c/n > /seen\n")
    fresh = builder.path / "fresh/data"
    got = builder.files("--cache-from", f"{registry}/team/cache:1", data=fresh)
    assert got["seen"][1].endswith(b"1\n")
    assert "no cache there" in builder.run("--cache-from", f"{registry}/team/none:1", data=fresh).text


def test_plain_folder(builder):
    builder.context(None, {"index.html": "<p>hello"})
    builder.run("-t", "localhost/site:1", "--build-arg", "BASE=localhost/base:1")
    shutil.rmtree(builder.path / "ctx")
    builder.context(None, {"other": "x"})
    assert "neither a static site" in builder.run(check=False).text


def test_dockerfile_from_standard_input(builder):
    builder.run(context="-", stdin=b"FROM localhost/base:1\nRUN true\n")
    members = [("Dockerfile", b"FROM scratch\nCOPY f /\n"), ("f", b"1")]
    for mode, program in (("w", "sh"), ("w:gz", "sh"), ("w:xz", "xz"), ("w:bz2", "bzip2")):
        if shutil.which(program):
            assert builder.files(context="-", stdin=archive(members, mode))["f"][1] == b"1", mode
    data = archive([("Dockerfile", b"FROM localhost/base:1\nRUN --network=host true\n")])
    assert "network.host is not allowed" in builder.run(context="-", stdin=data, check=False).text
    builder.run("--allow", "network.host", context="-", stdin=data)
    builder.context(None, {"f": "1"})
    builder.run("-f", "-", stdin=b"FROM scratch\nCOPY f /f\n")


def test_check(builder):
    builder.context("FROM localhost/base:1 as x\nRUN true\n")
    result = builder.run("--check", check=False)
    assert result.returncode == 1 and "FromAsCasing" in result.output
    builder.context("FROM localhost/base:1 AS x\nARG API_TOKEN\nRUN true\n")
    assert "SecretsUsedInArgOrEnv" in builder.run("--build-arg", "API_TOKEN=x").text


def test_other_tools_read_the_image(builder):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    builder.context("FROM localhost/base:1\nRUN echo x > /x\n")
    path = builder.path / "image.tar"
    builder.run("-t", "localhost/out:1", "-o", f"type=oci,dest={path}")
    inspected = subprocess.run(["skopeo", "inspect", "--config", f"oci-archive:{path}"], stdout=subprocess.PIPE, check=True)
    assert json.loads(inspected.stdout)["os"] == "linux"
