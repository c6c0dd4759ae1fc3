"""What a run will lack where the tables hold no amounts or no standard premiums: said before it starts."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.data.checked import Checked
from pricing.study.settings import Settings

__all__ = ["missing_money"]

LOST = {
    "amount": "severity, large claims and the loss ratio of the claims themselves will be missing",
    "standard_premium": "the discount's cost will rest on premiums set from the model, not on those charged",
}
STOPS = (
    "the run will stop before the discount schedule: map it, or add a section [premium] with "
    "target_loss_ratio and cost_per_claim"
)


def missing_money(settings: Settings, checked: Mapping[str, Checked]) -> tuple[str, ...]:
    """Warn of money that the tables lack, with what the report will then lack; nothing is refused here.

    Parameters
    ----------
    settings : Settings
        The study file.
    checked : mapping of str to Checked
        Its tables.

    Returns
    -------
    tuple of str
        One sentence for each column that is not mapped, or has an empty value in an accepted row.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.data.check import check
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.settings import read_settings
    >>> seen = check(pl.DataFrame({"exposure": [1.0], "claims": [1], "amount": [80.0]}), "person_years")
    >>> found = missing_money(read_settings(bundled("studies/randhie.toml")), {"person_years": seen})
    >>> print(*found)
    person_years: no standard_premium is mapped; the discount's cost will rest on premiums set from the model, not on those charged
    """
    if "person_years" not in checked:
        return ()  # a book's contracts ask for both
    rows, said = checked["person_years"].accepted, []
    for name, lost in LOST.items():
        empty = rows[name].null_count() if name in rows.columns else rows.height
        if not empty:
            continue
        problem = f"no {name} is mapped"
        if empty < rows.height:
            problem = f"{name} is empty in {empty:,} of {rows.height:,} rows, so it is not used"
        said.append(f"person_years: {problem}; {STOPS if settings.premium is None else lost}")
    return tuple(said)
