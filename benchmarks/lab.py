"""What is timed of the page: a change of a discount on prepared cells, and opening them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

LEVELS = {
    "health_group": 5,
    "age": 15,
    "sex": 2,
    "region": 5,
    "tier": 3,
    "channel": 3,
    "plan": 4,
}
FORMULA = "age + sex + region + tier + channel + plan"


def _book(size: int, folder: Path) -> tuple[Path, Path]:
    """A book of so many policies, prepared as the page does: its study file, the folder of its cells."""
    from pricing.experience.cells import Experience
    from pricing.health.effect import group_effect
    from pricing.study.chain import open_study
    from pricing.study.prepared_book import PreparedBook, files_key

    rows = folder / "rows"
    study, kept = folder / "big.toml", folder / "kept"
    if (kept / "big").exists():
        return study, kept
    rows.mkdir()
    for chunk, start in enumerate(range(0, size, 1_000_000)):
        n, draw = min(1_000_000, size - start), np.random.default_rng([9, chunk])
        level = {name: draw.integers(0, many, n) for name, many in LEVELS.items()}
        rate = np.exp(-1.5 + 0.05 * level["age"] - 0.06 * level["health_group"])
        claims = draw.poisson(rate)
        pl.DataFrame(
            {
                **{
                    name: pl.Series(codes.astype(str)).cast(pl.Enum(_names(LEVELS[name])))
                    for name, codes in level.items()
                },
                "exposure": np.ones(n),
                "claims": claims,
                "amount": claims * draw.gamma(2.0, 400.0, n),
                "standard_premium": 900.0 * rate / 0.22,
            }
        ).write_parquet(rows / f"part-{chunk:04}.parquet")
    factors = "\n".join(f"{name} = {_names(many)}" for name, many in LEVELS.items())
    discounts = "\n".join(f"{i} = {0.05 * i:.2f}" for i in range(5))
    study.write_text(
        f"""[study]
name = "big"
title = {{ en = "Big", zh = "大" }}
source = {{ en = "simulated", zh = "模拟" }}
[tables.person_years]
files = "rows/*.parquet"
[tables.person_years.factors]
{factors}
[model]
frequency = "{FORMULA}"
errors = "model"
[discount]
order = {_names(5)}
[discount.present]
{discounts}
""",
        encoding="utf-8",
    )
    seen = Experience.collect(
        pl.scan_parquet(rows / "*.parquet"),
        list(LEVELS),
        amount="amount",
        sums=["standard_premium"],
    )
    effect, _ = group_effect(seen, FORMULA, order=_names(5), errors="model")
    PreparedBook(effect, seen, key=files_key(open_study(study))).save(kept / "big")
    return study, kept


def _names(many: int) -> list[str]:
    return [str(i) for i in range(many)]


def lab_change(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A new discount on the page: figures, who pays more and less, checks; a new value each time."""
    from pricing.lab.answers import answer
    from pricing.lab.opened import open_for_turning

    study, kept = _book(size, folder)
    opened = open_for_turning(study, kept=kept)
    cap = iter(np.linspace(0.05, 0.15, 1_000))
    cells = pl.read_parquet(kept / "big" / "money.parquet")

    def ours() -> object:
        found = answer(opened, {"discount.cap": float(next(cap))}, drawn=True)
        assert not found.faults
        return found

    return {"ours": ours, "floor": lambda: _summed(cells)}


def lab_start(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Opening a study from its saved cells to its first figures."""
    from pricing.lab.opened import open_for_turning

    study, kept = _book(size, folder)
    path = kept / "big" / "money.parquet"
    return {
        "ours": lambda: open_for_turning(study, kept=kept).headline({}),
        "floor": lambda: _summed(pl.read_parquet(path)),
    }


def _summed(cells: pl.DataFrame) -> pl.DataFrame:
    sums = pl.col("exposure", "claims", "amount", "standard_premium").sum()
    return cells.group_by("health_group").agg(sums)
