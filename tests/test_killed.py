"""Killed at any moment, told to stop, two at once: the last good output stands."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import chdir

import polars as pl
import pytest

from killing import TEMPORARY, run, tree
from pricing.cli import main
from pricing.data.tables import bundled
from pricing.experience.cells import Experience
from pricing.experience.store import ExperienceStore
from pricing.files import replacing, restore
from test_cli import STUDY, years

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, kills and mounts")

WORKS = ("run", "renew", "simulate", "update", "store")
HEAVY = {"run": ["pricing.report.page", "pricing.plans.open_file"],
         "renew": ["pricing.study.chain", "pricing.study.renewed"],
         "simulate": ["pricing.data.book"]}  # fmt: skip


def renewal_text():
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    changes = {"100_000": "60", '"prudent"\nadj': '"present"\nadj', '"indicated"': "0.02"}
    for one, other in changes.items():
        assert one in text
        text = text.replace(one, other)
    return text


def due(rows):
    return pl.DataFrame(
        {
            "policy_id": [f"P{i}" for i in range(rows)],
            "health_group": ["G0", "G1"] * (rows // 2),
            "standard_premium": [1000.0 + i for i in range(rows)],
            "premium_before": [990.0 + i for i in range(rows)],
        }
    )


def job_of(work, place):
    """Make a last good output, and the job that would replace it by another."""
    given, out = place / "given", place / "there" / "out"
    given.mkdir()
    out.parent.mkdir()
    text = renewal_text() if work == "renew" else STUDY
    (given / "study.toml").write_text(text, encoding="utf-8")
    study, file = str(given / "study.toml"), str(given / "due.parquet")
    delivered = str(given / "delivered.parquet")
    if work == "renew":
        out = out.with_name("out.parquet")

    def write(rows, seed):
        years(rows).write_csv(given / "years.csv")
        due(rows).write_parquet(file)
        years(rows).write_parquet(delivered)
        return {
            "run": ["run", study, "--out", str(out)],
            "renew": ["renew", study, "--out", str(out), "--due", file],
            "simulate": ["simulate", str(out), "--policies", "60", "--seed", str(seed)],
        }.get(work)

    old = write(300, 1)
    if old is None:
        seen = Experience.collect(pl.read_parquet(delivered), ["sex", "health_group"])
        seen.save(out) if work == "update" else ExperienceStore(out).add(seen, source="old")
    else:
        with chdir(given), pytest.raises(SystemExit) as left:
            main(old)
        assert left.value.code == 0
    new = write(400, 2)
    return {"do": work if new is None else "command", "arguments": new, "out": str(out),
            "delivered": delivered, "cwd": given, "imports": HEAVY.get(work, [])}  # fmt: skip


@pytest.mark.parametrize("work", WORKS)
def test_every_touch_of_the_disk_leaves_the_old_or_the_new(work, tmp_path):
    few = work in (
        "run",
        "simulate",
    )  # there each moment is looked at and those of the change killed
    found = run(how="every", all=not few, **job_of(work, tmp_path))
    assert found["looks"] > 8
    assert (found["wrong"], found["strange"], found["other"]) == ([], [], 0)
    assert found["old"] > 0
    assert found["new"] > 0


@pytest.mark.parametrize("work", WORKS)
def test_a_kill_at_a_random_moment_leaves_the_old_or_the_new(work, tmp_path):
    found = run(how="kills", kills=4, each=False, seed=7, **job_of(work, tmp_path))
    assert found["wrong"] == []
    assert found["old"] + found["new"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_fifty_kills_and_after_each_the_next_run_completes(work, tmp_path):
    found = run(how="kills", kills=50, each=True, seed=11, **job_of(work, tmp_path))
    print(work, {name: figure for name, figure in found.items() if name != "wrong"})
    assert found["wrong"] == []
    assert found["old"] + found["new"] == found["next_runs"] == 50


def child(*arguments, code="from pricing.cli import main; main()", **more):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


SLEEPING = """
import sys, time
from pathlib import Path
from pricing.cli import app, main
from pricing.files import replacing
@app.command
def sleeping(out: Path, /):
    with replacing(out) as beside:
        beside.mkdir()
        (beside / "half").touch()
        print("written", flush=True)
        time.sleep(float(sys.argv[3]))
main(sys.argv[1:3])
"""


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_told_to_stop_it_tidies_and_says_so(number, code, tmp_path):
    with replacing(tmp_path / "out") as beside:
        beside.mkdir()
        (beside / "old").touch()
    running = child("sleeping", tmp_path / "out", "60", code=SLEEPING)
    assert running.stdout.readline() == "written\n"
    running.send_signal(number)
    _, said = running.communicate()
    assert running.returncode == code
    assert said.strip().startswith("pricing: stopped by")
    assert "Traceback" not in said
    assert list(tree(tmp_path)) == [f"{tmp_path.name}/out/old"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_does_not_come_back_is_tidied_all_the_same(tmp_path):
    stuck = SLEEPING.replace("time.sleep(float(sys.argv[3]))", "stuck()").replace(
        "@app", "def stuck():\n    import ctypes\n    ctypes.CDLL(None).pause\n"
        "    while True:\n        try:\n            time.sleep(60)\n        except BaseException:\n            pass\n"
        "import pricing.stopped\npricing.stopped.PATIENCE = 0.2\n@app", 1,
    )  # fmt: skip
    running = child("sleeping", tmp_path / "out", "60", code=stuck)
    assert running.stdout.readline() == "written\n"
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate()
    assert (running.returncode, said.strip().startswith("pricing: stopped by")) == (143, True)
    assert all(TEMPORARY.fullmatch(p.name) and p.suffix == ".lock" for p in tmp_path.iterdir())


def test_a_second_run_of_one_output_is_refused_and_the_first_ends(tmp_path):
    first = child(
        "sleeping",
        tmp_path / "out",
        "60",
        code=SLEEPING.replace("sleep(f", "sleep(0*f").replace(
            "flush=True)", "flush=True); input()"
        ),
        stdin=subprocess.PIPE,
    )
    assert first.stdout.readline() == "written\n"
    second = child("simulate", tmp_path / "out", "--policies", "5", "--seed", "1")
    out, said = second.communicate()
    assert (second.returncode, out) == (2, "")
    assert f"another run is writing here now (process {first.pid})" in said
    assert "wait until it has ended" in said
    first.communicate("go on\n")
    assert first.returncode == 0
    assert list(tree(tmp_path)) == [f"{tmp_path.name}/out/half"]


def test_two_writers_of_one_output_take_turns(tmp_path):
    first = child("sleeping", tmp_path / "out", "1", code=SLEEPING)
    assert first.stdout.readline() == "written\n"
    with replacing(tmp_path / "out") as beside:
        assert (tmp_path / "out" / "half").is_file()  # the first one has ended
        beside.mkdir()
        (beside / "second").touch()
    first.communicate()
    assert list(tree(tmp_path)) == [f"{tmp_path.name}/out/second"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_halves_of_a_run_that_is_alive_are_left_alone(tmp_path):
    first = child("sleeping", tmp_path / "out", "60", code=SLEEPING)
    assert first.stdout.readline() == "written\n"
    before = sorted(p.name for p in tmp_path.iterdir())
    restore(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    first.kill()
    first.communicate()
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    restore(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_left_alone(tmp_path):
    for name in (".out.txt", ".out.17", ".out.17.0a1b2c3", ".outer.17.0a1b2c3d", "out.17.0a1b2c3d"):
        (tmp_path / name).touch()
    before = sorted(tmp_path.iterdir())
    restore(tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


TWO_RENAMES = """
import os, signal, sys
from pathlib import Path
from pricing import files
files._exchange = lambda *_: False
target, at, events = Path(sys.argv[1]), int(sys.argv[2]), [0]
def heard(event, arguments):
    if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir"}:
        if str(target.parent) in str(arguments[0]):
            events[0] += 1
            if events[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(heard)
with files.replacing(target) as beside:
    beside.mkdir()
    (beside / "new").touch()
"""


def test_where_two_renames_are_needed_a_kill_between_them_is_mended(tmp_path):
    states = []
    for at in range(1, 100):
        target = tmp_path / str(at) / "out"
        target.mkdir(parents=True)
        (target / "old").touch()
        done = child(target, at, code=TWO_RENAMES)
        done.communicate()
        gone = not target.exists()
        restore(target)
        assert [p.name for p in target.parent.iterdir()] == ["out"]
        [state] = [p.name for p in target.iterdir()]
        assert state in ("old", "new")
        states.append((state, gone))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert ("old", True) in states  # between the two renames: put back
    assert states[-1] == ("new", False)
    assert [s for s, _ in states] == sorted((s for s, _ in states), reverse=True)  # old, then new


def test_who_reads_only_the_head_is_no_fault():
    running = child("--help")
    running.stdout.close()
    with running.stderr:
        assert running.stderr.read() == ""
    assert running.wait() in (1, 141)  # rich, which prints tables, says 1
