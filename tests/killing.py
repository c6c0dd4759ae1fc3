"""Runs a command many times in children that are killed, and says what each kill left behind.

A process of its own: it imports once, uses no polars thread, and forks a child for every run.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.(lock|\d+\.[0-9a-f]{8}(\.old)?)")


def tree(path):
    """What stands under a final name: every file by its bytes."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    return {
        str(f.relative_to(path.parent)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
    }


def seen(path):
    """The same without reading a byte: names, sizes, times and nodes."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    return [(str(f), s.st_size, s.st_mtime_ns, s.st_ino) for f in files for s in [f.stat()]]


def work(job):
    """Do the job in this process: a command of the program, or an update of kept experience."""
    if job["do"] == "command":
        from pricing.cli import main

        main(job["arguments"])
    elif job["do"] == "sleep":
        from pricing.cli import app, main

        app.command(_sleeping, name="sleeping")
        main(["sleeping", job["out"]])
    else:
        import polars as pl

        from pricing.experience.cells import Experience
        from pricing.experience.store import ExperienceStore

        delivered = pl.read_parquet(job["delivered"])
        new = Experience.collect(delivered, ["sex", "health_group"])
        if job["do"] == "update":
            (Experience.load(job["out"]) + new).save(job["out"])
        else:
            ExperienceStore(job["out"]).add(new, source="new")


def _sleeping(out: Path, /) -> None:
    from pricing.files import replacing

    with replacing(out) as beside:
        beside.write_text("half", encoding="utf-8")
        time.sleep(60)


def child(job, *, kill_at=None, watch=None, told=None, most=None):
    """Fork a child, a group of its own, that does the job; at the k-th event it kills itself."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        said = os.open(os.devnull, os.O_WRONLY) if told is None else told
        os.dup2(said, 1)
        os.dup2(said, 2)
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        if kill_at is not None or watch is not None:
            sys.addaudithook(hook(job, kill_at, watch))
        work(job)
        code = 0
    except SystemExit as left:
        code = left.code or 0
    except BaseException as error:
        if type(error).__name__ == "InputError":
            print(error, flush=True)
            os._exit(2)
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


def hook(job, kill_at, watch):
    """Count what touches the disk beside and below the output; look, or kill."""
    out = Path(job["out"])
    near, events, busy = str(out.parent), 0, False
    writing = {
        "open",
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "ctypes.dlsym",
        "os.unlink",
    }
    writing |= {"shutil.rmtree", "os.scandir", "os.listdir"}

    def heard(event, arguments):
        nonlocal events, busy
        if busy or event not in writing:
            return
        if event != "ctypes.dlsym" and not any(near in str(a) for a in arguments[:2]):
            return
        busy = True
        events += 1
        if watch is not None:
            with open(watch, "a", encoding="utf-8") as log:  # noqa: PTH123
                beside = [n for n in os.listdir(near) if n not in (out.name, ".kept")]  # noqa: PTH208
                log.write(json.dumps([seen(out), beside]) + "\n")
        if events == kill_at:
            os.killpg(os.getpid(), signal.SIGKILL)
        busy = False

    return heard


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Place:
    """An output that holds the last good run, and can be put back to it."""

    def __init__(self, job):
        self.job, self.out = job, Path(job["out"])
        self.kept = self.out.parent.parent / "kept"
        self.copy(self.out, self.kept)
        self.old = tree(self.out)

    def copy(self, one, other):
        if one.is_dir():
            shutil.rmtree(other, ignore_errors=True)
            shutil.copytree(one, other)
        else:
            shutil.copy2(one, other)

    def back(self):
        for path in self.out.parent.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.copy(self.kept, self.out)

    def undisturbed(self):
        """Run it to the end, three times: what it makes, how long it takes, when it begins to write."""
        self.lasted = self.wrote = float("inf")
        for _ in range(3 if self.job["how"] == "kills" and self.job["each"] else 1):
            self.back()
            start, wrote = time.monotonic(), None
            pid = child(self.job)
            while (done := os.waitpid(pid, os.WNOHANG))[0] == 0:
                if wrote is None and self.halves():
                    wrote = time.monotonic() - start
                time.sleep(0.001)
            assert os.waitstatus_to_exitcode(done[1]) == 0
            assert not self.halves()
            self.lasted = min(self.lasted, time.monotonic() - start)
            self.wrote = min(self.wrote, wrote or float("inf"))
        self.new, self.wrote = tree(self.out), min(self.wrote, self.lasted)
        self.back()

    def halves(self):
        """Names beside the output; of a store, those in it that start with a dot."""
        whole = (self.out.name, ".kept")
        found = [p for p in os.listdir(self.out.parent) if p not in whole]  # noqa: PTH208
        if self.job["do"] == "store":
            found += [p for p in os.listdir(self.out) if p.startswith(".")]  # noqa: PTH208
        return found

    def left(self):
        """What a kill left: old or new, or else what is wrong."""
        strange = [p for p in self.halves() if not TEMPORARY.fullmatch(p)]
        now = tree(self.out)
        if self.job["do"] == "store":  # a shard without a name in the manifest does not count
            from pricing.experience.store import ExperienceStore

            counted = {
                Path(self.job["out"]).name + "/" + s.file for s in ExperienceStore(self.out).shards
            }
            kept = {n: h for n, h in now.items() if not Path(n).name.startswith(".")}
            now = {n: h for n, h in kept.items() if n in counted or n.endswith("manifest.json")}
        if strange:
            return f"strange names: {strange}"
        return "old" if now == self.old else "new" if now == self.new else f"torn: {sorted(now)}"


def kills(job):
    """Kill at random moments; then, or after each, let the next run end and hold its bytes."""
    place, draw = Place(job), random.Random(job["seed"])
    place.undisturbed()
    found = {"old": 0, "new": 0, "ended": 0, "wrong": [], "with_halves": 0, "next_runs": 0,
             "lasted": place.lasted, "wrote": place.wrote}  # fmt: skip
    for number in range(job["kills"]):
        aimed = number % 2  # every other one while it writes
        share = (number // 2 + draw.random()) / max(1, job["kills"] / 2)
        wait = place.lasted * share
        pid = child(job)
        start = time.monotonic()
        if aimed:
            while (
                not place.halves()
                and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            ):
                time.sleep(0.0005)
            start, wait = time.monotonic(), (place.lasted - place.wrote) * share
        while time.monotonic() < start + wait:
            time.sleep(min(0.001, max(0.0, start + wait - time.monotonic())))
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:  # not a group of its own yet
            os.kill(pid, signal.SIGKILL)
        found["ended"] += ended(pid) != -signal.SIGKILL
        left = place.left()
        found["with_halves"] += bool(place.halves())
        if left in ("old", "new"):
            found[left] += 1
        else:
            found["wrong"].append(left)
        if left != "old":
            place.back()
        if job["each"] or number == job["kills"] - 1:
            again(place, found)
    return found


def again(place, found):
    """Let the next run end: it gives the bytes of an undisturbed one and leaves no halves."""
    code = ended(child(place.job))
    found["next_runs"] += 1
    if code or tree(place.out) != place.new or place.halves():
        found["wrong"].append(f"next run: exit {code}, {place.left()}, beside it {place.halves()}")
    place.back()


def every(job):
    """Look at each touch of the disk, then kill for good at those around the moment of change."""
    place = Place(job)
    place.undisturbed()
    log = place.out.parent.parent / "log"
    assert ended(child(job, watch=str(log))) == 0
    looks = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    end = json.loads(json.dumps(seen(place.out)))
    place_old = looks[0][0]
    store = job["do"] == "store"
    states = ["old" if now == place_old else "new" if now == end else "other" for now, _ in looks]
    strange = [n for _, beside in looks for n in beside if not TEMPORARY.fullmatch(n)]
    place.back()
    found = {"looks": len(looks), "other": 0 if store else states.count("other"),
             "strange": strange, "wrong": [], "old": 0, "new": 0, "next_runs": 0}  # fmt: skip
    turn = states.index("new") if "new" in states else len(states)
    chosen = range(1, len(looks) + 1) if job["all"] else sorted({1, max(1, turn - 1), turn, min(turn + 1, len(looks)), min(turn + 3, len(looks))})  # fmt: skip
    for k in chosen:
        code = ended(child(job, kill_at=k))
        left = place.left()
        late = code == 0 and left == "new" and k > len(looks) - 3  # the run was over a touch sooner
        if not late and (code != -signal.SIGKILL or left not in ("old", "new")):
            found["wrong"].append(f"at {k} of {len(looks)}: exit {code}, {left}")
        else:
            found[left] += 1
        place.back()
    ended(child(job, kill_at=turn))  # its halves are the next run's to remove
    if place.left() == "new":
        place.back()
    again(place, found)
    return found


def full(job):
    """Run where the disk fills up after so many bytes: what was said, and what stands."""
    place = Place(job)
    place.undisturbed()
    found = []
    for room in job["rooms"]:
        ballast = Path(job["disk"]) / "ballast" if job.get("disk") else None
        if ballast is not None:
            free = shutil.disk_usage(job["disk"]).free
            ballast.write_bytes(b"\0" * max(0, free - room))
        hears, says = os.pipe()
        code = ended(child(job, told=says, most=None if ballast else room))
        os.close(says)
        with open(hears, encoding="utf-8") as heard:  # noqa: PTH123
            told = heard.read()
        if ballast is not None:
            ballast.unlink()
        found.append([room, code, told, place.left(), place.halves()])
        place.back()
    return found


def main():
    import pricing.cli  # noqa: F401

    job = json.loads(sys.argv[1])
    os.chdir(job["cwd"])
    for name in job.get("imports", ()):
        __import__(name)
    print(json.dumps({"kills": kills, "every": every, "full": full}[job["how"]](job)))


def run(**job):
    """Run this file as a process of its own and give what it found."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(job, default=str)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
