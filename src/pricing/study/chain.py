"""The whole chain of a study: tables → experience → models → discount, one result after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from threadpoolctl import threadpool_limits

from pricing.claims.challenger import fit_challenger
from pricing.claims.clusters import Rows
from pricing.claims.contest import contest
from pricing.claims.models import Frequency, fit_frequency
from pricing.claims.recovery import recover
from pricing.claims.severity import Severity, fit_severity
from pricing.data.book import true_parameters
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.experience.age_pyramid import age_pyramid
from pricing.experience.cells import Experience
from pricing.experience.views import actual_to_expected, one_way
from pricing.health.effect import GroupEffect, group_effect, programme_effect
from pricing.result.shape import Result
from pricing.study.card import card_of
from pricing.study.kept import money_cells
from pricing.study.members import member_results
from pricing.study.regulated import reviewed
from pricing.study.renewed import require_due
from pricing.study.scenarios import scenario_results
from pricing.study.scheduled import schedule_headline, schedule_of
from pricing.study.settings import changed_settings, read_settings
from pricing.study.study_book import StudyBook, is_large
from pricing.study.validate import validate
from pricing.study.year import losses_of_year
from pricing.validation.holdout import hold_out, person_fold

__all__ = ["Study", "open_study"]

Progress = Callable[[str], None]


def silent(step: str) -> None:
    """Report progress to nobody."""


class Study(StudyBook):
    """A study file with its tables held against their contracts.

    Parameters
    ----------
    path : path
        The study file; its table paths are relative to its folder.
    work : path, optional
        Folder for a simulated book; ``reports/books`` where left out. A book of the same
        parameters and seed is used again.
    engine : {"polars", "duckdb", "spark"}
        What makes person-years and cells of the accepted tables, see ``docs/engines.md``.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> seen = study.experience(["health_group"])
    >>> seen.basis.rows, seen.basis.claims
    (20190, 57752.0)
    """

    def but(self, change: Mapping[str, Any]) -> Study:
        """Open the study anew with some keys of its file changed."""
        other = open_study(self.path, work=self._work, engine=self.engine)
        other.settings = changed_settings(self.settings, change)
        return other

    def run(self, *, progress: Progress = silent) -> dict[str, Result]:
        """Compute the whole chain, from the data check to the discount schedule.

        Returns
        -------
        dict of str to Result
            In reading order: data_check, age_pyramid (where the rows have age bands and two
            sexes), one_way:…, frequency, actual_to_expected:…,
            group_effect, schedule, and where given programme_effect and recovery. Where the study
            file asks for them: severity and product (``[model] severity``), lift, lorenz,
            calibration and murphy on what the models have not seen (``[validation]``),
            pooled_large, mean_excess, tail_fit and aggregate_loss (``[losses]``).
        """
        with threadpool_limits(1):  # one order of every addition, however many cores there are
            return self._chain(progress)

    def _chain(self, progress: Progress) -> dict[str, Result]:
        s = self.settings
        progress("data")
        require_due(self)
        results: dict[str, Result] = {"data_check": self.data_check()}
        factors = list(variables(s.model.frequency))
        cost = list(variables(s.model.severity or ""))
        views = s.model.one_way or [*factors, s.discount.group]
        checks = s.model.actual_to_expected or views
        limits = s.discount.limits
        held = (
            [*limits.fairness, *([limits.service_by] if limits.service_by else [])]
            if limits
            else []
        )
        keys = dict.fromkeys([*factors, *cost, s.discount.group, *views, *checks, *held])
        seen = self.experience(list(keys))
        progress("claims")
        effect, model = self.fitted(seen, self.cluster())
        results |= self._pyramid(seen)
        results |= {f"one_way:{name}": one_way(seen, name) for name in views}
        results["frequency"] = model
        severity = self._severity(seen, model)
        if severity is not None:
            results |= {"severity": severity, "product": model * severity}
        results |= {
            f"actual_to_expected:{name}": actual_to_expected(seen, model.rate(), name)
            for name in checks
        }
        progress("health")
        results["group_effect"] = effect
        money = self.with_money(seen, effect, model)
        schedule = results["schedule"] = schedule_of(s.discount, effect, money)
        if s.validation is not None:
            progress("validation")
            results |= self._validated(list(dict.fromkeys([*model.keys, *cost])), model)
        if s.losses is not None:
            progress("losses")
            premium = s.premium

            def book(year: int | None) -> Experience:
                own = self.experience(list(seen.keys), start=year, end=year)
                return self.with_money(own, effect, model)

            results |= losses_of_year(
                s.losses,
                self.placed_claims,
                self.years,
                seen=seen,
                book=book,
                model=model,
                severity=severity,
                schedule=schedule,
                group=s.discount.group,
                cost=1.0 if premium is None else premium.cost_per_claim,
            )
        if s.loss_ratio is not None:
            by_age = self.premium_by_age()
            results |= reviewed(s, self.rated_book(), by_age=by_age, progress=progress)
        results |= member_results(
            self,
            results,
            money=money,
            model=model,
            severity=severity,
            effect=effect,
            schedule=schedule,
            progress=progress,
        )
        if s.programme_effect is not None:
            progress("programme")
            results["programme_effect"] = self._programme()
        if self.book is not None:
            progress("truth")
            results["recovery"] = recover(model, self._true_model(seen, model))
        if s.scenarios:
            progress("scenarios")
            results |= scenario_results(
                s.scenarios, partial(self._headline, effect, money), self.basis
            )
        if s.causal is not None:
            results["evaluation_card"] = card_of(self, results)
        return results

    @property
    def persons(self) -> Study:
        """The study with the rows of its persons at hand: itself, or a sample of a large book."""
        return self

    def fitted(
        self, seen: Experience, cluster: tuple[Rows, str] | None
    ) -> tuple[GroupEffect, Frequency]:
        """Fit the frequency of ``[model]`` with the health group, and say what the groups' claims are worth."""
        s = self.settings
        return group_effect(
            seen,
            s.model.frequency,
            group=s.discount.group,
            order=s.discount.order,
            errors=s.model.errors,
            base=s.model.base,
            cluster=cluster,
        )

    def _headline(
        self, effect: GroupEffect, money: Experience, change: Mapping[str, Any]
    ) -> dict[str, float]:
        """The figures of the schedule that some changed keys of ``[discount]`` give."""
        held = changed_settings(self.settings, change) if change else self.settings
        return schedule_headline(schedule_of(held.discount, effect, money))

    def _pyramid(self, seen: Experience) -> dict[str, Result]:
        """The exposure by age and sex, where every row has its band of age and one of two sexes."""
        bands = [name for name, b in self.settings.bands.items() if b.column == "age"]
        age = next((n for n in [*bands, "age_band"] if n in self.columns), None)
        if age is None or not self.filled(age, "sex"):
            return {}
        keyed = {age, "sex"} <= set(seen.keys)
        asked = seen if keyed else self.experience([age, "sex"])
        if asked.cells["sex"].n_unique() != 2:
            return {}
        return {"age_pyramid": age_pyramid(asked, age=age)}

    def _severity(self, seen: Experience, model: Frequency) -> Severity | None:
        formula = self.settings.model.severity
        if formula is None:
            return None
        if "amount" not in seen.cells.columns:
            raise InputError(
                "a severity needs claim amounts, and the tables hold none",
                where="model.severity",
                do="map the amounts, or leave model.severity out",
            )
        bases = {**self.settings.model.base, **model.details["base"]}
        return fit_severity(
            seen,
            formula,
            nil="keep",
            base={k: v for k, v in bases.items() if k in variables(formula)},
            errors=self.settings.model.errors,
        )

    def _validated(self, keys: list[str], model: Frequency) -> dict[str, Result]:
        """Judge the models on the last year, or on one person in five, fitted to the rest."""
        wanted, name = self.settings.validation, self.settings.model.cluster
        assert wanted is not None
        if wanted.hold_out == "year":
            years = self.years
            if len(years) < 2:
                raise InputError(
                    f"there is no earlier year to fit to: the rows have {years or 'no year'}",
                    where="validation.hold_out",
                    do='give the rows their year, or hold_out = "person"',
                )
            train, test = (
                self.experience(keys, end=years[-2]),
                self.experience(keys, start=years[-1]),
            )
            fold = pl.col(self.year).cast(pl.String)
        else:
            assert name is not None
            fold = person_fold(name, 5)
            dealt = self.experience([*keys, "fold"], made={"fold": fold})
            train, test = hold_out(dealt, "fold", ["5"])
        found = validate(
            train.by(*keys),
            test.by(*keys),
            model.details["formula"],
            severity=self.settings.model.severity,
            base=model.details["base"],
        )
        if wanted.challenger:
            cells = self.experience([*model.keys, "fold"], made={"fold": fold})
            challenger = fit_challenger(cells, model.keys, folds="fold")
            found["contest"] = contest(cells, challenger, model)
        return found

    def with_money(self, seen: Experience, effect: GroupEffect, model: Frequency) -> Experience:
        """Take premiums and amounts from the tables, or set them as ``[premium]`` says."""
        return money_cells(self.settings, seen, effect, model, where=str(self.path))

    def _programme(self) -> Result:
        wanted = self.settings.programme_effect
        assert wanted is not None
        formulas = [*wanted.ladder.values(), wanted.oracle or ""]
        keys = dict.fromkeys(n for text in formulas for n in variables(text))
        truth = None
        if self.book is not None:
            truth = true_parameters(self.book)["parameters"]["programme_rate_ratio"] - 1
        seen = self.experience([*keys, wanted.indicator])
        return programme_effect(
            seen,
            wanted.indicator,
            wanted.ladder,
            truth=truth,
            oracle=wanted.oracle,
            cluster=self.cluster(),
        )

    def _true_model(self, seen: Experience, model: Frequency) -> Frequency:
        truth = self.experience(seen.keys, claims="expected_claims")
        return fit_frequency(
            truth, model.details["formula"], base=model.details["base"], errors="model"
        )


def open_study(
    path: str | Path, *, work: str | Path | None = None, engine: str = "polars"
) -> Study:
    """Open a study file; tables are read and held against their contracts on first use.

    See :class:`Study`; a book of more than half a million policies is a
    :class:`pricing.study.large_study.LargeStudy`.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> open_study(bundled("studies/huoli.toml")).name
    'huoli'
    """
    from pricing.study.large_study import LargeStudy  # which is a Study

    kind = LargeStudy if is_large(read_settings(path)) else Study
    return kind(path, work=work, engine=engine)
