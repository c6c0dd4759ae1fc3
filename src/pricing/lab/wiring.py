"""What the page does when something is turned: one callback per question, the answers from plain functions."""

from __future__ import annotations

import json
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from pricing.errors import InputError
from pricing.lab.answers import Answer, answer, compare, faults_of
from pricing.lab.blocks import Faces, figures_table, result_block
from pricing.lab.export import as_changed, compared, scenarios_of, study_file
from pricing.lab.fields import Fault, Field
from pricing.lab.opened import OpenStudy, open_for_turning
from pricing.lab.page import (
    empty_page,
    faults_at,
    field_text,
    headline_of,
    notice_of,
    tab_body,
    work_page,
)
from pricing.lab.session import MOST_BYTES, Session, read_session
from pricing.result.words import LANGUAGES, Language, catalogue, say

__all__ = ["Desk", "State", "wire"]


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
    _lock: Lock = field(default_factory=Lock)

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
    """What the browser holds between two calls: the session as text, the language, entries that are wrong."""

    session: Session
    lang: Language
    bad: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Any, desk: Desk) -> tuple[State, OpenStudy]:
        """Read what the browser sent and hold it against the study."""
        said = data if isinstance(data, dict) else {}
        lang: Language = "zh" if said.get("lang") == "zh" else "en"
        opened = desk.study(str(said.get("study", "")))
        session = read_session(str(said.get("session", "")), opened)
        bad = {str(k): str(v)[:80] for k, v in dict(said.get("bad") or {}).items()}
        return cls(session, lang, {k: v for k, v in bad.items() if k in opened.fields}), opened

    def written(self) -> dict[str, Any]:
        """Give it to the browser."""
        return {
            "study": self.session.study,
            "session": self.session.written(),
            "lang": self.lang,
            "bad": dict(self.bad),
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
        except (InputError, ValueError, TypeError):
            pass  # an address somebody cut: what the browser remembers stands
    return work_page(opened, session, lang), State(session, lang)


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
        return State(found, lang, bad), ""
    message = ""
    try:
        if trigger == "undo":
            session = session if bad else session.undone()
        elif trigger == "redo":
            session = session.redone()
        elif trigger == "reset":
            session = session.turned({})
        elif trigger == "keep":
            session = session.keep(title or "")
            message = say("lab.kept", lang, title=session.scenarios[-1].title)
            return State(session, lang, bad), message
        elif trigger["type"] == "load":
            session = session.turned(dict(session.kept(trigger["name"]).change))
        elif trigger["type"] == "drop":
            return State(session.dropped(trigger["name"]), lang, bad), ""
    except InputError as error:
        return state, said_error(error, lang)
    return State(session, lang), message


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
    """Answer a state and say how long it took, in milliseconds; nothing is computed on a bad entry.

    Examples
    --------
    >>> answered.__annotations__["drawn"]
    'bool'
    """
    began = time.perf_counter()
    if state.bad:
        return Answer(answer_nothing(), faults=entered_faults(state, opened)), 0.0
    found = answer(opened, state.session.change, drawn=drawn)
    return found, 1000 * (time.perf_counter() - began)


def answer_nothing() -> Any:
    """An empty table of figures.

    Examples
    --------
    >>> answer_nothing().height
    0
    """
    return compare({}, {})


def wire(app: Any, desk: Desk, faces: Faces) -> None:
    """Connect the page's controls to the functions above.

    Parameters
    ----------
    app : dash.Dash
        With the layout of :func:`pricing.lab.page.frame_of_page`.
    desk : Desk
        The studies.
    faces : Faces
        How the report formats and writes.

    Examples
    --------
    >>> wire.__annotations__["desk"]
    'Desk'
    """
    from dash import ALL, ClientsideFunction, Input, Output, ctx, no_update
    from dash import State as Held
    from dash.exceptions import PreventUpdate

    app.clientside_callback(
        ClientsideFunction("lab", "boot"),
        Output("boot", "data"), Output("study", "value"),
        Input("url", "href"), Input("study", "value"), Input("language", "n_clicks"),
        Held("default", "data"), Held("boot", "data"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("lab", "persist"),
        Output("persisted", "children"),
        Input("state", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("lab", "find"), Output("fields", "className"), Input("find", "value")
    )

    @app.callback(
        Output("work", "children"), Output("state", "data"), Output("title", "children"),
        Output("study-label", "children"), Output("skip", "children"),
        Input("boot", "data"), Held("default", "data"),
    )  # fmt: skip
    def build(boot: Any, default: str) -> Any:
        if not isinstance(boot, dict):
            raise PreventUpdate
        work, state = start(desk, boot, default)
        lang: Language = "zh" if boot.get("lang") == "zh" else "en"
        heads = (say(f"lab.{name}", lang) for name in ("title", "study", "skip"))
        return work, None if state is None else state.written(), *heads

    @app.callback(
        Output("state", "data", allow_duplicate=True),
        Output({"type": "number", "n": ALL}, "value"), Output({"type": "slide", "n": ALL}, "value"),
        Output({"type": "pick", "n": ALL}, "value"), Output({"type": "fault", "n": ALL}, "children"),
        Output({"type": "field", "n": ALL}, "className"), Output("said", "children"),
        Input({"type": "number", "n": ALL}, "value"), Input({"type": "slide", "n": ALL}, "value"),
        Input({"type": "pick", "n": ALL}, "value"), Input("undo", "n_clicks"), Input("redo", "n_clicks"),
        Input("reset", "n_clicks"), Input("keep", "n_clicks"), Input({"type": "load", "name": ALL}, "n_clicks"),
        Input({"type": "drop", "name": ALL}, "n_clicks"), Held("keep-title", "value"), Held("state", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def act(*given: Any) -> Any:
        title, data = given[-2:]
        if data is None or len(ctx.triggered) != 1 or ctx.triggered_id is None:
            raise PreventUpdate  # the fields of a study just opened
        trigger, value = ctx.triggered_id, ctx.triggered[0]["value"]
        button = isinstance(trigger, str) or trigger["type"] in ("load", "drop")
        if button and not value:
            raise PreventUpdate  # just made, not pressed
        state, opened = State.read(data, desk)
        after, message = acted(state, opened, trigger, value, title)
        if after == state and not message:
            raise PreventUpdate
        fields = list(opened.fields.values())
        lists = field_values(fields, state, after, trigger)
        keys = [own.key for own in fields]
        old, new = (
            faults_at(entered_faults(one, opened), keys, after.lang) for one in (state, after)
        )
        faults = [no_update if a == b else b for a, b in zip(old, new, strict=True)]
        was, now = state.session.change, after.session.change
        marks = [
            no_update if (k in was) == (k in now) else "field changed" if k in now else "field"
            for k in keys
        ]
        outputs = ctx.outputs_list
        numbers, slides, picks = (
            [lists[o["id"]["n"]][kind] for o in outputs[place]]
            for place, kind in ((1, "number"), (2, "slide"), (3, "pick"))
        )
        none = no_update
        numbers, slides, picks = (
            [none if v is KEEP else v for v in one] for one in (numbers, slides, picks)
        )
        return after.written(), numbers, slides, picks, faults, marks, message

    @app.callback(
        Output("figures", "children"), Output("notice", "children"), Output("undo", "disabled"),
        Output("redo", "disabled"), Input("state", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def headline(data: Any) -> Any:
        if data is None:
            raise PreventUpdate
        state, opened = State.read(data, desk)
        found, took = answered(state, opened)
        notice = notice_of(found, state.session, state.lang, bad=len(state.bad), milliseconds=took)
        told = [notice, *problems(found, opened, state.lang)]
        session = state.session
        return headline_of(found, state.lang, faces), told, not session.past, not session.future

    @app.callback(
        Output("tab-body", "children"), Input("tab", "value"), Input("state", "data"),
        Held("url", "href"), prevent_initial_call=True,
    )  # fmt: skip
    def tab(name: str, data: Any, href: str) -> Any:
        if data is None:
            raise PreventUpdate
        if name == "trace" and ctx.triggered_id == "state":
            raise PreventUpdate  # what was asked there stays
        state, opened = State.read(data, desk)
        drawn = name in ("now", "who", "checks")
        found = answered(state, opened, drawn=True)[0] if drawn else Answer(answer_nothing())
        link = link_of(href or "", state)
        return tab_body(name, opened, state.session, found, state.lang, faces, link=link)

    @app.callback(
        Output("comparison", "children"), Input("left", "value"), Input("right", "value"),
        Held("state", "data"), Held("left", "options"),
    )  # fmt: skip
    def side_by_side(left: str, right: str, data: Any, options: Any) -> Any:
        state, opened = State.read(data, desk)
        try:
            figures = [opened.headline(change_of(opened, state, side)) for side in (left, right)]
        except InputError as error:
            return str(error)
        named = {o["value"]: o["label"] for o in options}
        heads = (named.get(left, left), named.get(right, right))
        return figures_table(compare(*figures), state.lang, faces, heads=heads)

    @app.callback(
        Output("trace", "children"), Input("trace-go", "n_clicks"), Input("policy", "value"),
        Input("state", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def trace(clicks: int, policy: str, data: Any) -> Any:
        del clicks
        if data is None or not (policy or "").strip():
            raise PreventUpdate
        state, opened = State.read(data, desk)
        try:
            found = opened.trace(policy, state.session.change)
        except InputError as error:
            from dash import html

            return html.P(str(error), role="alert", className="fault")
        return result_block("price_trace", found, state.lang, faces)

    @app.callback(
        Output("download", "data"), Output("exported", "children"),
        Input("save-file", "n_clicks"), Input("export-study", "n_clicks"), Input("export-excel", "n_clicks"),
        Input("export-report", "n_clicks"), Held("state", "data"),
        running=[(Output("export-report", "disabled"), True, False)], prevent_initial_call=True,
    )  # fmt: skip
    def export(*given: Any) -> Any:
        data = given[-1]
        if data is None or not ctx.triggered[0]["value"]:
            raise PreventUpdate
        state, opened = State.read(data, desk)
        try:
            return exported(str(ctx.triggered_id), state, opened, desk, faces, no_update)
        except InputError as error:
            return no_update, said_error(error, state.lang)

    @app.callback(
        Output("boot", "data", allow_duplicate=True), Output("uploaded", "children"),
        Input("open-file", "contents"), Held("state", "data"), Held("boot", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def upload(contents: str | None, data: Any, boot: Any) -> Any:
        if not contents or data is None:
            raise PreventUpdate
        state, opened = State.read(data, desk)
        try:
            session = read_session(uploaded(contents), opened)
        except InputError as error:
            return no_update, said_error(error, state.lang)
        return {**boot, "saved": session.written(), "change": None, "study": opened.name}, ""


KEEP = object()


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


def problems(found: Answer, opened: OpenStudy, lang: Language) -> list[Any]:
    """Faults that stand at no field of their own, said under the figures."""
    from dash import html

    return [
        html.P(fault.said(lang), className="fault")
        for fault in found.faults
        if fault.key not in opened.fields
    ]


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
    results = compared(opened, scenarios_of(opened, session))
    titles = {one: opened.title(one) for one in LANGUAGES}
    if kind == "export-excel":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}_lab.xlsx"
            faces.workbook({**results, **opened.at_once(session.change)}, path, title=titles)
            content = b64encode(path.read_bytes()).decode()
        return {"content": content, "filename": path.name, "base64": True}, ""
    study = as_changed(opened, session.change)
    page = faces.report(study, {**study.run(), **results}, desk.kept / "reports" / name)
    return nothing, say("lab.report_done", lang, path=page)
