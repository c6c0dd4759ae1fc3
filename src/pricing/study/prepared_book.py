"""What a page needs of a study's book, made once and kept: the groups' effect, cells with their money."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from pricing.claims.clusters import Rows
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.experience.cells import Experience
from pricing.files import fingerprint, replacing, require_replaceable
from pricing.health.effect import GroupEffect
from pricing.health.price_response import PriceResponse
from pricing.health.schedule import Schedule
from pricing.inputs import json_tree
from pricing.persistency.renewal_model import fit_renewal
from pricing.persistency.renewals import renewal_offers
from pricing.renewal.price import price_renewals
from pricing.renewal.price_trace import PriceTrace, trace_price
from pricing.result.shape import Result
from pricing.study.chain import Study
from pricing.study.regulated import reviewed
from pricing.study.renewed import rules_of
from pricing.study.scheduled import schedule_headline, schedule_of
from pricing.study.sections import Discount, Renewed
from pricing.study.shifted import DiscountShift, discount_shift
from pricing.study.study_book import StudyBook

__all__ = ["PreparedBook", "files_key", "prepare_book", "saved_book"]

VERSION = 1
MARK = "book.json"
CHECKS = ("rate_adjustment_check", "regulatory_loss_ratio", "check:loading", "service_cost_check")


@dataclass(frozen=True)
class PreparedBook:
    """A book as its schedule of discounts needs it; no row goes in it.

    Attributes
    ----------
    effect : GroupEffect
        What the groups' claims say.
    money : Experience
        Cells of the group and the model's factors with standard_premium and amount.
    response : PriceResponse or None
        Who renews at what premium, where the study knows.
    checks : mapping of str to Result
        The regulator's, of the study's rate review; they do not move with the discounts.
    due : polars.LazyFrame or None
        The renewals due, where the study has ``[renewal]``.
    adjustment : float
        Change of the filed rates that they are charged.
    key : str
        Of the files the book was made from; see :func:`files_key`.
    """

    effect: GroupEffect
    money: Experience
    response: PriceResponse | None = None
    checks: Mapping[str, Result] = field(default_factory=dict)
    due: pl.LazyFrame | None = None
    adjustment: float = 0.0
    key: str = ""

    def schedule(self, wanted: Discount) -> Schedule:
        """Design the schedule of a changed ``[discount]``."""
        return schedule_of(wanted, self.effect, self.money)

    def shift(self, wanted: Discount, schedule: Schedule) -> DiscountShift:
        """Hold a schedule's premiums against those of today: the present schedule, else none."""
        now = wanted.present or dict.fromkeys(wanted.order, 0.0)
        return discount_shift(
            self.money, now, schedule.discounts, group=wanted.group, response=self.response
        )

    def headline(self, wanted: Discount) -> dict[str, float]:
        """Give the figures a change is judged by: those of scenarios, and who renews."""
        schedule = self.schedule(wanted)
        found = schedule_headline(schedule)
        facts = self.shift(wanted, schedule).facts
        found["premium_charged"] = float(facts["charged_after"])
        if facts["renewed_share"] is not None:
            found["renewed_share"] = float(facts["renewed_share"])
        return found

    def save(self, folder: str | Path) -> None:
        """Write the book as a folder of JSON and Parquet; a run that is killed leaves no half."""
        require_replaceable(folder, mark=MARK, what="a prepared book")
        told = None
        if self.response is not None:
            told = {"intercept": self.response.intercept, "sensitivity": self.response.sensitivity}
        with replacing(folder) as beside:
            beside.mkdir()
            self.effect.save(beside / "effect")
            self.money.save(beside / "money.parquet")
            for name, check in self.checks.items():
                check.save(beside / "checks" / name.replace(":", "-"))
            if self.due is not None:
                self.due.sink_parquet(beside / "due.parquet")
            head = {
                "version": VERSION,
                "key": self.key,
                "response": told,
                "checks": list(self.checks),
                "adjustment": self.adjustment,
            }
            (beside / MARK).write_text(json.dumps(head, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> PreparedBook:
        """Read back what :meth:`save` wrote."""
        folder = Path(folder)
        try:
            head: dict[str, Any] = json_tree(folder / MARK)
            if head["version"] != VERSION:
                raise ValueError(f"version {head['version']}, this package reads {VERSION}")
            told = head["response"]
            response = None if told is None else PriceResponse(**told)
            key, names = str(head["key"]), [str(name) for name in head["checks"]]
            if any(Path(n).name != n for n in names):
                raise ValueError("a check lies outside the folder")
            adjustment = float(head["adjustment"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"not a prepared book: {error}", where=str(folder), do="prepare it anew"
            ) from error
        effect = Result.load(folder / "effect")
        if not isinstance(effect, GroupEffect):
            raise InputError("the saved effect is of another kind", where=str(folder))
        checks = {n: Result.load(folder / "checks" / n.replace(":", "-")) for n in names}
        money, due = Experience.load(folder / "money.parquet"), folder / "due.parquet"
        rows = pl.scan_parquet(due) if due.is_file() else None
        return cls(effect, money, response, checks, rows, adjustment, key)

    def trace(self, policy_id: str, wanted: Discount, renewed: Renewed) -> PriceTrace:
        """Price one renewal under a changed ``[discount]``, step by step.

        Raises
        ------
        InputError
            For a book without renewals due, and as :func:`pricing.renewal.price_trace.trace_price`.
        """
        if self.due is None:
            raise InputError("no renewals are due in this book", do="give [renewal] and policies")
        given = renewed.model_copy(update={"adjustment": self.adjustment})
        rules = rules_of(given, wanted, {"schedule": self.schedule(wanted)})
        asked = policy_id.strip()
        own = self.due.filter(pl.col("policy_id").cast(pl.String) == asked)
        return trace_price(price_renewals(own, rules), [asked], rules, basis=self.effect.basis)[
            asked
        ]


def prepare_book(
    study: Study, *, progress: Callable[[str], None] = lambda step: None
) -> PreparedBook:
    """Read a study's book once: the frequency with the group, its cells with their money, the answer to price.

    A large simulated book is read in parts (:meth:`pricing.study.study_book.StudyBook.parts`) and its
    cells added, so memory does not grow with it; the rate review and the trace of one policy, which need
    every term at hand, are then left to ``pricing run``.

    Parameters
    ----------
    study : Study
        Of a book with ``[discount]``.
    progress : callable
        Told each step.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> found = prepare_book(study)
    >>> found.schedule(study.settings.discount).discounts["poor"]
    0.0
    """
    s = study.settings
    progress("data")
    keys = list(dict.fromkeys([*variables(s.model.frequency), s.discount.group]))
    parts = study.parts()
    with TemporaryDirectory() as folder:
        seen, offered, rows = _collected(study, parts, keys, Path(folder), progress)
        progress("claims")
        cluster = None if s.model.cluster is None else (rows, s.model.cluster)
        effect, model = study.fitted(seen, cluster)
    money = study.with_money(seen, effect, model)
    progress("persistency")
    response = _response(study, offered)
    if len(parts) > 1:
        return PreparedBook(effect, money, response, key=files_key(study))
    checks: dict[str, Result] = {}
    due, adjustment = None, 0.0
    if s.loss_ratio is not None:
        by_age = study.premium_by_age()
        reviews = reviewed(s, study.rated_book(), by_age=by_age, progress=progress)
        checks = {name: one for name, one in reviews.items() if name in CHECKS}
        if s.renewal is not None and s.renewal.adjustment == "indicated":
            schedule = schedule_of(s.discount, effect, money)
            rules = rules_of(s.renewal, s.discount, {**reviews, "schedule": schedule})
            adjustment = rules.changes[""]
    if s.renewal is not None and s.study.observed is not None:
        if s.renewal.adjustment != "indicated":
            adjustment = float(s.renewal.adjustment)
        due = study.due()
    return PreparedBook(effect, money, response, checks, due, adjustment, files_key(study))


def saved_book(
    study: Study,
    folder: str | Path,
    *,
    progress: Callable[[str], None] = lambda step: None,
) -> PreparedBook:
    """Read the prepared book of a study, or make and keep it where there is none or its files changed.

    Parameters
    ----------
    study : Study
        Its rows are read only where the book must be made.
    folder : path
        Folder of this study's prepared book.
    progress : callable
        Told each step of the making.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> folder = Path(tempfile.mkdtemp()) / "randhie"
    >>> made = saved_book(open_study(bundled("studies/randhie.toml")), folder)
    >>> again = saved_book(open_study(bundled("studies/randhie.toml")), folder)
    >>> again.key == made.key, again.money.cells.equals(made.money.cells)
    (True, True)
    """
    folder = Path(folder)
    served = any(table.database_env for table in study.settings.tables.values())
    if (folder / MARK).is_file() and not served:  # a server does not say when its rows changed
        try:
            kept = PreparedBook.load(folder)
        except InputError:
            kept = None
        if kept is not None and kept.key == files_key(study):
            return kept
    made = prepare_book(study, progress=progress)
    made.save(folder)
    return made


def files_key(study: Study) -> str:
    """Hash what a prepared book rests on without reading a row: the file's sections, sizes and times of files.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> len(files_key(open_study(bundled("studies/randhie.toml"))))
    16
    """
    s = study.settings
    parts = [f"{VERSION}", s.model_dump_json(exclude={"scenarios"})]
    for name, table in s.tables.items():
        for given in (table.files, table.duckdb):
            if given is not None:
                parts += [f"{name}: {said}" for said in _stamps(study.path.parent, given)]
    return fingerprint(*parts)


def _stamps(folder: Path, given: str) -> list[str]:
    whole = Path(given)
    place, pattern = (Path(whole.anchor), str(whole.relative_to(whole.anchor))) if whole.is_absolute() else (folder, given)  # fmt: skip
    found = sorted(place.glob(pattern))
    if len(found) == 1 and found[0].is_dir():
        found = sorted(f for f in found[0].rglob("*") if f.is_file())
    return [f"{f} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in found]


def _collected(
    study: Study,
    parts: Sequence[StudyBook],
    keys: Sequence[str],
    folder: Path,
    progress: Callable[[str], None],
) -> tuple[Experience, Experience | None, Rows]:
    """Cells of the book and of the renewals offered, part by part; rows for errors clustered by person."""
    cluster = study.settings.model.cluster
    if len(parts) == 1:
        whole: Rows = study.person_years.rows if cluster else []
        return study.experience(keys), _offered(study), whole
    seen, offers, kept = [], [], []
    for number, part in enumerate(parts, start=1):
        progress(f"data {number}/{len(parts)}")
        seen.append(part.experience(keys))
        offers.append(_offered(part))
        if cluster is not None:
            path = folder / f"{number:05d}.parquet"
            own = dict.fromkeys([cluster, *keys, "exposure", "claims"])
            part.person_years.rows.select(*own).write_parquet(path)
            kept.append(pl.scan_parquet(path))
        part.__dict__.pop("checked", None)  # its rows are not held while the next are read
        part.__dict__.pop("person_years", None)
    told = [one for one in offers if one is not None]
    return reduce(add, seen), reduce(add, told) if len(told) == len(parts) else None, kept


def _offered(study: StudyBook) -> Experience | None:
    """Renewals offered, by the factors of ``[persistency]`` and the price change; None where none are known."""
    s = study.settings
    if s.persistency is None or s.study.observed is None:
        return None
    tables: Mapping[str, Any] = {n: c.accepted for n, c in study.checked.items()}
    try:
        offers = renewal_offers(
            tables["policies"], tables["renewals"], tables.get("offers"),
            observed=s.study.observed, currency=s.study.currency, source=study.name,
        )  # fmt: skip
        if offers.rows["price_change"].null_count():
            return None
        return offers.cells([*variables(s.persistency.model), "price_change"])
    except InputError:  # the report says why; the page goes on without retention
        return None


def _response(study: Study, offered: Experience | None) -> PriceResponse | None:
    """Who renews at what premium, of the study's own renewals; None where they do not say."""
    persistency = study.settings.persistency
    if persistency is None or offered is None:
        return None
    try:
        slope = float(fit_renewal(offered, f"{persistency.model} + price_change").slope()["slope"])
        kept = offered.basis.claims / offered.basis.exposure
        if slope >= 0:
            return None
        return PriceResponse.elastic(retention=kept, elasticity=slope * (1 - kept))
    except InputError:  # the report says why; the page goes on without retention
        return None
