"""The figures that a run is judged by, whichever kind of study it is of."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.errors import InputError
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Result
from pricing.study.chain import Study
from pricing.study.kept import book_figures

__all__ = ["headline_of"]


def headline_of(study: Study | PlanStudy, results: Mapping[str, Result]) -> dict[str, float]:
    """Give the figures a run is held against another by.

    Parameters
    ----------
    study : Study or PlanStudy
        A plan gives the figures its scenarios are judged by; none where two of its sections would
        give one name.
    results : mapping of str to Result
        What its ``run()`` returned; a book's figures are taken from its schedule and indication.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.plans.open_file import open_file
    >>> headline_of(open_file(bundled("studies/randhie.toml")), {})
    {}
    """
    if isinstance(study, Study):
        return book_figures(results)
    try:
        return study.headline()
    except InputError:
        return {}
