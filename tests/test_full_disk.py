"""No space left, on a disk, in a file or where it is printed: said in one message, and the old stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from killing import run
from test_killed import job_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, limits and mounts")


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own; skipped where nothing may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if done.returncode:
        pytest.skip(f"a disk may not be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def stood(found, where):
    """Every run that did not fit said so in one message, and left the old one and nothing beside."""
    refused = [one for one in found if one[1]]
    assert refused
    for room, code, said, left, halves in refused:
        assert (code, left, halves) == (2, "old", []), (room, said)
        assert "Traceback" not in said
        assert "left on the disk" in said
        assert "the last good output stands" in said
        assert str(where) in said
    assert all(
        (code, left, halves) == (0, "new", []) for _, code, _, left, halves in found if not code
    )
    return refused


@pytest.mark.parametrize("work", ["run", "renew", "simulate", "update"])
def test_a_full_disk_is_said_and_the_last_good_output_stands(work, disk):
    rooms = {"run": [0, 30_000, 200_000], "simulate": [0, 8_192, 40_960]}.get(work, [0, 4_096])
    refused = stood(run(how="full", rooms=rooms, disk=str(disk), **job_of(work, disk)), disk)
    foreseen = (
        "60 policies take some" if work == "simulate" else f"no space left on the disk {disk}"
    )
    assert foreseen in refused[0][2]  # with no room at all a simulation is not begun
    assert f"no space left on the disk {disk}" in refused[-1][2]


@pytest.mark.parametrize("work", ["simulate", "update", "store"])
def test_a_limit_of_a_file_is_said_and_the_last_good_output_stands(work, tmp_path):
    stood(run(how="full", rooms=[0, 700], **job_of(work, tmp_path)), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_space_for_what_is_printed_is_one_message():
    with Path("/dev/full").open("w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-c", "from pricing.cli import main; main()", "--help"],
            stdout=nowhere, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no space left for what is printed" in done.stderr
