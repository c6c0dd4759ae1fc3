"""A study opened for turning: its fields, its figures as it stands, and those of any change."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.lab.fields import Field, fields_of
from pricing.plans.lately import Lately
from pricing.plans.open_file import open_file
from pricing.plans.plan_file import plan_of
from pricing.plans.plan_study import PlanStudy
from pricing.plans.tiers import JUDGED, TiersSection, judged_tier
from pricing.privacy.small_cells import suppressed
from pricing.renewal.price_trace import PriceTrace
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, Language
from pricing.study.chain import Study
from pricing.study.prepared_book import PreparedBook, saved_book
from pricing.study.sections import Scenario
from pricing.study.settings import changed_settings
from pricing.study.toml_file import read_toml

__all__ = [
    "OpenBook",
    "OpenPlan",
    "OpenStudy",
    "heads_of",
    "name_of",
    "open_for_turning",
    "studies_in",
]

Change = Mapping[str, Any]
Progress = Callable[[str], None]


class OpenStudy(ABC):
    """What a page asks of a study of either kind; keys are dotted, as scenarios name them."""

    study: Study | PlanStudy

    @cached_property
    def _figures(self) -> Lately[dict[str, float]]:
        return Lately()

    @cached_property
    def _results(self) -> Lately[dict[str, Result]]:
        return Lately()

    @property
    def name(self) -> str:
        """Short name of the study."""
        return self.study.name

    def title(self, lang: Language) -> str:
        """Title of the study in a language."""
        return self.study.title(lang)

    @property
    def currency(self) -> str:
        """Currency of its amounts."""
        return str(self.study.settings.study.currency)

    @property
    def scenarios(self) -> list[Scenario]:
        """The scenarios of the file itself."""
        return list(self.study.settings.scenarios)

    @property
    @abstractmethod
    def sections(self) -> Mapping[str, BaseModel]:
        """The sections whose keys may be turned."""

    @property
    def present(self) -> Mapping[str, Mapping[str, Any]]:
        """What holds where the file leaves a key out."""
        return {}

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Every field by its key."""
        return {field.key: field for field in fields_of(self.sections, self.present)}

    @abstractmethod
    def held(self, change: Change) -> Any:
        """Hold a change against the contract; refuse it with every fault."""

    def headline(self, change: Change, tier: str = "") -> dict[str, float]:
        """Give the figures a change is judged by, of a tier; asked again, they are at hand."""
        asked = self.spoken(change, tier)
        return dict(self._figures.of(written(asked), lambda: self.judged(asked)))

    def at_once(self, change: Change, tier: str = "") -> dict[str, Result]:
        """Give the few results shown at once, of a tier; asked again, they are at hand."""
        asked = self.spoken(change, tier)
        return dict(self._results.of(written(asked), lambda: self.shown(asked)))

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers whose figures may stand in the headline; none where there are no two."""
        return ()

    @property
    def of_tier(self) -> frozenset[str]:
        """The headline figures that are those of one tier."""
        return frozenset()

    def tier_of(self, change: Change) -> str:
        """The tier of which a field was turned last; that of the file where none was."""
        del change
        return ""

    def spoken(self, change: Change, tier: str) -> Change:
        """Give a change so that its figures are those of a tier."""
        del tier
        return change

    @abstractmethod
    def judged(self, change: Change) -> dict[str, float]:
        """Compute the figures a change is judged by."""

    @abstractmethod
    def shown(self, change: Change) -> dict[str, Result]:
        """Compute the few results shown at once."""

    def trace(self, policy_id: str, change: Change) -> PriceTrace:
        """Price one renewal under a change, step by step."""
        raise InputError(
            f"{self.name} prices no renewals one by one", do="open a study of a book with [renewal]"
        )

    @property
    def together(self) -> Mapping[str, tuple[str, ...]]:
        """Fields that say the same thing twice in the file: who turns one turns the others."""
        return {}

    @property
    def traces(self) -> bool:
        """Whether the price of a policy can be traced; which policies there are is not shown."""
        return False

    @property
    def renews(self) -> bool:
        """Whether a study of this kind can price renewals one by one, if its file asks for it."""
        return False

    def whole(self, change: Change) -> dict[str, Any]:
        """Give a change as a scenario may write it: tables the file does not hold are given as one."""
        found: dict[str, Any] = {}
        for key, value in change.items():
            field = self.fields.get(key)
            if field is None or not field.whole:
                found[key] = value
            else:
                entry = key.removeprefix(f"{field.whole}.")
                found[field.whole] = {**found.get(field.whole, {}), entry: value}
        return found


OFFERED = "take_up.prices."
TIER, COMPARED = "tiers.tier.", "tiers.compared"


class OpenPlan(OpenStudy):
    """A plan file; what it estimates from its tables is estimated once.

    Examples
    --------
    >>> plan = OpenPlan(PlanStudy(bundled("studies/home_care.toml")))
    >>> plan.headline({"care.monthly": 100.0})["outgo_first"] == plan.headline({})["outgo_first"]
    True
    """

    def __init__(self, study: PlanStudy, *, progress: Progress = lambda step: None) -> None:
        self.study: PlanStudy = study
        progress("data")
        self.study.prepared  # noqa: B018  read and estimated now, not at the first change

    @property
    def sections(self) -> Mapping[str, BaseModel]:
        """The plan's own sections."""
        return dict(self.study.settings.plans)

    @property
    def together(self) -> Mapping[str, tuple[str, ...]]:
        """A tier's premium and the price at which ``[take_up]`` offers it."""
        pairs = [
            (f"tiers.tier.{key.removeprefix(OFFERED)}.premium", key)
            for key in self.fields
            if key.startswith(OFFERED)
        ]
        both = [pair for pair in pairs if pair[0] in self.fields]
        return {one: (other,) for a, b in both for one, other in ((a, b), (b, a))}

    @property
    def present(self) -> Mapping[str, Mapping[str, Any]]:
        """What the plan's own rules say where the file leaves a key to them."""
        plans = {name: plan_of(name) for name in self.study.settings.plans}
        return {
            name: plan.present(self.sections[name])
            for name, plan in plans.items()
            if hasattr(plan, "present")
        }

    @cached_property
    def tiers(self) -> tuple[str, ...]:
        """The tiers of ``[tiers]``, as the file orders them."""
        section = self.sections.get("tiers")
        names = [one.name for one in section.tier] if isinstance(section, TiersSection) else []
        return tuple(names) if len(names) > 1 else ()

    @property
    def of_tier(self) -> frozenset[str]:
        """What ``[tiers]`` is judged by; a plan's other figures are those of the plan."""
        return frozenset(JUDGED) if self.tiers else frozenset()

    def tier_of(self, change: Change) -> str:
        """The tier of which a field was turned last; that of the file where none was."""
        section = self.sections.get("tiers")
        if not isinstance(section, TiersSection):
            return ""
        turned = [
            key.removeprefix(TIER).partition(".")[0] for key in change if key.startswith(TIER)
        ]
        own = (name for name in reversed(turned) if name in self.tiers)
        return next(own, judged_tier(section))

    def spoken(self, change: Change, tier: str) -> Change:
        """Give a change so that its figures are those of a tier."""
        if tier not in self.tiers or tier == self.tier_of({}):
            return change
        return {**change, COMPARED: tier}

    def held(self, change: Change) -> Any:
        """Hold a change against the contract."""
        return self.study.changed(self.whole(change))

    def judged(self, change: Change) -> dict[str, float]:
        """Give the figures of every plan of the file."""
        return self.study.headline(self.whole(change))

    def shown(self, change: Change) -> dict[str, Result]:
        """Give the plans' own results that are quick."""
        found = self.study.at_once(self.whole(change))
        return suppressed(found, self.study.settings.study.minimum_cell)


COUNTED = "counted:group_effect"  # no name of a result


class OpenBook(OpenStudy):
    """A study of a book with a health discount; its cells are prepared once and kept.

    Parameters
    ----------
    study : Study
        Its rows are read only where the prepared book must be made.
    folder : path
        Where prepared books are kept, one folder per study.
    progress : callable
        Told each step of the making.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.study.chain import open_study
    >>> book = OpenBook(open_study(bundled("studies/randhie.toml")), Path(tempfile.mkdtemp()))
    >>> book.headline({"discount.cap": 0.05})["highest_discount"]
    0.05
    """

    def __init__(
        self, study: Study, folder: str | Path, *, progress: Progress = lambda step: None
    ) -> None:
        self.study: Study = study
        self.book: PreparedBook = saved_book(study, Path(folder) / study.name, progress=progress)

    @property
    def sections(self) -> Mapping[str, BaseModel]:
        """``[discount]``: what a scenario of a book may change."""
        return {"discount": self.study.settings.discount}

    def held(self, change: Change) -> Any:
        """Hold a change against the contract."""
        return changed_settings(self.study.settings, self.whole(change)) if change else self.study.settings  # fmt: skip

    def judged(self, change: Change) -> dict[str, float]:
        """Give the schedule's figures, the premium charged, and who renews."""
        return self.book.headline(self.held(change).discount)

    def shown(self, change: Change) -> dict[str, Result]:
        """Give the schedule, who pays more and less, and the regulator's checks of the book."""
        wanted = self.held(change).discount
        schedule = self.book.schedule(wanted)
        found = {
            "schedule": schedule,
            "discount_shift": self.book.shift(wanted, schedule),
            **self.book.checks,
        }
        counted = {COUNTED: self.book.effect, **found}  # what the report hides by its counts
        shown = suppressed(counted, self.study.settings.study.minimum_cell)
        return {name: result for name, result in shown.items() if name in found}

    def trace(self, policy_id: str, change: Change) -> PriceTrace:
        """Price one renewal under a change, step by step."""
        renewed = self.study.settings.renewal
        if renewed is None:
            return super().trace(policy_id, change)
        return self.book.trace(policy_id, self.held(change).discount, renewed)

    @property
    def traces(self) -> bool:
        """Whether renewals are due in the book."""
        return self.book.due is not None

    @property
    def renews(self) -> bool:
        """A book can, where its file has ``[renewal]``."""
        return True


def written(change: Change) -> str:
    """Write a change so that the same change is the same text.

    Examples
    --------
    >>> written({"b": 1.0, "a": [2]})
    '{"a": [2], "b": 1.0}'
    """
    return json.dumps(dict(change), sort_keys=True, default=str)


def open_for_turning(
    path: str | Path,
    *,
    kept: str | Path = Path("reports") / "lab",
    work: str | Path | None = None,
    progress: Progress = lambda step: None,
) -> OpenStudy:
    """Open a study file of either kind with all that a change needs in memory.

    Parameters
    ----------
    path : path
        A study file.
    kept : path
        Where the prepared cells of books are kept.
    work : path, optional
        Folder for simulated tables.
    progress : callable
        Told each step.

    Examples
    --------
    >>> open_for_turning(bundled("studies/home_care.toml")).name
    'home_care'
    """
    opened = open_file(path, work=work)
    if isinstance(opened, PlanStudy):
        return OpenPlan(opened, progress=progress)
    return OpenBook(opened, kept, progress=progress)


def studies_in(folder: str | Path | None = None) -> dict[str, Path]:
    """List study files by name: the bundled ones, then those of a folder, which take precedence.

    Examples
    --------
    >>> "anjia" in studies_in()
    True
    """
    bundle = bundled("studies/huoli.toml").parent
    places = [bundle] if folder is None else [bundle, Path(folder)]
    files = [path for place in places for path in sorted(place.glob("*.toml"))]
    return {name_of(path): path for path in files}


def heads_of(path: Path) -> dict[Language, str]:
    """Read the title a study file gives itself in both languages, with its name; only that where it cannot be read.

    Examples
    --------
    >>> heads_of(bundled("studies/anjia.toml"))["zh"]
    '安家守护计划：500 元档与 2,000 元档 · anjia'
    """
    name = name_of(path)
    try:
        title = read_toml(path)["study"]["title"]
        return {lang: f"{title[lang]} · {name}" for lang in LANGUAGES}
    except (InputError, KeyError, TypeError):
        return dict.fromkeys(LANGUAGES, name)


def name_of(path: Path) -> str:
    """Read the name a study file gives itself; that of the file where it cannot be read.

    Examples
    --------
    >>> name_of(bundled("studies/anjia.toml"))
    'anjia'
    """
    try:
        return str(read_toml(path)["study"]["name"])
    except (InputError, KeyError, TypeError):
        return path.stem
