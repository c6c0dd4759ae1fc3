"""Arguments nobody would write: exit code 0, 1 or 2, one clear message, nothing outside the folder."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pricing.cli import main, studies

COUNTED: Counter[str] = Counter()
STUDY = """
[study]
name = "made"
title = { en = "A study", zh = "研究" }
source = { en = "made by a test", zh = "测试数据" }
[tables.person_years]
files = "years.csv"
[tables.person_years.factors]
health_group = ["G0", "G1"]
[model]
frequency = "health_group"
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
"""
ODD = st.sampled_from([
    "", " ", ".", "..", "~", "-", "--", "-1", "0", "1", "1e3", "1e12", "1_0", "1e400", "nan", "inf", "0x10",
    "٣", "１２", "9" * 400, "1.5", "NaN GB", "0GB", "4GB", "1e3GB", "\x00", "a\x00b", "\n", "\x1b[31m", "\udcff", "\ud800",
    "健康值", "🙂", "‮txt", "%s%n", "{0}", "$(id)", "`id`", "; rm", "a" * 300, "a/" * 60 + "a", "nobody.toml",
    "study.toml", "broken.toml", "years.csv", "folder", "folder/in.toml", "study.toml/x", "link", "loop", "key",
    "pipe", "out", "report.html", "G0", "en", "fr", "polars", "duckdb", "127.0.0.1", "no.such.host", "65536",
])  # fmt: skip
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/"), max_size=20)
WORD = st.one_of(ODD, TEXT, st.integers().map(str), st.floats().map(str))
OPTIONS = {
    "demo": ("--out", "--all"),
    "check": ("--out", "--memory"),
    "run": ("--out", "--pdf", "--engine", "--memory"),
    "renew": ("--out", "--due", "--memory"),
    "lab": ("--port", "--host", "--out", "--prepare"),
    "simulate": ("--policies", "--seed"),
    "verify": ("--datasets", "--json"),
    "pictures": ("--out", "--lang"),
    "index": (),
    "diff": ("--out", "--data-before", "--data-after"),
    "decide": ("--what", "--who", "--because"),
    "log": ("--known",),
    "pseudonymise": ("--key", "--out", "--drop"),
    "forget": ("--tables", "--out", "--key"),
}
BARE = ("--all", "--pdf", "--prepare", "--json")


@st.composite
def arguments(draw, command):
    """Words of a command, its options with odd values, left out and given twice, in any order."""
    said = [[word] for word in draw(st.lists(WORD, max_size=3))]
    options = draw(st.lists(st.sampled_from([*OPTIONS[command], "--nothing"]), max_size=5))
    said += [[option] if option in BARE else [option, draw(WORD)] for option in options]
    found = [word for words in draw(st.permutations(said)) for word in words]
    return [command, *found] if draw(st.integers(0, 30)) else found


def furnish(folder):
    """What a user's folder holds: a sound study, a broken one, a pipe, links, a key."""
    rows = pl.DataFrame({
        "exposure": [1.0] * 40, "claims": [1, 0, 2, 1] * 10, "health_group": ["G0", "G1"] * 20
    })  # fmt: skip
    rows.write_csv(folder / "years.csv")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (folder / "broken.toml").write_text("[study\n", encoding="utf-8")
    (folder / "folder").mkdir()
    (folder / "folder" / "in.toml").write_text(STUDY, encoding="utf-8")
    (folder / "link").symlink_to(folder / "study.toml")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "key").write_text("ab" * 32)
    (folder / "key").chmod(0o600)
    os.mkfifo(folder / "pipe")


@pytest.fixture
def quick(monkeypatch):
    """The long work of a command is not what its arguments are tried for."""
    import pricing.lab.serve
    import pricing.report.pdf
    import pricing.verify.figures

    monkeypatch.setattr(pricing.lab.serve, "serve", lambda study, *_, **__: study)
    monkeypatch.setattr(pricing.verify.figures, "figures", lambda *_, **__: [])
    monkeypatch.setattr(pricing.report.pdf, "write_pdf", lambda folder, lang: folder / lang)
    held = studies._run
    monkeypatch.setattr(
        studies,
        "_run",
        lambda path, out, **said: path if "bundled" in said else held(path, out, **said),
    )
    monkeypatch.setattr(studies, "DEMO", ())


def tried(words):
    """Run the command in an own folder; exit code, what it said, and whether it reached beyond."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "own"
        folder.mkdir()
        furnish(folder)
        os.chdir(folder)
        said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # as strict as a terminal
        told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
                main(words)
            code = 0
        except SystemExit as ended:
            code = ended.code
        finally:
            os.chdir(before)
            said.flush()
            told.flush()
        texts = (stream.buffer.getvalue().decode() for stream in (said, told))
        return code, *texts, sorted(p.name for p in Path(base).iterdir())


def reaches_out(words):
    """A path that the user himself leads elsewhere, or a long piece of work that he asks for."""
    return any(".." in w or w.startswith(("/", "~")) for w in words) or "--all" in words


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_any_arguments_end_in_one_message(command, quick):
    @settings(
        max_examples=int(os.environ.get("PRICING_FUZZ", "25")),
        deadline=None,
        derandomize="PRICING_FUZZ" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(arguments(command))
    def one(words):
        if reaches_out(words):
            return
        COUNTED["tried"] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code, said, told, beyond = tried(words)
        assert code in (0, 1, 2), (words, code)
        assert "Traceback" not in said + told, words
        assert beyond == ["own"], words
        COUNTED["answered" if code == 0 else "refused"] += 1
        if code == 2:
            assert (said + told).strip(), words

    one()
    if "PRICING_FUZZ" in os.environ:
        print(command, dict(COUNTED))


@pytest.mark.parametrize("policies", ["1e12", "1000000000000", "9" * 30])
def test_a_book_that_fits_no_disk_is_refused_before_a_policy_is_drawn(policies, tmp_path):
    before = Path.cwd()
    os.chdir(tmp_path)
    told = io.StringIO()
    try:
        with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(told):
            main(["simulate", "book", "--policies", policies, "--seed", "1"])
    finally:
        os.chdir(before)
    assert ended.value.code == 2
    assert "GB of disk" in told.getvalue()
    assert not (tmp_path / "book").exists()


@pytest.mark.parametrize("view", ["one_way", "actual_to_expected"])
def test_a_factor_of_very_many_levels_is_refused_before_a_table_of_it_is_drawn(view, tmp_path):
    levels = ", ".join(f'"s{i}"' for i in range(20_000))
    text = STUDY.replace('["G0", "G1"]\n[model]', f'["G0", "G1"]\nhospital = [{levels}]\n[model]')
    path = tmp_path / "study.toml"
    path.write_text(
        text.replace("[discount]", f'{view} = ["hospital"]\n[discount]'), encoding="utf-8"
    )
    told = io.StringIO()
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(told):
        main(["run", str(path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert f"model.{view}: hospital has 20,000 levels" in told.getvalue()
