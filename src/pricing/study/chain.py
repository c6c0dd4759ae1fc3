"""The whole chain of a study: tables → experience → models → discount, one result after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from pricing.claims.challenger import fit_challenger
from pricing.claims.contest import contest
from pricing.claims.models import Frequency, fit_frequency
from pricing.claims.recovery import recover
from pricing.claims.severity import Severity, fit_severity
from pricing.data.book import simulate, true_parameters
from pricing.data.check import Checked, check_book, write_rejected
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.experience.person_years import PersonYears, person_years
from pricing.experience.views import actual_to_expected, one_way
from pricing.files import replacing
from pricing.health.effect import GroupEffect, group_effect, programme_effect
from pricing.result.shape import Basis, Result
from pricing.result.words import Language
from pricing.study.card import card_of
from pricing.study.data_check import DataCheck, data_check, fingerprint_of
from pricing.study.members import member_results
from pricing.study.regulated import reviewed
from pricing.study.renewed import require_due
from pricing.study.scenarios import scenario_results
from pricing.study.scheduled import schedule_headline, schedule_of
from pricing.study.sections import Table
from pricing.study.settings import Settings, changed_settings, read_settings
from pricing.study.tables import checked_table, money_columns, require_banded, same_book
from pricing.study.validate import validate
from pricing.study.year import losses_of_year
from pricing.validation.holdout import hold_out, person_fold

__all__ = ["Study", "open_study"]

Progress = Callable[[str], None]
BOOK_TABLES = ("policies", "renewals", "claims")


def silent(step: str) -> None:
    """Report progress to nobody."""


class Study:
    """A study file with its tables held against their contracts.

    Parameters
    ----------
    path : path
        The study file; its table paths are relative to its folder.
    work : path, optional
        Folder for a simulated book; ``reports/books`` where left out. A book of the same
        parameters and seed is used again.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> seen = study.experience(["health_group"])
    >>> seen.basis.rows, seen.basis.claims
    (20190, 57752.0)
    """

    def __init__(self, path: str | Path, *, work: str | Path | None = None) -> None:
        self.path = Path(path)
        self.settings: Settings = read_settings(path)
        self.name = self.settings.study.name
        self._work = Path(work) if work else Path("reports") / "books"

    def title(self, lang: Language) -> str:
        """Title of the study in a language."""
        return str(getattr(self.settings.study.title, lang))

    def but(self, change: Mapping[str, Any]) -> Study:
        """Open the study anew with some keys of its file changed."""
        other = Study(self.path, work=self._work)
        other.settings = changed_settings(self.settings, change)
        return other

    @cached_property
    def book(self) -> Path | None:
        """Folder of the simulated book, made on first use; None where the tables are real."""
        wanted = self.settings.simulate
        if wanted is None:
            return None
        folder = self._work / f"{self.name}-{wanted.policies}-{wanted.seed}"
        if not same_book(folder, wanted.policies, wanted.seed):
            simulate(folder, policies=wanted.policies, seed=wanted.seed)
        return folder

    @cached_property
    def checked(self) -> dict[str, Checked]:
        """Every table, held against its contract and against the others."""
        if self.book is not None:
            factors = self.settings.simulate.factors if self.settings.simulate else {}
            wanted = {"payments": self.settings.loss_ratio, "offers": self.settings.persistency}
            asked = (*BOOK_TABLES, *(name for name, section in wanted.items() if section))
            tables = {
                name: Table(files=f"{name}/*.parquet", factors=factors.get(name, {}))
                for name in asked
            }
            folder = self.book
        else:
            tables = {str(name): table for name, table in self.settings.tables.items()}
            folder = self.path.parent
        done = {name: checked_table(name, table, folder) for name, table in tables.items()}
        return dict(check_book(done))

    @cached_property
    def person_years(self) -> PersonYears:
        """Accepted rows as person-years, with the study's bands."""
        empty = [name for name, c in self.checked.items() if c.accepted.is_empty()]
        if empty:
            raise InputError(
                f"no row of {empty} was accepted",
                where=str(self.path),
                do=f"run: pricing check {self.path}",
            )
        tables = {name: c.accepted for name, c in self.checked.items()}
        if "person_years" in tables:
            found = PersonYears(tables["person_years"], pl.DataFrame())
        else:
            window = self.settings.study.observed
            found = person_years(*(tables[name] for name in BOOK_TABLES), observed=window)
        rows = found.rows
        if self.book is not None:
            truth = pl.read_parquet(self.book / "truth" / "*.parquet")
            rows = rows.join(truth, on=["policy_id", "policy_year"], how="left")
        bands = {n: band(b.column, b.edges) for n, b in self.settings.bands.items()}
        require_banded(rows, self.settings)
        return replace(found, rows=rows.with_columns(**bands))

    @property
    def period(self) -> str:
        """Observation period: the window as days, or what the study file says."""
        window = self.settings.study.observed
        if window is None:
            return self.settings.study.period
        return f"{window[0]} to {window[1] - timedelta(days=1)}"

    @property
    def unmatched_claims(self) -> pl.DataFrame:
        """Accepted claims of a day that no policy year covers; none where rows do not suffice."""
        if any(c.accepted.is_empty() for c in self.checked.values()):
            return pl.DataFrame()
        return self.person_years.unmatched_claims

    def experience(
        self,
        by: Sequence[str],
        *,
        start: int | None = None,
        end: int | None = None,
        claims: str = "claims",
    ) -> Experience:
        """Collect the study's experience by keys.

        Parameters
        ----------
        by : sequence of str
            Factors, bands and covariates of the study.
        start, end : int, optional
            First and last year to keep, of ``year`` (start of the policy year) or ``period``.
        claims : str
            Column of claim counts.
        """
        rows, year = self.person_years.rows, self.year
        conditions, filters = [pl.lit(True)], []
        for bound, symbol in ((start, ">="), (end, "<=")):
            if bound is None:
                continue
            if not year:
                raise InputError("the person-years carry no year to select by")
            conditions.append(pl.col(year) >= bound if symbol == ">=" else pl.col(year) <= bound)
            filters.append(f"{year} {symbol} {bound}")
        if start is not None and start == end:
            filters = [f"{year} = {start}"]
        unknown = rows[year].null_count() if filters and year else 0
        if unknown:
            raise InputError(
                f"{unknown:,} of {rows.height:,} person-years have no {year!r} to select by",
                where=self.name,
                do="give every row its year, or leave out start and end",
            )
        return self.collect(rows.filter(*conditions), by, claims=claims, filters=filters)

    def collect(
        self,
        rows: pl.DataFrame,
        by: Sequence[str],
        *,
        claims: str = "claims",
        filters: Sequence[str] = (),
    ) -> Experience:
        """Make cells of person-years of the study, with their money and the study's basis."""
        whole = money_columns(rows)
        return Experience.collect(
            rows,
            by,
            claims=claims,
            amount="amount" if "amount" in whole else None,
            sums=[name for name in whole if name != "amount"],
            basis=Basis(
                source=self.name,
                period=self.period,
                filters=tuple(filters),
                currency=self.settings.study.currency,
            ),
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the study file and of every accepted row, in the order they were read."""
        return fingerprint_of(self.checked, self.settings.model_dump_json())

    @property
    def data_fingerprint(self) -> str:
        """Hash of every accepted row alone, whatever the study file asks of them."""
        return fingerprint_of(self.checked)

    @property
    def _basis(self) -> Basis:
        """What the results that name no cells rest on."""
        head = self.settings.study
        return Basis(source=self.name, period=self.period, currency=head.currency,
                     fingerprint=self.fingerprint)  # fmt: skip

    def run(self, *, progress: Progress = silent) -> dict[str, Result]:
        """Compute the whole chain, from the data check to the discount schedule.

        Returns
        -------
        dict of str to Result
            In reading order: data_check, one_way:…, frequency, actual_to_expected:…,
            group_effect, schedule, and where given programme_effect and recovery. Where the study
            file asks for them: severity and product (``[model] severity``), lift, lorenz,
            calibration and murphy on what the models have not seen (``[validation]``),
            pooled_large, mean_excess, tail_fit and aggregate_loss (``[losses]``).
        """
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
        effect, model = group_effect(
            seen,
            s.model.frequency,
            group=s.discount.group,
            order=s.discount.order,
            errors=s.model.errors,
            base=s.model.base,
            cluster=self.cluster(),
        )
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
                self.person_years,
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
            tables = {name: c.accepted for name, c in self.checked.items()}
            results |= reviewed(s, self.person_years, tables, self._basis, progress=progress)
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
                s.scenarios, partial(self._headline, effect, money), self._basis
            )
        if s.causal is not None:
            results["evaluation_card"] = card_of(self, results)
        return results

    def _headline(
        self, effect: GroupEffect, money: Experience, change: Mapping[str, Any]
    ) -> dict[str, float]:
        """The figures of the schedule that some changed keys of ``[discount]`` give."""
        held = changed_settings(self.settings, change) if change else self.settings
        return schedule_headline(schedule_of(held.discount, effect, money))

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
            dealt = self.person_years.rows.with_columns(fold=pl.col(self.year).cast(pl.String))
        else:
            assert name is not None
            dealt = self.person_years.rows.with_columns(person_fold(name, 5))
            train, test = hold_out(self.collect(dealt, [*keys, "fold"]), "fold", ["5"])
        found = validate(
            train.by(*keys),
            test.by(*keys),
            model.details["formula"],
            severity=self.settings.model.severity,
            base=model.details["base"],
        )
        if wanted.challenger:
            cells = self.collect(dealt, [*model.keys, "fold"])
            challenger = fit_challenger(cells, model.keys, folds="fold")
            found["contest"] = contest(cells, challenger, model)
        return found

    @property
    def year(self) -> str:
        """The column that holds the year, the empty name where there is none."""
        rows = self.person_years.rows
        return next((c for c in ("year", "period") if c in rows.columns), "")

    @property
    def years(self) -> list[int]:
        """Years of the rows in order; none where some row has none."""
        rows, name = self.person_years.rows, self.year
        if not name or rows[name].null_count():
            return []
        return [int(y) for y in rows[name].unique().sort()]

    def with_money(self, seen: Experience, effect: GroupEffect, model: Frequency) -> Experience:
        """Take premiums and amounts from the tables, or set them as ``[premium]`` says."""
        lacking = {"amount", "standard_premium"} - set(seen.cells.columns)
        if not lacking:
            return seen
        premium = self.settings.premium
        if premium is None:
            raise InputError(
                f"the tables hold no {sorted(lacking)}",
                where=str(self.path),
                do="add them, or a [premium] section with target_loss_ratio and cost_per_claim",
            )
        group, cost = self.settings.discount.group, premium.cost_per_claim
        # the base is the standard group's credible level: what its discount is measured against
        level = effect.facts["standard_level"] * cost / premium.target_loss_ratio
        charged = model.rate(without=group) * pl.col("exposure") * level
        sums = {"amount": pl.col("claims") * cost, "standard_premium": charged}
        return seen.with_sums(**{n: e for n, e in sums.items() if n in lacking})

    def cluster(self) -> tuple[pl.DataFrame, str] | None:
        """Rows and the column whose levels the errors are clustered by; None where there is none."""
        name = self.settings.model.cluster
        return None if name is None else (self.person_years.rows, name)

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

    def data_check(self) -> DataCheck:
        """Sum up the check of every table."""
        return data_check(
            self.checked,
            unmatched=self.unmatched_claims.height,
            cut=self._cut_terms(),
            basis=self._basis,
        )

    def _cut_terms(self) -> int:
        if any(c.accepted.is_empty() for c in self.checked.values()):
            return 0
        counts = self.person_years.counts
        return sum(counts.get(name, 0) for name in ("cut_at_exit", "cut_at_window"))

    def write_rejected(self, folder: str | Path) -> None:
        """Write the rejected rows of every table beside the output, with their reasons.

        Claims of a day that no policy year covers stand in ``unmatched_claims.csv``.
        """
        for checked in self.checked.values():
            if not checked.rejected.is_empty() or Path(folder).is_dir():
                write_rejected(checked, folder)
        unmatched = self.unmatched_claims
        if not unmatched.is_empty():
            with replacing(Path(folder) / "unmatched_claims.csv") as beside:
                unmatched.write_csv(beside, include_bom=True)


def open_study(path: str | Path, *, work: str | Path | None = None) -> Study:
    """Open a study file; tables are read and held against their contracts on first use.

    See :class:`Study`.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> open_study(bundled("studies/huoli.toml")).name
    'huoli'
    """
    return Study(path, work=work)
