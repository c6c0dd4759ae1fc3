"""The pages of docs/ are true: what they show runs."""

from pathlib import Path

import polars as pl

from pricing.data.book import simulate

DOCS = Path(__file__).parents[1] / "docs"


def test_the_walk_from_policies_to_studies_runs(tmp_path, monkeypatch, capsys):
    program = (DOCS / "experience.md").read_text(encoding="utf-8").split("```python\n")[1]
    simulate(tmp_path / "book", policies=3_000, seed=1)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(compile(program.split("```")[0], "docs/experience.md", "exec"), found)
    seen, claims = found["seen"], found["claims"]
    assert seen.cells["claims"].sum() + found["placed"].unmatched.height == claims.height
    days = (
        found["cover"]
        .policies.select(
            pl.min_horizontal("cover_end", pl.lit(found["window"].end))
            - pl.max_horizontal("cover_start", pl.lit(found["window"].start))
        )
        .to_series()
    )
    assert seen.cells["days"].sum() == days.dt.total_days().clip(0).sum()
    assert "outside the study" in capsys.readouterr().out


def test_the_walk_from_payments_to_an_indication_runs():
    program = (DOCS / "loss_ratio.md").read_text(encoding="utf-8").split("```python\n")[1]
    found: dict = {}
    exec(compile(program.split("```")[0], "docs/loss_ratio.md", "exec"), found)
    paid = found["payments"].filter(pl.col("paid") <= found["valued"])["amount"].sum()
    assert abs(found["quarters"].latest().sum() - paid) < 0.01
    assert found["found"].table["segment"].to_list()[0] == "whole book"
