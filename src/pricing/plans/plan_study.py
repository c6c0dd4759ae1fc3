"""A plan study: from its file and tables to every result, scenarios last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from pricing.data.check import Checked, check_book, write_rejected
from pricing.errors import InputError
from pricing.files import fingerprint, replacing
from pricing.held import alone
from pricing.plans.plan_file import (
    PlanSettings,
    changed,
    plan_of,
    plan_settings,
    read_plan,
    require_files_inside,
)
from pricing.result.shape import Basis, Result
from pricing.result.words import Language
from pricing.study.data_check import DataCheck, data_check, fingerprint_of
from pricing.study.founded import founded
from pricing.study.scenarios import scenario_results
from pricing.study.sections import Strict, Table
from pricing.study.tables import checked_table

__all__ = ["PlanStudy"]

Progress = Callable[[str], None]


def silent(step: str) -> None:
    """Report progress to nobody."""


class PlanStudy:
    """A plan's file with its tables held against their contracts.

    Parameters
    ----------
    path : path
        The plan's file; its table paths are relative to its folder.
    work : path, optional
        Folder for simulated tables; ``reports/books`` where left out.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> PlanStudy(bundled("studies/huoli_members.toml")).title("en")[:5]
    'Huoli'
    """

    def __init__(self, path: str | Path, *, work: str | Path | None = None) -> None:
        self.path = Path(path)
        self.settings: PlanSettings = read_plan(path)
        self.text = self.path.read_text(encoding="utf-8-sig")  # as it was when it was opened
        self.name = self.settings.study.name
        self._work = Path(work) if work else Path("reports") / "books"
        self._stands: dict[str, dict[str, float]] = {}

    @classmethod
    def of(cls, settings: Mapping[str, Any], *, folder: str | Path, work: str | Path) -> PlanStudy:
        """Make a study of what a plan's file would say, its tables below a folder."""
        study = cls.__new__(cls)
        study.path, study.text, study._work = Path(folder) / "plan.toml", "", Path(work)
        require_files_inside(settings, Path(folder))
        study.settings = plan_settings(settings, folder=folder)
        study.name, study._stands = study.settings.study.name, {}
        return study

    def title(self, lang: Language) -> str:
        """Title of the study in a language."""
        return str(getattr(self.settings.study.title, lang))

    def but(self, change: Mapping[str, Any]) -> PlanStudy:
        """Open the study anew with some keys of its file changed."""
        other = PlanStudy(self.path, work=self._work)
        other.settings = self.changed(change)
        return other

    def changed(self, change: Mapping[str, Any] | None) -> PlanSettings:
        """Give the settings with some keys changed; paths in them start from the file's folder."""
        return changed(self.settings, change, folder=self.path.parent) if change else self.settings

    @cached_property
    def files(self) -> dict[str, str]:
        """Fingerprint of each file that the settings name, as it was when it was first asked for."""
        return self.settings.files()

    @cached_property
    def checked(self) -> dict[str, Checked]:
        """Every table, held against its contract and against the others."""
        if self.settings.simulate is not None:
            self._work.mkdir(parents=True, exist_ok=True)
            with alone(self._simulated_at):  # another run does not replace what this one reads
                done = self._simulated_tables()
                return {n: c.settled() for n, c in check_book(done).items()}
        outside, folder = self.settings.study.outside, self.path.parent
        named = self.settings.tables.items()
        done = {n: checked_table(n, t, folder, outside=outside) for n, t in named}
        return {n: c.settled() for n, c in check_book(done).items()}

    def _simulated_tables(self) -> dict[str, Checked]:
        folder, done = self._simulated(), dict[str, Checked]()
        made: dict[str, str] = {}
        for section in self.settings.plans:
            plan = plan_of(section)
            optional = [n for n in getattr(plan, "OPTIONAL", ()) if (folder / section / n).is_dir()]
            self._require_new((*plan.TABLES, *optional), made, section, "simulated tables")
            for name in (*plan.TABLES, *optional):
                more = getattr(plan_of(section), "SIMULATED", {}).get(name, {})
                table = Table(files=f"{name}/*.parquet", **more)
                done[name] = checked_table(name, table, folder / section)
        return done

    @property
    def _simulated_at(self) -> Path:
        wanted = self.settings.simulate
        assert wanted is not None
        return self._work / f"{self.name}-{wanted.members}-{wanted.seed}"

    def _simulated(self) -> Path:
        """Write the tables of every section anew: cheap, and never those of another version."""
        wanted = self.settings.simulate
        assert wanted is not None
        folder = self._simulated_at
        with replacing(folder) as beside:
            for section in self.settings.plans:
                if plan_of(section).TABLES:
                    (beside / section).mkdir(parents=True)
                    plan_of(section).simulate(
                        beside / section, members=wanted.members, seed=wanted.seed
                    )
        return folder

    @property
    def unmatched_claims(self) -> pl.DataFrame:
        """None: what belongs to nothing is set aside by the contracts between tables."""
        return pl.DataFrame()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the file, of those it names and of every accepted row, in the order they were read."""
        named = [f"{name}={held}" for name, held in sorted(self.files.items())]
        return fingerprint_of(self.checked, self.settings.model_dump_json(), *named)

    @cached_property
    def data_fingerprint(self) -> str:
        """Hash of every accepted row alone; empty where a plan reads no table."""
        return fingerprint_of(self.checked) if self.checked else ""

    @property
    def period(self) -> str:
        """Period, as the plan's file says it."""
        return self.settings.study.period

    @property
    def basis(self) -> Basis:
        """What every result of the study rests on."""
        head = self.settings.study
        rows = sum(c.accepted.height for c in self.checked.values())
        return Basis(
            source=self.name,
            period=head.period,
            rows=rows,
            currency=head.currency,
            fingerprint=self.fingerprint,
        )

    @cached_property
    def prepared(self) -> dict[str, Any]:
        """What each plan estimates from its tables, once."""
        empty = [name for name, c in self.checked.items() if c.accepted.is_empty()]
        if empty:
            raise InputError(
                f"no row of {empty} was accepted",
                where=str(self.path),
                do=f"run: pricing check {self.path}",
            )
        tables: Mapping[str, pl.DataFrame] = {n: c.accepted for n, c in self.checked.items()}
        return {
            name: plan_of(name).prepare(section, tables, self.basis)
            for name, section in self.settings.plans.items()
        }

    def headline(self, change: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Give the figures a scenario is judged by, of all plans of the file, with some keys changed."""
        settings = self.changed(change)
        found: dict[str, float] = {}
        by: dict[str, str] = {}
        for section, held in settings.plans.items():
            if held == self.settings.plans[section]:
                own = self._as_it_stands(section)
            else:
                own = _judged(section, held, self.prepared[section])
            self._require_new(own, by, section, "figures a scenario is judged by")
            found |= own
        return found

    def _as_it_stands(self, section: str) -> dict[str, float]:
        """The figures of a section that is as in the file: computed once."""
        if section not in self._stands:
            held = self.settings.plans[section]
            self._stands[section] = _judged(section, held, self.prepared[section])
        return self._stands[section]

    def at_once(self, change: Mapping[str, Any] | None = None) -> dict[str, Result]:
        """Give the few results a page shows at once, with some keys changed; named as in a run."""
        settings = self.changed(change)
        said = json.dumps(dict(change or {}), sort_keys=True, default=str)
        basis = replace(self.basis, fingerprint=fingerprint(self.fingerprint, said))
        found: dict[str, Result] = {}
        for section, held in settings.plans.items():
            plan = plan_of(section)
            if hasattr(plan, "at_once"):
                found |= plan.at_once(held, self.prepared[section], basis)
        return founded(found, basis)

    def _require_new(
        self, names: Iterable[str], by: dict[str, str], section: str, what: str
    ) -> None:
        """Refuse what two sections of the file would give under one name; one would be lost."""
        faults = [f"{n!r} of [{by[n]}] and of [{section}]" for n in names if n in by]
        if faults:
            raise InputError(
                f"{what} stand twice",
                where=str(self.path),
                faults=faults,
                do="give each of these sections a file of its own",
            )
        by |= dict.fromkeys(names, section)

    def run(self, *, progress: Progress = silent) -> dict[str, Result]:
        """Compute every result, from the data check through the plans to the scenarios."""
        results: dict[str, Result] = {}
        if self.checked:
            progress("data")
            results["data_check"] = self.data_check()
        if self.settings.scenarios:
            self.headline()  # what two sections both give is refused before the work
        by: dict[str, str] = {}
        for name, section in self.settings.plans.items():
            progress(name)
            own = plan_of(name).results(section, self.prepared[name], self.basis)
            self._require_new(own, by, name, "results")
            results |= own
        if self.settings.scenarios:
            progress("scenarios")
            tiers = [
                plan_of(name).judged_tier(section)
                for name, section in self.settings.plans.items()
                if hasattr(plan_of(name), "judged_tier")
            ]
            results |= scenario_results(
                self.settings.scenarios, self.headline, self.basis, tier="".join(tiers)
            )
        return founded(results, self.basis)

    def data_check(self) -> DataCheck:
        """Sum up the check of every table."""
        return data_check(self.checked, unmatched=None, cut=None, basis=self.basis)

    def write_rejected(self, folder: str | Path) -> None:
        """Write the rejected rows of every table beside the output, with their reasons."""
        for checked in self.checked.values():
            if not checked.rejected.is_empty() or Path(folder).is_dir():
                write_rejected(checked, folder)


def _judged(section: str, held: Strict, prepared: Any) -> dict[str, float]:
    figures = plan_of(section).headline(held, prepared)
    return {name: float(value) for name, value in figures.items()}
