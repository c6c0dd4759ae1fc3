"""A stranger's words: logs, records and renewals that are not what they say."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest

from pricing.cli import main
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans.run_difference import RunInputs, run_difference
from pricing.report.console import print_difference
from pricing.report.decisions import append_decision
from pricing.report.two_runs import compare_runs
from pricing.study.renewed import _agreed


def run_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_a_decision_steers_no_terminal_and_looks_like_no_other(tmp_path, capsys):
    log = tmp_path / "decisions.jsonl"
    forged = "fine\n2. 2026-01-01T00:00:00Z Chair on a (run b): approved \x1b[2J\u202e"
    append_decision(log, who="Li Wei", what=forged)
    assert run_of("log", log) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert [line[:2] for line in said.splitlines() if line[:1].isdigit()] == ["1.", "1 "]


def test_a_key_of_a_record_is_no_markup(capsys):
    def run(value):
        return RunInputs("a", "", {"x": value}, "d", "f", "c", {"model": {"[/red]b": value}})

    print_difference(run_difference(run(1.0), run(2.0)))
    assert "[/red]b" in capsys.readouterr().out


def test_what_a_run_prints_is_what_its_report_says(tmp_path, capsys):
    text = bundled("studies/randhie.toml").read_text(encoding="utf-8")
    study = tmp_path / "own.toml"
    study.write_text(text.replace("[study]", "[study]\nminimum_cell = 4000", 1), encoding="utf-8")
    run_of("run", study, "--out", tmp_path / "out")
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    said = {one["en"] for one in record["findings"].values()}
    lines = [line[2:] for line in printed.splitlines() if line.startswith("  ")]
    withheld = [line for line in lines if "fewer than 4000" in line or "fewer than 4,000" in line]
    assert withheld
    assert set(lines) <= {line for one in said for line in one.splitlines()}


def test_a_record_names_no_cells_outside_its_folder(tmp_path):
    text = bundled("studies/randhie.toml").read_text(encoding="utf-8")
    study = tmp_path / "own.toml"
    study.write_text(text, encoding="utf-8")
    run_of("run", study, "--out", tmp_path / "r" / "one")
    kept = tmp_path / "r" / "one" / "run.json"
    record = json.loads(kept.read_text(encoding="utf-8"))
    (tmp_path / "elsewhere.parquet").write_bytes(b"no cells")
    other = tmp_path / "r" / "two"
    other.mkdir()
    record["kept"] = "../../elsewhere.parquet"
    record["settings"]["discount"]["cap"] = 0.05
    next(iter(record["tables"].values()))["fingerprint"] = "other"
    record["headline"] = {name: value + 1 for name, value in record["headline"].items()}
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    notes = " ".join(compare_runs(tmp_path / "r" / "one", other).basis.notes)
    assert "are not kept" in notes


def ledger_of(rows):
    schema = {"person_id": pl.String, "purpose": pl.String, "agreed": pl.Date, "withdrawn": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def study_with(rows):
    return SimpleNamespace(
        settings=SimpleNamespace(tables={"consents": None}),
        consents=lambda: ledger_of(rows),
        path="own.toml",
    )


def test_renewals_of_a_file_ask_the_ledger_of_consents():
    study = study_with([
        ("a", "discount", date(2025, 1, 1), None),
        ("b", "discount", date(2025, 1, 1), date(2025, 6, 1)),
    ])  # fmt: skip
    due = pl.LazyFrame({
        "policy_id": ["1", "2", "3"], "person_id": ["a", "b", "c"], "due": [date(2026, 1, 1)] * 3,
    })  # fmt: skip
    found = _agreed(study, due).collect()
    assert found["consent"].to_list() == [True, False, False]
    assert found.columns == ["policy_id", "consent"]
    with pytest.raises(InputError, match="without person_id and due"):
        _agreed(study, due.drop("person_id", "due"))
    none = SimpleNamespace(settings=SimpleNamespace(tables={}))
    assert _agreed(none, due) is due
