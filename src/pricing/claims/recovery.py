"""How close a model came to the truth, where a simulated book knows it."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from pricing.claims.models import Frequency
from pricing.errors import InputError
from pricing.result.figure import interval_figure, with_points
from pricing.result.series import lying
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label

__all__ = ["Recovery", "recover"]


class Recovery(Result):
    """Estimated relativities beside the true ones."""

    kind = "recovery"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw every estimate with its interval, and the truth as diamonds."""
        t = self.table
        places = [
            f"{label(term, lang)}: {level_label(level, lang)}"
            for term, level in t.select("term", "level").iter_rows()
        ]
        figure = interval_figure(
            places,
            t["relativity"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="relativity",
            factor="level",
            lang=lang,
            reference=1.0,
        )
        with_points(figure, places, t["truth"].to_list(), name="truth", lang=lang)
        return lying(figure)


def recover(model: Frequency, truth: Frequency) -> Recovery:
    """Hold a model's relativities against those of the true claim rates.

    Parameters
    ----------
    model : Frequency
        Fitted to the observed claims.
    truth : Frequency
        The same formula fitted to the expected claims that made the book: what the model would
        say with no chance in the claims. The two differ by sampling error only.

    Returns
    -------
    Recovery
        ``.table``: term, level, relativity, lower, upper, truth, inside (the interval holds it).

    Raises
    ------
    InputError
        Where the two models do not have the same coefficients and bases.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m", "m"], "exposure": [1.0] * 4,
    ...                      "claims": [1, 2, 3, 1], "true": [1.5, 1.5, 2.5, 2.5]})
    >>> fits = [fit_frequency(Experience.collect(rows, ["sex"], claims=c), "sex") for c in ("claims", "true")]
    >>> recover(*fits).table.select("level", pl.col("truth").round(6), "inside").rows()
    [('m', 1.666667, True)]
    """
    if model.columns != truth.columns or model.details["base"] != truth.details["base"]:
        raise InputError("the two models do not have the same coefficients and base levels")
    table = model.table.filter(pl.col("role") == "estimate").select(
        "term", "level", "relativity", "lower", "upper"
    )
    known = truth.table.select("term", "level", truth="relativity")
    table = table.join(known, on=["term", "level"], how="left").with_columns(
        inside=pl.col("truth").is_between("lower", "upper")
    )
    gap = (table["relativity"] / table["truth"] - 1).abs()
    facts = {
        "inside": int(table["inside"].sum()),
        "estimates": table.height,
        "level": model.facts["level"],
        "largest": float(gap.max() or 0.0),  # type: ignore[arg-type]
    }
    return Recovery(table=table, basis=model.basis, facts=facts)
