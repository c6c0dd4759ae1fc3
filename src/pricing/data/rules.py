"""The rules of the contracts in words, for the one who has to mend the data."""

from __future__ import annotations

from typing import Any

import dataframely as dy

from pricing.data.delivered import TABLES

__all__ = ["RULES", "meaning", "number", "rule_column"]

# Rules over several columns. Their docstrings are their words; the column named first is
# the one a fault is reported at.
RULES: dict[tuple[str, str], str] = {
    (schema.__name__, name): str(member.validation_fn.__doc__).rstrip(".")
    for schema in TABLES.values()
    for name, member in vars(schema).items()
    if hasattr(member, "validation_fn")
}
# Rules between tables (:mod:`pricing.data.between`).
_ACROSS = {
    "policy_id|unknown_policy": "policy_id must be in the policies table",
    "policy_id|rejected_policy": "the policy was rejected, so its rows cannot be priced",
    "incurred|outside_cover": "incurred must lie in the policy's cover, from start to before end",
    "claim_id|unknown_claim": "claim_id must be in the claims table",
    "claim_id|rejected_claim": "the claim was rejected, so its payments cannot be counted",
    "paid|before_incurred": "paid must not be before the claim was incurred",
    "case_id|unknown_case": "case_id must be in the care_cases table",
    "case_id|rejected_case": "the case was rejected, so visits to it cannot be counted",
    "day|before_benefit": "the visit must not be before the benefit of its case began",
    "member_id|unknown_member": "member_id must be in the aid_members table",
    "member_id|rejected_member": "the member was rejected, so the case cannot be helped",
    "start|outside_cover": "the term must start within the policy's cover, from start to before end",
    "start|overlap": "terms of one policy must not overlap; both of an overlapping pair go",
}
_READS: dict[type[dy.Column], str] = {
    dy.Date: "a date of the calendar, written as 2024-02-29, 2024/02/29 or 20240229",
    dy.Float64: "a number with a point for the decimals and no thousands separators",
    dy.Int64: "a whole number",
    dy.Bool: "true or false",
    dy.String: "text",
}


def rule_column(schema: type[dy.Schema], rule: str) -> str:
    """Name the column a rule's faults are reported at.

    Examples
    --------
    >>> from pricing.data.schemas import PersonYears, Policies
    >>> rule_column(Policies, "end_after_start"), rule_column(PersonYears, "exposure|nan")
    ('end', 'exposure')
    """
    if rule == "primary_key":
        return ", ".join(schema.primary_key())
    words = RULES.get((schema.__name__, rule))
    return words.split("`")[1] if words else rule.rsplit("|", 1)[0]


def meaning(schema: type[dy.Schema], rule: str) -> str:
    """Say a rule of a contract in words, for the one who has to mend the data.

    Parameters
    ----------
    schema : type of dataframely.Schema
        From :func:`pricing.data.contracts.contract`.
    rule : str
        A rule's name, as in the faults of a check: ``exposure|min_exclusive``.

    Examples
    --------
    >>> from pricing.data.schemas import PersonYears, Policies
    >>> meaning(PersonYears, "exposure|min_exclusive")
    'exposure must be above 0 policy-years'
    >>> meaning(Policies, "sex|level")
    'sex must be one of: female, male'
    """
    if (words := RULES.get((schema.__name__, rule))) is not None:
        return words.replace("`", "")
    if (across := _ACROSS.get(rule)) is not None:
        return across
    if rule == "primary_key":
        key = " with ".join(schema.primary_key())
        return f"{key} must not repeat; every row of a repeated key is rejected"
    name, what = rule.rsplit("|", 1)
    column = schema.columns()[name]
    if what in ("min", "max", "min_exclusive", "max_exclusive"):
        sense = {"min": "at least", "max": "at most", "min_exclusive": "above"}
        unit = str((column.metadata or {}).get("unit", ""))
        unit = "" if isinstance(column, dy.Date) else unit
        bound = number(getattr(column, what))
        return f"{name} must be {sense.get(what, 'below')} {bound} {unit}".rstrip()
    if what == "level":
        levels = list(getattr(column, "categories", []))
        more = f" and {len(levels) - 12} more" if len(levels) > 12 else ""
        return f"{name} must be one of: {', '.join(levels[:12])}{more}"
    return f"{name} must " + {
        "nullability": "not be empty",
        "nan": "be a number, not NaN",
        "inf": "be finite",
        "type": "be " + _READS.get(type(column), "readable"),
    }.get(what, f"keep the rule {what}")


def number(value: Any) -> str:
    """Write a bound without needless zeros.

    Examples
    --------
    >>> number(1000.0), number("2024-02-29")
    ('1000', '2024-02-29')
    """
    return f"{value:g}" if isinstance(value, int | float) else str(value)
