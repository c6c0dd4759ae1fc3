"""Writing whole or not at all: exceptions, kills, and targets that cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pricing import files
from pricing.errors import InputError, nearest
from pricing.files import fingerprint, replacing


def write_folder(beside, word):
    beside.mkdir()
    (beside / "a.txt").write_text(word, encoding="utf-8")
    (beside / "deep").mkdir()
    (beside / "deep" / "b.txt").write_text(word, encoding="utf-8")


def read_folder(folder):
    return {
        str(p.relative_to(folder)): p.read_text(encoding="utf-8")
        for p in folder.rglob("*")
        if p.is_file()
    }


def fail_half_way(target, error):
    with replacing(target) as beside:
        write_folder(beside, "new")
        raise error("in the middle")


OLD, NEW = ({"a.txt": w, "deep/b.txt": w} for w in ("old", "new"))


@pytest.fixture
def target(tmp_path):
    target = tmp_path / "out"
    with replacing(target) as beside:
        write_folder(beside, "old")
    return target


def test_a_folder_is_replaced_as_a_whole(target):
    (target / "left_over.txt").touch()
    with replacing(target) as beside:
        assert beside.parent == target.parent
        write_folder(beside, "new")
        assert (target / "a.txt").read_text(encoding="utf-8") == "old"
    assert read_folder(target) == NEW
    assert [p.name for p in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_with_and_without_an_exchange(target, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    with replacing(target) as beside:
        write_folder(beside, "new")
    assert read_folder(target) == NEW
    assert [p.name for p in target.parent.iterdir()] == ["out"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_the_exchange_is_one_step(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    write_folder(one, "new")
    write_folder(other, "old")
    assert files._exchange(one, other)
    assert (read_folder(one), read_folder(other)) == (OLD, NEW)
    assert not files._exchange(one, tmp_path / "missing")


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_one_and_nothing_behind(target, error):
    with pytest.raises(InputError if error is OSError else error):
        fail_half_way(target, error)
    assert read_folder(target) == OLD
    assert [p.name for p in target.parent.iterdir()] == ["out"]


def test_an_exception_at_the_first_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        fail_half_way(tmp_path / "new" / "a", RuntimeError)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("exchange", [True, False])
def test_a_swap_that_fails_puts_the_old_one_back(target, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    with pytest.raises(InputError, match="untouched"), replacing(target):
        pass  # nothing was written
    assert read_folder(target) == OLD
    real = files.Path.replace

    def failing(self, to):
        if to == target and not self.name.endswith(".old"):
            raise PermissionError(13, "denied")
        return real(self, to)

    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    monkeypatch.setattr(files.Path, "replace", failing)
    with pytest.raises(InputError, match="denied"), replacing(target) as beside:
        write_folder(beside, "new")
    assert read_folder(target) == OLD
    assert [p.name for p in target.parent.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from pricing import files
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "swap":
    real = files._exchange
    files._exchange = lambda *both: (real(*both), die())
with files.replacing(sys.argv[1]) as beside:
    if sys.argv[3] == "folder":
        beside.mkdir()
        (beside / "a.txt").write_text("new", encoding="utf-8")
        (beside / "deep").mkdir()
        (beside / "deep" / "b.txt").write_text("new", encoding="utf-8")
    else:
        beside.write_text("new", encoding="utf-8")
    if sys.argv[2] == "middle":
        die()
"""


def killed(target, when, kind):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(target), when, kind], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_kill_in_the_middle_leaves_the_old_folder_whole(target):
    killed(target, "middle", "folder")
    assert read_folder(target) == OLD
    with replacing(target) as beside:
        write_folder(beside, "new")
    assert read_folder(target) == NEW


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_a_kill_right_after_the_swap_leaves_the_new_folder_whole(target):
    killed(target, "swap", "folder")
    assert read_folder(target) == NEW


def test_a_kill_in_the_middle_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    killed(path, "middle", "file")
    assert path.read_text(encoding="utf-8") == "old"


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for target in (tmp_path / "file" / "x", tmp_path / "file" / "deep" / "x"):
        with pytest.raises(InputError, match="cannot write") as caught, replacing(target):
            pytest.fail("never gets here")
        assert str(target) in str(caught.value)
        assert "--out" in str(caught.value)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", [".", "", "/"])
def test_what_is_no_name_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no name to write to"), replacing(name):
        pytest.fail("never gets here")


def test_a_file_does_not_take_the_place_of_a_folder(target):
    with pytest.raises(InputError, match="a folder is there"), replacing(target) as beside:
        beside.write_text("a file", encoding="utf-8")
    assert read_folder(target) == OLD
    assert [p.name for p in target.parent.iterdir()] == ["out"]


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write"), replacing(path) as beside:
        write_folder(beside, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_is_replaced_and_what_it_points_to_is_not(target):
    link = target.parent / "link"
    link.symlink_to(target, target_is_directory=True)
    with replacing(link) as beside:
        write_folder(beside, "new")
    assert read_folder(target) == OLD
    assert read_folder(link) == NEW


def test_parents_are_made(tmp_path):
    with replacing(tmp_path / "a" / "b" / "c.txt") as beside:
        beside.write_text("x", encoding="utf-8")
    assert (tmp_path / "a" / "b" / "c.txt").is_file()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="not writable"), replacing(tmp_path / "x"):
            pytest.fail("never gets here")
    finally:
        tmp_path.chmod(0o700)


def test_a_fingerprint_knows_its_parts():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint() != fingerprint("")
    assert len(fingerprint("x")) == 16
    assert fingerprint("泰") == fingerprint("泰".encode())


def test_an_error_says_what_where_which_and_what_to_do():
    error = InputError("2 faults", where="a.csv", do="mend them", faults=["one", "two"])
    assert str(error) == "a.csv: 2 faults\n  - one\n  - two\n  do: mend them"
    assert isinstance(error, ValueError)
    assert str(InputError("plain")) == "plain"
    assert nearest("x", []) == ""
