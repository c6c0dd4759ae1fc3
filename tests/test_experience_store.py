"""The store: each source once, shards add to the whole, a kill or a tampered file changes nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.store import ExperienceStore


def experience(seed=0, n=300, **renamed):
    draw = np.random.default_rng(seed)
    rows = pl.DataFrame(
        {
            "tier": draw.choice(["a", "b", "c"], n),
            "sex": draw.choice(["f", "m"], n),
            "exposure": draw.uniform(0.1, 1, n),
            "claims": draw.poisson(0.4, n),
            "days": draw.integers(1, 366, n),
        }
    ).rename(renamed)
    return rows, Experience.collect(rows, [renamed.get("tier", "tier"), "sex"], sums=["days"])


def test_shards_add_to_the_whole(tmp_path):
    store = ExperienceStore(tmp_path / "store")
    parts = [experience(seed) for seed in range(5)]
    for i, (_, part) in enumerate(parts):
        assert store.add(part, source=f"month {i}").rows == 300
    whole = Experience.collect(
        pl.concat([rows for rows, _ in parts]), ["tier", "sex"], sums=["days"]
    )
    total = ExperienceStore(tmp_path / "store").total()
    for name in whole.cells.columns:
        if whole.cells.schema[name].is_integer():
            assert total.cells[name].to_list() == whole.cells[name].to_list()
        elif name not in whole.keys:
            assert total.cells[name].to_list() == pytest.approx(
                whole.cells[name].to_list(), rel=1e-13
            )
    assert total.levels("tier") == ["a", "b", "c"]
    assert store.read("month 3").cells.equals(parts[3][1].cells)


def test_a_source_counts_once(tmp_path):
    store = ExperienceStore(tmp_path)
    store.add(experience(1)[1], source="jan")
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(InputError, match="source 'jan' is in already"):
        store.add(experience(2)[1], source="jan")
    with pytest.raises(InputError, match="the same experience is in already, as 'jan'"):
        store.add(experience(1)[1], source="feb")
    with pytest.raises(InputError, match="only experiences over the same keys"):
        store.add(experience(2, tier="plan")[1], source="feb")
    with pytest.raises(InputError, match="needs a name"):
        store.add(experience(2)[1], source=" ")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert store.sources == ["jan"]


def test_an_empty_store_and_an_unknown_source(tmp_path):
    store = ExperienceStore(tmp_path / "none")
    with pytest.raises(InputError, match="nothing has been added"):
        store.total()
    store.add(experience(1)[1], source="january")
    with pytest.raises(InputError, match="did you mean 'january'"):
        store.read("januari")


def test_a_tampered_or_missing_shard_is_refused(tmp_path):
    store = ExperienceStore(tmp_path)
    shard = store.add(experience(1)[1], source="jan")
    path = tmp_path / shard.file
    good = path.read_bytes()
    path.write_bytes(good[:200] + bytes([good[200] ^ 1]) + good[201:])
    with pytest.raises(InputError, match="not what was added"):
        store.total()
    experience(2)[1].save(path)  # a whole experience, but another
    with pytest.raises(InputError, match="not what was added"):
        store.total()
    path.unlink()
    with pytest.raises(InputError, match="it is gone"):
        store.total()
    path.write_bytes(good)
    assert store.total().basis.rows == 300


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 9, "shards": []}', '{"version": 1, "shards": [1]}']
)
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="not the manifest of a store"):
        _ = ExperienceStore(tmp_path).shards


@pytest.mark.parametrize("place", ["_checksum", "replacing"])
def test_a_kill_in_the_middle_leaves_the_store_whole(tmp_path, place):
    store = ExperienceStore(tmp_path)
    store.add(experience(1)[1], source="jan")
    whole = store.total().cells
    experience(2)[1].save(tmp_path.parent / "feb.parquet")
    code = f"""
        import os, signal
        from pricing.experience import store
        from pricing.experience.cells import Experience
        feb = Experience.load({str(tmp_path.parent / "feb.parquet")!r})
        book = store.ExperienceStore({str(tmp_path)!r})
        real = store._checksum
        def die(*a, **k):
            if {place!r} != "_checksum" or "shard-00001" in str(a[0]):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*a, **k)
        store.{place} = die
        book.add(feb, source="feb")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert store.sources == ["jan"]
    assert store.total().cells.equals(whole)
    assert any("shard-00001" in p.name for p in tmp_path.iterdir())  # written, not counted
    store.add(experience(2)[1], source="feb")
    assert store.sources == ["jan", "feb"]
    assert json.loads((tmp_path / "manifest.json").read_text())["version"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="one process adds there")
def test_writers_at_the_same_time_lose_nothing(tmp_path):
    code = textwrap.dedent(
        """
        import sys, time
        import polars as pl
        from pricing.experience.cells import Experience
        from pricing.experience import store

        save = Experience.save
        Experience.save = lambda *given: (save(*given), time.sleep(0.3))  # a large shard
        kept = store.ExperienceStore(sys.argv[1])
        for i in range(3):
            n = 3 * int(sys.argv[2]) + i
            rows = pl.DataFrame({"tier": ["a"], "exposure": [1.0 + n], "claims": [n]})
            kept.add(Experience.collect(rows, ["tier"]), source=f"month {n}")
        """
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store"), str(i)])
        for i in range(2)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    store = ExperienceStore(tmp_path / "store")
    assert sorted(store.sources) == [f"month {n}" for n in range(6)]
    assert store.total().basis.claims == 15
