"""The author of a Dockerfile: what the steps of a build leave for root to remove."""

import os
import shutil

import pytest

from conftest import folder
from test_build import BASE, BUSYBOX, Builder


@pytest.fixture(scope="module")
def builder():
    with folder("apus-author-") as path:
        builder = Builder(path)
        context = builder.context(BASE, name="base")
        shutil.copy(BUSYBOX, context / "busybox")
        builder.run("-t", "localhost/base:1", context=context)
        yield builder
        builder.assert_clean()
        assert not os.path.lexists("/var/tmp/apus-escape")


BYTES = r"""mkdir "$(printf 'a\377b')" "$(printf '\300\257')" && touch "$(printf 'a\377b/\376')" "$(printf '\t\n\001')" """
# No shell goes deeper than a path is long: each turn puts the last tree below 14 more folders of 250 bytes.
DEEP = (r"l=$(printf '%0250d' 0) && c=$l && for n in 1 2 3 4 5 6 7 8 9 10 11 12 13; do c=$c/$l; done && mkdir x && "
        r"for n in 1 2 3 4 5; do mkdir -p y/$c && mv x y/$c/x && mv y x || exit 4; done")


@pytest.mark.parametrize("script", [
    BYTES, DEEP, f"{BYTES} && {DEEP}", f"{BYTES}; exit 3", f"{DEEP}; exit 3", f"cd /tmp && {DEEP}; kill -9 $$"])
def test_a_build_leaves_no_folder(builder, script):
    """Whether it can be put into a layer or not."""
    builder.build(f"FROM localhost/base:1\nWORKDIR /w\nRUN {script}\n", check=False)
    builder.assert_clean()


@pytest.mark.parametrize("script", [BYTES, DEEP])
def test_a_cache_mount_leaves_no_folder_of_its_build(builder, script):
    builder.build(
        f"FROM localhost/base:1\nRUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t cd /c && {script} && exit 3\n",
        check=False)
    builder.assert_clean()
    shutil.rmtree(os.fsencode(builder.data / "build/caches"), ignore_errors=True)


@pytest.mark.parametrize("working_directory", ["/l/apus-escape", "/m/apus-escape", "/../../../../var/tmp/apus-escape"])
def test_a_working_directory_is_made_in_the_image(builder, working_directory):
    builder.build(
        f"FROM localhost/base:1\nRUN ln -s /var/tmp /l && ln -s ../../../../../../../../var/tmp /m\n"
        f"WORKDIR {working_directory}\nRUN pwd\n", check=False)
    assert not os.path.lexists("/var/tmp/apus-escape")
    builder.assert_clean()
