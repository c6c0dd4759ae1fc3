"""What the page's controls do, as plain functions: open, turn, keep, export; the browser holds the state."""

from __future__ import annotations

import json
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from pricing.errors import InputError
from pricing.lab.answers import Answer, answer, faults_of
from pricing.lab.blocks import Faces
from pricing.lab.export import as_changed, compared, scenarios_of, study_file
from pricing.lab.fields import Fault, Field
from pricing.lab.opened import TIER, OpenStudy, heads_of, open_for_turning
from pricing.lab.page import empty_page, field_text, work_page
from pricing.lab.session import MOST_BYTES, Session, read_session
from pricing.result.words import LANGUAGES, Language, catalogue, say

__all__ = [
    "KEEP",
    "Desk",
    "State",
    "acted",
    "answered",
    "change_of",
    "entered_faults",
    "exported",
    "field_values",
    "link_of",
    "said_error",
    "start",
    "uploaded",
]

KEEP = object()  # what a control shows already
LOOK_BACK = 20  # steps, for figures without a fault


@dataclass
class Desk:
    """The studies of one page, each opened on first use and kept open.

    Attributes
    ----------
    paths : mapping of str to path
        Study files by name.
    kept : path
        Where prepared books and reports are kept.
    work : path or None
        Folder for simulated tables.
    """

    paths: Mapping[str, Path]
    kept: Path
    work: Path | None = None
    _open: dict[str, OpenStudy] = field(default_factory=dict)
    _heads: dict[str, dict[Language, str]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def heads(self, lang: Language) -> list[dict[str, str]]:
        """Name every study by its title, for the list to pick from."""
        for name, path in self.paths.items():
            self._heads.setdefault(name, heads_of(path))
        return [{"label": self._heads[name][lang], "value": name} for name in self.paths]

    def study(self, name: str) -> OpenStudy:
        """Open a study, or give the one that is open."""
        with self._lock:
            if name not in self._open:
                if name not in self.paths:
                    raise InputError(f"no study {name!r} on this page", do="pick one of the list")
                self._open[name] = open_for_turning(
                    self.paths[name], kept=self.kept, work=self.work
                )
            return self._open[name]


@dataclass(frozen=True)
class State:
    """What the browser holds between two calls: the session as text, the language, entries that are wrong.

    ``tier`` is the tier whose figures are shown: the one of which a field was turned last, or the
    one that was picked.
    """

    session: Session
    lang: Language
    bad: Mapping[str, str] = field(default_factory=dict)
    tier: str = ""

    @classmethod
    def read(cls, data: Any, desk: Desk) -> tuple[State, OpenStudy]:
        """Read what the browser sent and hold it against the study."""
        said = data if isinstance(data, dict) else {}
        lang: Language = "zh" if said.get("lang") == "zh" else "en"
        opened = desk.study(str(said.get("study", "")))
        session = read_session(str(said.get("session", "")), opened)
        bad = {str(k): str(v)[:80] for k, v in dict(said.get("bad") or {}).items()}
        tier = said.get("tier")
        tier = tier if tier in opened.tiers else opened.tier_of(session.change)
        return cls(
            session, lang, {k: v for k, v in bad.items() if k in opened.fields}, tier
        ), opened

    def written(self) -> dict[str, Any]:
        """Give it to the browser."""
        return {
            "study": self.session.study,
            "session": self.session.written(),
            "lang": self.lang,
            "bad": dict(self.bad),
            "tier": self.tier,
        }


def said_error(error: InputError, lang: Language) -> str:
    """Say a refusal in a language where the catalogue has it, else as it is.

    Examples
    --------
    >>> said_error(InputError("nothing is changed", where="nothing_to_keep"), "zh")
    '尚未调整，没有可保存的方案。'
    """
    key = f"lab.{error.where}"
    if key not in catalogue():
        return str(error)
    if error.where == "too_many_keys":
        return say(key, lang, title=error.faults[0], count=error.faults[1])
    return say(key, lang, problem=error.problem, faults="; ".join(error.faults))


def start(desk: Desk, boot: Mapping[str, Any], default: str) -> tuple[Any, State | None]:
    """Build the work of a page from what the browser remembers and its address.

    Parameters
    ----------
    desk : Desk
        The studies.
    boot : mapping
        study, lang, saved (a session's text of the browser's own store), change (JSON of the address).
    default : str
        The study to open where the browser names none.

    Returns
    -------
    tuple
        The page's work and the state; None where no study is open.

    Examples
    --------
    >>> start.__annotations__["default"]
    'str'
    """
    lang: Language = "zh" if boot.get("lang") == "zh" else "en"
    name = str(boot.get("study") or default or "")
    if not name:
        return empty_page(lang), None
    try:
        opened = desk.study(name)
    except InputError as error:
        return empty_page(lang, problem=str(error), name=name), None
    session = Session(name)
    if boot.get("saved"):
        try:
            session = read_session(str(boot["saved"]), opened)
        except InputError:  # of an older study file: begin anew
            session = Session(name)
    if boot.get("change"):
        try:
            wanted = json.loads(str(boot["change"])[:MOST_BYTES])
            linked = read_session(Session(name, dict(wanted)).written(), opened)
            session = session.turned(linked.change)
        except (InputError, ValueError, TypeError, RecursionError):
            pass  # an address somebody cut: what the browser remembers stands
    tier = opened.tier_of(session.change)
    return work_page(opened, session, lang, tier=tier), State(session, lang, tier=tier)


def contract_faults(opened: OpenStudy, session: Session) -> tuple[Fault, ...]:
    """Hold a session's change against the contract, quickly, without pricing.

    Examples
    --------
    >>> contract_faults.__annotations__["session"]
    'Session'
    """
    if not session.change:
        return ()
    try:
        opened.held(session.change)
    except InputError as error:
        return faults_of(error, session.change)
    return ()


def acted(
    state: State, opened: OpenStudy, trigger: Any, value: Any, title: str
) -> tuple[State, str]:
    """Do what a control asks.

    Parameters
    ----------
    state, opened
        Now.
    trigger : str or mapping
        The control: its name, or its type with its number or name.
    value : object
        What stands in it.
    title : str
        Name for a scenario to keep.

    Returns
    -------
    tuple
        The new state and a message.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> key = list(opened.fields).index("care.uptake")
    >>> state, _ = acted(State(Session("home_care"), "en"), opened, {"type": "number", "n": key}, "0.4", "")
    >>> state.session.change
    {'care.uptake': 0.4}
    """
    session, bad, lang = state.session, dict(state.bad), state.lang
    if isinstance(trigger, dict) and trigger["type"] in ("number", "slide", "pick"):
        own = list(opened.fields.values())[int(trigger["n"])]
        entered = bool(value) if own.kind == "yes_no" else value
        found = session.set(opened, own.key, entered)
        bad.pop(own.key, None)
        if isinstance(found, Fault):
            bad[own.key] = str(value)
            found = session
        return State(
            found,
            lang,
            bad,
            opened.tier_of({own.key: value}) if own.key.startswith(TIER) else state.tier,
        ), ""
    if trigger == "tier":
        return replace(state, tier=value if value in opened.tiers else state.tier), ""
    message = ""
    try:
        if trigger == "undo":
            session = session if bad else session.undone()
        elif trigger == "redo":
            session = session.redone()
        elif trigger == "reset":
            session = session.turned({})
        elif trigger == "keep":
            names = (say("lab.scenario_numbered", lang, number=n) for n in count(1))
            taken = {one.title for one in session.scenarios}
            session = session.keep(
                (title or "").strip() or next(n for n in names if n not in taken)
            )
            message = say("lab.kept", lang, title=session.scenarios[-1].title)
            return replace(state, session=session), message
        elif trigger["type"] == "load":
            session = session.turned(dict(session.kept(trigger["name"]).change))
        elif trigger["type"] == "drop":
            return replace(state, session=session.dropped(trigger["name"])), ""
    except InputError as error:
        return state, said_error(error, lang)
    before = state.session.change
    apart = {
        key: None
        for key in (*before, *session.change)
        if key.startswith(TIER) and before.get(key) != session.change.get(key)
    }
    return State(session, lang, tier=opened.tier_of(apart) if apart else state.tier), message


def entered_faults(state: State, opened: OpenStudy) -> tuple[Fault, ...]:
    """Give the faults of entries that cannot be values, then those of the contract.

    Examples
    --------
    >>> entered_faults.__annotations__["state"]
    'State'
    """
    own = []
    for key, text in state.bad.items():
        read = Session(state.session.study).set(opened, key, text)
        if isinstance(read, Fault):
            own.append(read)
    return (*own, *contract_faults(opened, state.session))


def answered(state: State, opened: OpenStudy, *, drawn: bool = False) -> tuple[Answer, float]:
    """Answer a state and say how long it took, in milliseconds; a wrong entry leaves the figures before it.

    Examples
    --------
    >>> answered.__annotations__["drawn"]
    'bool'
    """
    began = time.perf_counter()
    session, tier = state.session, state.tier
    found = answer(opened, session.change, drawn=drawn, tier=tier)
    if state.bad or found.faults:
        faults = entered_faults(state, opened) if state.bad else found.faults
        found = replace(before_wrong(found, session, opened, drawn=drawn, tier=tier), faults=faults)
    return found, 1000 * (time.perf_counter() - began)


def before_wrong(
    found: Answer, session: Session, opened: OpenStudy, *, drawn: bool, tier: str
) -> Answer:
    """Give the last answer without a fault: of the change itself, of a step before it, of the file.

    Examples
    --------
    >>> before_wrong.__annotations__["tier"]
    'str'
    """
    earlier = [*session.past[: -LOOK_BACK - 1 : -1], {}]
    while found.faults and earlier:
        found = answer(opened, earlier.pop(0), drawn=drawn, tier=tier)
    return replace(found, stale=True)


def link_of(href: str, state: State) -> str:
    """Write an address that opens what is on the screen.

    Examples
    --------
    >>> link_of("http://127.0.0.1:8050/?study=a#x", State(Session("huoli", {"discount.cap": 0.1}), "zh"))
    'http://127.0.0.1:8050/?study=huoli&lang=zh#c=%7B%22discount.cap%22%3A%200.1%7D'
    """
    base = href.partition("#")[0].partition("?")[0]
    change = quote(json.dumps(state.session.change, ensure_ascii=False), safe="")
    return f"{base}?study={state.session.study}&lang={state.lang}#c={change}"


def field_values(
    fields: list[Field], before: State, after: State, trigger: Any
) -> list[dict[str, Any]]:
    """What each control is to show; those that show it already are left alone, which is quick in the browser.

    Examples
    --------
    >>> cap = Field("discount.cap", "number", 0.2, low=0.01, high=0.99)
    >>> before, after = (State(Session("huoli", change), "en") for change in ({}, {"discount.cap": 0.1}))
    >>> field_values([cap], before, after, "redo")[0]["number"]
    '0.1'
    """
    found = []
    for number, own in enumerate(fields):
        shown: dict[str, Any] = {"number": KEEP, "slide": KEEP, "pick": KEEP}
        value = after.session.change.get(own.key, own.value)
        was = before.session.change.get(own.key, own.value)
        held = isinstance(trigger, dict) and trigger.get("n") == number
        mended = own.key in before.bad and own.key not in after.bad
        if own.key not in after.bad and (held or mended or value != was):
            whole = float(value) if isinstance(value, int | float) else own.low
            shown = {"number": field_text(value), "slide": whole, "pick": value}
            if own.kind == "yes_no":
                shown["pick"] = ["yes"] if value else []
            if held:
                shown[trigger["type"]] = KEEP  # what the user holds is not taken out of the hand
                if trigger["type"] == "number":  # but an emptied field shows the file's value again
                    shown["number"] = field_text(value)
        found.append(shown)
    return found


def change_of(opened: OpenStudy, state: State, side: str) -> dict[str, Any]:
    """Find the change that one side of a comparison names.

    Examples
    --------
    >>> change_of.__annotations__["side"]
    'str'
    """
    kind, _, name = str(side).partition(":")
    if kind == "now":
        return dict(state.session.change)
    if kind == "kept":
        return dict(state.session.kept(name).change)
    if kind == "own":
        own = next((one for one in opened.scenarios if one.name == name), None)
        return {} if own is None else dict(own.change)
    return {}


def uploaded(contents: str) -> bytes:
    """Take the bytes out of an upload, bounded before they are decoded.

    Examples
    --------
    >>> uploaded("data:application/json;base64,e30=")
    b'{}'
    """
    if len(contents) > 2 * MOST_BYTES:
        raise InputError("the file is too large", where="too_large")
    try:
        return b64decode(contents.partition(",")[2], validate=True)
    except ValueError:
        raise InputError("not a readable file", where="not_json") from None


def exported(
    kind: str, state: State, opened: OpenStudy, desk: Desk, faces: Faces, nothing: Any
) -> tuple[Any, str]:
    """Make what leaves the page: a download and a message.

    Examples
    --------
    >>> exported.__annotations__["kind"]
    'str'
    """
    session, lang, name = state.session, state.lang, opened.name
    if kind == "save-file":
        return {"content": session.written(), "filename": f"{name}.lab.json"}, ""
    if kind == "export-study":
        return {"content": study_file(opened, session), "filename": f"{name}_lab.toml"}, ""
    if state.bad:
        raise InputError("a field is wrong", where="has_faults")
    scenarios = scenarios_of(opened, session)
    if kind == "export-excel":  # a workbook knows no titles: a reader finds the name that was given
        scenarios = [one.model_copy(update={"name": one.title}) for one in scenarios]
    results = compared(opened, scenarios, state.tier)
    titles = {one: opened.title(one) for one in LANGUAGES}
    if kind == "export-excel":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}_lab.xlsx"
            faces.workbook(
                {**results, **opened.at_once(session.change, state.tier)}, path, title=titles
            )
            content = b64encode(path.read_bytes()).decode()
        return {"content": content, "filename": path.name, "base64": True}, ""
    study = as_changed(opened, session.change, state.tier)
    page = faces.report(study, {**study.run(), **results}, desk.kept / "reports" / name)
    return nothing, say("lab.report_done", lang, path=page)
