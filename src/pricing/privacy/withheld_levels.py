"""A model that leaves without what it says of its hidden levels.

With one factor and the log link the fitted claims of a level are its claims, and the inverse of the square
of its coefficient's error is nearly their number: neither may lie in the file of a model whose page hides them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["withheld_details"]

ERRORS = ("covariance", "bread")  # begin of the names that hold errors


def withheld_details(details: Mapping[str, Any], out: set[tuple[str, str]]) -> dict[str, Any]:
    """Take hidden levels out of a model's details: their coefficients, their names, all covariances.

    Parameters
    ----------
    details : mapping
        Of a fitted model, or of a product of models.
    out : set of tuple of str
        Terms and levels whose rows are hidden.

    Returns
    -------
    dict
        Without a hidden level the details as they were. A model loaded from the others prices every level
        that is shown, and says of a row of a hidden one that it does not know its level.

    Examples
    --------
    >>> column = {"term": "tier", "variables": ["tier"], "levels": ["b"]}
    >>> model = {"columns": [column], "coefficients": [0.3], "levels": {"tier": ["a", "b"]}, "covariance": [[1]]}
    >>> found = withheld_details(model, {("tier", "b")})
    >>> found["coefficients"], found["levels"], "covariance" in found
    ([None], {'tier': ['a']}, False)
    """
    if not out:
        return dict(details)
    if "parts" in details and isinstance(details["parts"], Mapping):
        parts = {
            n: withheld_details(part, out) if isinstance(part, Mapping) else part
            for n, part in details["parts"].items()
        }
        details = {**details, "parts": parts}
    if isinstance(details.get("details"), Mapping):
        details = {**details, "details": withheld_details(details["details"], out)}
    if not {"columns", "coefficients", "levels"} <= set(details):
        return dict(details)
    columns = [(c["term"], " × ".join(map(str, c["levels"]))) for c in details["columns"]]
    own = {pair for pair in out if pair[0] in {term for term, _ in columns}}
    if not own:
        return dict(details)
    gone = {  # an interaction's level goes with its first factor's
        (term.split(":")[0], level.split(" × ")[0]) for term, level in own
    }
    found = {n: v for n, v in details.items() if not n.startswith(ERRORS)}
    found["coefficients"] = [
        None if pair in own else value
        for pair, value in zip(columns, details["coefficients"], strict=True)
    ]
    found["levels"] = {
        factor: [level for level in levels if (factor, str(level)) not in gone]
        for factor, levels in details["levels"].items()
    }
    found["without_inference"] = "levels with few claims or persons are hidden"
    return found
