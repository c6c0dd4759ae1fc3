"""Who calls: activations seen beside the first diagnoses a table expects."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.bands import band
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language
from pricing.services.activation import SCOPE_NOTE, activation_rates
from pricing.services.green_channel import Channel
from pricing.services.service import require_population
from pricing.services.use import ServiceUse, gamma_interval

__all__ = ["ChannelUptake", "channel_uptake"]


class ChannelUptake(Result):
    """Share of those struck who called, by age band, with intervals."""

    kind = "channel_uptake"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the uptake by age band over the first diagnoses expected, with the one assumed."""
        return interval_figure(
            self.table["age_band"].cast(pl.String).to_list(),
            self.table["uptake_seen"].to_list(),
            self.table["uptake_lower"].to_list(),
            self.table["uptake_upper"].to_list(),
            name="uptake_seen",
            factor="age_band",
            lang=lang,
            bars=self.table["expected_struck"].to_list(),
            bars_name="expected_struck",
            reference=self.facts["assumed"],
            percent=True,
        )


def channel_uptake(
    channel: Channel, exposure: pl.DataFrame, seen: ServiceUse, *, service: str
) -> ChannelUptake:
    """Estimate the uptake of a channel from its activations.

    Parameters
    ----------
    channel : Channel
        Its scope, and the uptake assumed.
    exposure : polars.DataFrame
        ``sex``, ``age`` and ``insured``: the insured-years behind the activations.
    seen : ServiceUse
        Activations counted, from :func:`pricing.services.use.service_use`.
    service : str
        Name of the channel there.

    Returns
    -------
    ChannelUptake
        ``.table`` by age_band: expected_struck, uses, uptake_seen with uptake_lower and
        uptake_upper. ``.facts``: the whole, and the uptake assumed.

    Raises
    ------
    InputError
        For a service that was not counted, or exposure at ages without incidence.

    Notes
    -----
    Uptake = activations ÷ Σ exposure × incidence in scope, with the gamma interval of the count.
    The incidence is taken as right: uptake and incidence cannot be told apart from activations, so
    an uptake above 1 says that more were struck than the table and the scope expect.

    Examples
    --------
    >>> table = pl.DataFrame({"service": ["c"], "age_band": ["40-49"], "sex": ["male"],
    ...     "exposure": [1000.0], "uses": [1], "rate_variance": [1e-6]})
    >>> people = pl.DataFrame({"sex": ["male"], "age": [40], "insured": [1000.0]})
    >>> table = table.with_columns(age_band=band(pl.lit(40), [40, 50]))
    >>> from pricing.services.green_channel import ChannelStep
    >>> channel = Channel(steps=[ChannelStep(name="陪诊", share=1, unit_cost=9.0)], uptake=0.4,
    ...                   mild_scope=0.0)
    >>> found = channel_uptake(channel, people, ServiceUse(table=table), service="c")
    >>> round(found.facts["uptake"], 6)  # one activation, 2.299 expected
    0.434972
    """
    if service not in seen.services:
        raise InputError(
            f"activations of {service!r} were not counted{nearest(service, seen.services)}"
        )
    rates = activation_rates(
        severe_scope=channel.severe_scope,
        mild_scope=channel.mild_scope,
        mild_beyond=channel.mild_beyond,
    )
    counted = seen.table.filter(pl.col("service") == service)
    kind = counted["age_band"].dtype
    edges = [int(name.rstrip("+").split("-")[0]) for name in kind.categories.to_list()]  # type: ignore[attr-defined]
    people = require_population(exposure).with_columns(
        struck=rates.rate() * pl.col("insured"), age_band=band("age", edges)
    )
    if lacking := people.filter(pl.col("struck").is_null() | pl.col("age_band").is_null()).height:
        raise InputError(f"{lacking:,} cells of exposure have an age without incidence or band")
    by_band = people.group_by("age_band", maintain_order=True).agg(
        expected_struck=pl.col("struck").sum()
    )
    uses = counted.group_by("age_band", maintain_order=True).agg(
        uses=pl.col("uses").sum(),
        _variance=(pl.col("rate_variance") * pl.col("exposure") ** 2).sum(),
    )
    table = by_band.join(uses, on="age_band", how="inner", maintain_order="left").sort("age_band")
    level = float(seen.facts.get("level", 0.95))
    struck, n, spread = (
        table[name].cast(pl.Float64).to_numpy() for name in ("expected_struck", "uses", "_variance")
    )
    lower, upper = gamma_interval(n / struck, spread / struck**2, 1 / struck, level)
    whole, count, error = float(struck.sum()), float(n.sum()), float(spread.sum())
    ends = gamma_interval(
        np.array([count / whole]), np.array([error / whole**2]), np.array([1 / whole]), level
    )
    facts: dict[str, Any] = {
        "uses": int(count),
        "expected": whole,
        "uptake": count / whole,
        "lower": float(ends[0][0]),
        "upper": float(ends[1][0]),
        "assumed": float(channel.uptake),
        "level": level,
    }
    basis = Basis(
        source=seen.basis.source,
        period=seen.basis.period,
        rows=seen.basis.rows,
        exposure=float(people["insured"].sum()),
        currency=seen.basis.currency,
        fingerprint=fingerprint(
            seen.basis.fingerprint, people.write_json(), channel.plan().fingerprint(), service
        ),
        notes=(SCOPE_NOTE, "the incidence is taken as right; a bad one shows as uptake"),
    )
    table = table.select("age_band", "expected_struck", "uses").with_columns(
        uptake_seen=n / struck, uptake_lower=lower, uptake_upper=upper
    )
    return ChannelUptake(table=table, basis=basis, facts=facts)
