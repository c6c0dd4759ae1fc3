"""Opening a study file of any kind: of a book with a health discount, or of a plan."""

from __future__ import annotations

from pathlib import Path

from pricing.errors import InputError
from pricing.plans.plan_file import PLANS
from pricing.plans.plan_study import PlanStudy
from pricing.study.chain import Study, open_study
from pricing.study.toml_file import read_toml

__all__ = ["open_file"]


def open_file(
    path: str | Path, *, work: str | Path | None = None, engine: str = "polars"
) -> Study | PlanStudy:
    """Open a study file; tables are read and held against their contracts on first use.

    Parameters
    ----------
    path : path
        A TOML file: with a plan's section (``[tiers]``, ``[care]`` …) a plan study, otherwise a
        study of a book.
    work : path, optional
        Folder for simulated tables; ``reports/books`` where left out.

    engine : {"polars", "duckdb", "spark"}
        What makes the cells of a book; a plan's tables are taken by polars alone.

    Raises
    ------
    InputError
        For a missing or broken file, with every fault in it, and for an engine that a plan does
        not take.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> open_file(bundled("studies/huoli.toml")).name
    'huoli'
    """
    if set(read_toml(Path(path))) & set(PLANS):
        if engine != "polars":
            raise InputError(f"a plan is not computed by {engine}", where=str(path),
                             do="leave --engine out")  # fmt: skip
        plan = PlanStudy(path, work=work)
        if plan.settings.study.parts:
            raise InputError("a plan is not read in parts", where=f"{path}, study.parts",
                             do="leave parts out")  # fmt: skip
        return plan
    return open_study(path, work=work, engine=engine)
