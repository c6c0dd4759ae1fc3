"""Whether the staff there is can carry the users there are: by active users, not by registrations."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label

__all__ = ["BENCHMARKS", "ServiceCapacity", "service_capacity"]

# Consultations a day over in-house staff: Ping An Good Doctor, annual report 2018 (535,000 a day,
# 1,196 staff, AI assisted; the staff are not all doctors).
BENCHMARKS = {"consultations_a_day": 535_000.0, "staff": 1_196.0}
DAYS = 365.0


class ServiceCapacity(Result):
    """Work per doctor at shares of active users, against what doctors can carry."""

    kind = "service_capacity"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the doctors needed against the share of registered users who are active."""
        figure = go.Figure(layout={"template": "pricing"})
        x = self.table["active_share"].to_list()
        figure.add_scatter(
            x=x, y=self.table["doctors_needed"].to_list(), mode="lines+markers",
            name=label("doctors_needed", lang), line={"width": 3, "color": COLOURS["estimate"]},
        )  # fmt: skip
        figure.add_hline(
            y=self.facts["doctors"],
            line={"dash": "dot", "color": COLOURS["line"]},
            annotation_text=level_label("doctors", lang),
        )
        return figure.update_layout(
            xaxis={
                "title": {"text": label("active_share", lang)},
                "tickformat": ".0%",
                "zeroline": False,
            },
            yaxis={"title": {"text": label("doctors_needed", lang)}, "rangemode": "tozero"},
        )


def service_capacity(
    *,
    doctors: float,
    registered: float,
    active_share: float,
    uses_per_active: float,
    per_doctor_day: float,
    days_a_year: float = 250.0,
    source: str = "",
) -> ServiceCapacity:
    """Hold the doctors of a plan against the work its active users bring.

    Parameters
    ----------
    doctors, registered : float
        Full-time doctors and registered users, above zero.
    active_share : float
        Share of registered users who are active in a year, 0 to 1, above 0.
    uses_per_active : float
        Consultations of an active user a year, above zero.
    per_doctor_day : float
        Consultations a doctor carries on a working day, above zero.
    days_a_year : float
        Working days of a doctor, above 0 and at most 366.

    Returns
    -------
    ServiceCapacity
        ``.table`` by active_share: active_users, active_per_doctor, uses_per_doctor_day,
        doctors_needed, utilisation. ``.facts``: registered_per_doctor, active_limit (share of active
        users at which the doctors are full), benchmark (consultations per staff-day printed elsewhere).

    Notes
    -----
    Doctors needed = registered × active share × uses/(per doctor-day × days a year). No waiting is
    in it: :func:`pricing.services.staffing.staff_for` has that.

    Examples
    --------
    >>> found = service_capacity(doctors=400, registered=8_000_000, active_share=0.1,
    ...                          uses_per_active=3.0, per_doctor_day=60.0)
    >>> found.facts["registered_per_doctor"], round(found.facts["doctors_needed"], 6)
    (20000.0, 160.0)
    >>> round(found.facts["benchmark"])
    447
    """
    given = {
        "doctors": doctors, "registered": registered, "active_share": active_share,
        "uses_per_active": uses_per_active, "per_doctor_day": per_doctor_day,
        "days_a_year": days_a_year,
    }  # fmt: skip
    faults = [
        f"{name} must be above zero, got {value!r}"
        for name, value in given.items()
        if not is_number(value) or value <= 0
    ]
    if not faults and active_share > 1:
        faults.append(f"active_share must be at most 1, got {active_share}")
    if not faults and days_a_year > 366:
        faults.append(f"days_a_year must be at most 366, got {days_a_year}")
    if faults:
        raise InputError("a capacity that cannot be computed", faults=faults)
    year = per_doctor_day * days_a_year
    limit = doctors * year / (registered * uses_per_active)
    shares = sorted({0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, float(active_share)})
    table = pl.DataFrame({"active_share": shares}).with_columns(
        active_users=registered * pl.col("active_share")
    ).with_columns(
        active_per_doctor=pl.col("active_users") / doctors,
        uses_per_doctor_day=pl.col("active_users") * uses_per_active / doctors / days_a_year,
        doctors_needed=pl.col("active_users") * uses_per_active / year,
    ).with_columns(utilisation=pl.col("doctors_needed") / doctors)  # fmt: skip
    at = table.row(shares.index(float(active_share)), named=True)
    facts: dict[str, Any] = {
        "doctors": float(doctors),
        "registered": float(registered),
        "registered_per_doctor": registered / doctors,
        "active_share": float(active_share),
        "active_per_doctor": at["active_per_doctor"],
        "uses_per_doctor_day": at["uses_per_doctor_day"],
        "doctors_needed": at["doctors_needed"],
        "utilisation": at["utilisation"],
        "active_limit": min(limit, 1.0),
        "benchmark": BENCHMARKS["consultations_a_day"] / BENCHMARKS["staff"],
    }
    basis = Basis(
        source=source,
        fingerprint=fingerprint(repr(tuple(map(float, given.values())))),
        notes=(
            "benchmark: Ping An Good Doctor 2018, 535,000 consultations a day by 1,196 in-house staff, "
            "AI assisted; uses spread evenly over the year, no waiting",
        ),
    )
    return ServiceCapacity(table=table, basis=basis, facts=facts)
