"""What is written replaces its like and nothing else: no device, no data, no run."""

import os
import stat

import pytest
import toy_runs
from toy_runs import contents

from extremal.core.errors import RunError
from extremal.report.difficulty import write_difficulty
from extremal.report.page import write_report


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toy_runs.train(tmp_path_factory.mktemp("runs") / "whole", updates=2, evaluate_every=2, log_every=1)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK])
def test_what_is_no_plain_file_is_not_replaced_by_one(whole, tmp_path, kind):
    os.mknod(tmp_path / "device", kind | 0o600)  # as /dev/null, which the superuser could replace
    with pytest.raises(RunError, match=r"device' cannot be written: it is no plain file"):
        write_report([whole.path], tmp_path / "device", title="Mine")
    assert stat.S_IFMT((tmp_path / "device").stat().st_mode) == kind
    assert [path.name for path in tmp_path.iterdir()] == ["device"]


def test_a_report_follows_a_link(whole, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "page.html").symlink_to("there/mine.html")
    for _ in range(2):
        write_report([whole.path], tmp_path / "page.html", title="Mine")
        assert (tmp_path / "page.html").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.html"]


@pytest.mark.parametrize("holds", [b"episode,action\n1,2\n", b"PK\3\4", b'{"format": 1}', b"\x89PNG"])
def test_a_report_replaces_a_page_and_nothing_else(whole, tmp_path, holds):
    (tmp_path / "mine").write_bytes(holds)
    with pytest.raises(RunError, match=r"mine' exists and holds something else; name another file"):
        write_report([whole.path], tmp_path / "mine", title="Mine")
    assert contents(tmp_path) == {"mine": holds}
    for earlier in (b"", b"<!doctype html><p>of yesterday"):
        (tmp_path / "mine").write_bytes(earlier)
        write_report([whole.path], tmp_path / "mine", title="Mine")
        assert (tmp_path / "mine").stat().st_size > 1000


def test_a_picture_replaces_a_picture_and_nothing_else(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"PK\3\4")
    with pytest.raises(RunError, match=r"mine.npz' exists and holds something else"):
        write_difficulty({}, tmp_path / "mine.npz")
    assert contents(tmp_path) == {"mine.npz": b"PK\3\4"}
