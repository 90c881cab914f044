"""Measures a build that copies 2,000 files, with buildah beside it where it is installed. Nothing fails on a time."""

import os
import pathlib
import random
import shutil
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
APUS = os.environ.setdefault("APUS", str(ROOT / ".build-release/release/apus"))


def context(base, files=2000):
    """2,000 files of 1 to 16 KiB of text in 100 folders; the same ones each time."""
    source = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    for number in range(files):
        folder = os.path.join(base, f"d{number % 100}")
        os.makedirs(folder, exist_ok=True)
        text = " ".join(source.choices(words, k=source.randrange(150, 2400)))
        pathlib.Path(folder, f"f{number}.txt").write_text(text)
    pathlib.Path(base, "Dockerfile").write_text("FROM scratch\nCOPY . /app/\n")


def timed(command, runs):
    seen = []
    for _ in range(runs):
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        seen.append((time.monotonic() - began) * 1000)
    return statistics.median(seen)


def measure(base, row):
    folder, data, peer = (os.path.join(base, name) for name in ("context", "build-data", "buildah"))
    os.makedirs(folder)
    context(folder)
    apus = [APUS, "build", "-q", "--data", data, "-t", "localhost/bench:1"]
    cold = timed([*apus, "--no-cache", folder], 5)
    timed([*apus, folder], 1)
    cached = timed([*apus, folder], 5)
    other = ["", ""]
    if shutil.which("buildah"):
        buildah = ["buildah", "--root", peer, "--runroot", peer + "-run", "build", "--isolation", "chroot", "--layers",
                   "-t", "localhost/bench:1"]
        other = [f"{timed([*buildah, '--no-cache', folder], 3):,.0f} ms"]
        timed([*buildah, folder], 1)
        other.append(f"{timed([*buildah, folder], 3):,.0f} ms")
        subprocess.run(["umount", os.path.join(peer, "overlay")], capture_output=True)
    row("build that copies 2,000 files", f"{cold:,.0f} ms", f"buildah {other[0]}" if other[0] else "", "3 ×")
    row("the same, cached", f"{cached:,.0f} ms", f"buildah {other[1]}" if other[1] else "", "10 ×")
