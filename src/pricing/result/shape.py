"""The frozen result every verb returns: table, figure, finding, basis, save and load."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint, replacing, require_replaceable
from pricing.inputs import json_tree
from pricing.result.html import result_html
from pricing.result.readable import finished
from pricing.result.words import Language, say

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Basis", "Result"]

VERSION = 2  # 2: with a seal
LARGEST = 200_000_000  # bytes of result.json


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a figure rests on, so that it can be argued with and made again.

    Attributes
    ----------
    source : str
        The data: study, table or file.
    period : str
        Observation period, as ISO dates or years.
    filters : tuple of str
        What was kept, in words.
    rows : int
        Rows (person-years or parts of one) behind the result.
    exposure : float
        Policy-years.
    claims : float
        Number of claims.
    currency : str
        Currency of every amount.
    fingerprint : str
        Hash of the data and the settings; the same hash means the same result.
    notes : tuple of str
        Choices and limits a reader must know, such as the kind of standard error.
    """

    source: str = ""
    period: str = ""
    filters: tuple[str, ...] = ()
    rows: int = 0
    exposure: float = 0.0
    claims: float = 0.0
    currency: str = "CNY"
    fingerprint: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """A computed answer that cannot change after it was computed.

    Attributes
    ----------
    table : polars.DataFrame
        Estimate and interval with the exposure behind each row.
    basis : Basis
        Period, filters, rows, exposure, currency, fingerprint.
    facts : mapping
        The figures that the finding names; JSON values.
    frames : mapping of str to polars.DataFrame
        Further tables of the same answer.
    details : mapping
        What is needed to use the result again (coefficients, levels); JSON values.
    drawn_from : Result, optional
        Where small cells are hidden: the rows that are shown, of which figure and finding speak.
    minimum : int
        The fewest persons in a cell that is shown; 0 where nothing is hidden.
    told : bool
        Whether the finding may be said; not where it names a hidden figure.
    """

    table: pl.DataFrame
    basis: Basis = field(default_factory=Basis)
    facts: Mapping[str, Any] = field(default_factory=dict)
    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    drawn_from: Result | None = field(default=None, repr=False, compare=False)
    minimum: int = field(default=0, repr=False, compare=False)
    told: bool = field(default=True, repr=False, compare=False)

    kind: ClassVar[str] = "result"
    kinds: ClassVar[dict[str, type[Result]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Result.kinds[cls.kind] = cls
        if "figure" in vars(cls):  # every figure of the house leaves through one door
            setattr(cls, "figure", finished(_as_shown(vars(cls)["figure"])))  # noqa: B010
        if "finding" in vars(cls):
            setattr(cls, "finding", _as_told(vars(cls)["finding"]))  # noqa: B010

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence a manager can read."""
        if not self.told:
            return say("sentence.cells_withheld", lang, minimum=self.minimum)
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw exactly the table."""
        raise InputError(f"a {self.kind} result has no figure; read its .table")

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the table with names of the user's own (tasks, scenarios) as titles in a language."""
        del lang
        return self.table

    def html(self, lang: Language = "en", *, most: int = 20) -> str:
        """Write finding, table and basis as HTML; a notebook shows it in English by itself."""
        return result_html(self, lang, most=most)

    def _repr_html_(self) -> str:
        return self.html()

    def save(self, path: str | Path) -> None:
        """Write the result as a folder of JSON and Parquet; a run that is killed leaves no half."""
        require_replaceable(path, mark="result.json", what="a saved result")
        with replacing(path) as beside:
            beside.mkdir()
            head: dict[str, Any] = {
                "kind": self.kind,
                "module": type(self).__module__,
                "version": VERSION,
                "basis": asdict(self.basis),
                "facts": dict(self.facts),
                "details": dict(self.details),
                "frames": sorted(self.frames),
            }
            if self.minimum:
                head["hidden"] = {"minimum": self.minimum, "told": self.told}
            self.table.write_parquet(beside / "table.parquet")
            for name, frame in self.frames.items():
                frame.write_parquet(beside / f"{name}.parquet")
            head["seal"] = _seal(head, beside)
            text = json.dumps(head, ensure_ascii=False, indent=1, allow_nan=False)
            (beside / "result.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read back what :meth:`save` wrote, as the class that wrote it."""
        folder = Path(path)
        try:
            head = _head(folder)
            if head["version"] > VERSION:
                raise InputError(
                    f"written by a newer version (format {head['version']}, this reads {VERSION})",
                    where=str(folder),
                    do="update the package",
                )
            if head["version"] > 1 and head["seal"] != _seal(head, folder):
                raise InputError(
                    "not a saved result as it was written: a file of it was changed or damaged",
                    where=str(folder),
                    do="save the result anew",
                )
            if str(head["module"]).startswith("pricing."):
                import_module(head["module"])  # the class registers itself
            kind = Result.kinds[head["kind"]]
            said: dict[str, Any] = head["basis"]
            basis = Basis(**said | {name: tuple(said[name]) for name in ("filters", "notes")})
            facts, details = dict(head["facts"]), dict(head["details"])
            table = pl.read_parquet(folder / "table.parquet")
            frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in head["frames"]}
            hidden: dict[str, Any] = dict(head.get("hidden", {}))
        except (
            AttributeError,
            ImportError,
            OSError,
            KeyError,
            TypeError,
            ValueError,
            pl.exceptions.PolarsError,
        ) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"not a saved result: {error}", where=str(folder), do="save the result anew"
            ) from error
        if not issubclass(kind, cls):
            raise InputError(f"holds a {kind.kind} result, not a {cls.kind}", where=str(folder))
        if hidden:
            seen = {name: _seen(frame) for name, frame in frames.items()}
            hidden["drawn_from"] = kind(
                table=_seen(table), basis=basis, facts=facts, frames=seen, details=details
            )
        return kind(table=table, basis=basis, facts=facts, frames=frames, details=details, **hidden)


def _seen(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a frame that are shown."""
    if "cell_hidden" not in frame.columns:
        return frame
    return frame.filter(pl.col("cell_hidden").is_null()).drop("cell_hidden")


def _as_told(speak: Callable[..., str]) -> Callable[..., str]:
    """Let a finding speak of the rows that are shown, and not of a hidden figure."""

    @wraps(speak)
    def told(self: Result, lang: Language = "en", *more: Any, **named: Any) -> str:
        if not self.told:
            return say("sentence.cells_withheld", lang, minimum=self.minimum)
        if self.drawn_from is None:
            return speak(self, lang, *more, **named)
        try:
            return speak(self.drawn_from, lang, *more, **named)
        except (
            LookupError,
            TypeError,
            ValueError,
            pl.exceptions.PolarsError,
        ):  # of a row not shown
            return say("sentence.cells_withheld", lang, minimum=self.minimum)

    return told


def _as_shown(draw: Callable[..., go.Figure]) -> Callable[..., go.Figure]:
    """Let a figure draw the rows that are shown; of single persons it counts no bar below the least."""

    @wraps(draw)
    def shown(self: Result, lang: Language = "en", *more: Any, **named: Any) -> go.Figure:
        if self.drawn_from is None:
            return draw(self, lang, *more, **named)
        try:
            figure = draw(self.drawn_from, lang, *more, **named)
        except (LookupError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(f"too few cells of this {self.kind} are shown to draw it") from error
        for bar in figure.select_traces({"type": "bar"}):
            counts = list(bar.y) if bar.y is not None else []
            if all(isinstance(n, int) for n in counts):
                bar.y = [None if 0 < n < self.minimum else n for n in counts]
        return figure

    return shown


def _head(folder: Path) -> dict[str, Any]:
    try:
        head = json_tree(folder / "result.json", most=LARGEST)
    except InputError as error:
        raise OSError(error.problem) from error
    plain = isinstance(head, dict) and all(
        isinstance(name, str) and Path(name).name == name for name in head["frames"]
    )
    if not plain:
        raise ValueError("its frames are no names of files beside it")
    return dict(head)


def _seal(head: Mapping[str, Any], folder: Path) -> str:
    """Hash what is said and every table, so that nothing changed by hand or by accident is believed."""
    said = json.dumps({k: v for k, v in head.items() if k != "seal"}, sort_keys=True)
    names = ("table", *sorted(head["frames"]))
    return fingerprint(said, *((folder / f"{name}.parquet").read_bytes() for name in names))
