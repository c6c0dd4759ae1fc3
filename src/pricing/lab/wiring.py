"""The page's controls connected: one callback per question, the answers from plain functions."""

from __future__ import annotations

from typing import Any

from pricing.errors import InputError
from pricing.lab.answers import Answer, compare
from pricing.lab.blocks import Faces, result_block
from pricing.lab.desk import (
    KEEP,
    Desk,
    State,
    acted,
    answered,
    change_of,
    entered_faults,
    exported,
    field_values,
    link_of,
    said_error,
    start,
    uploaded,
)
from pricing.lab.headline import headline_of, notice_of, tier_figures
from pricing.lab.opened import OpenStudy
from pricing.lab.page import faults_at, tab_body
from pricing.lab.session import read_session
from pricing.result.words import Language, say

__all__ = ["wire"]


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
        Output("study-label", "children"), Output("skip", "children"), Output("study", "options"),
        Input("boot", "data"), Held("default", "data"),
    )  # fmt: skip
    def build(boot: Any, default: str) -> Any:
        if not isinstance(boot, dict):
            raise PreventUpdate
        work, state = start(desk, boot, default)
        lang: Language = "zh" if boot.get("lang") == "zh" else "en"
        heads = (say(f"lab.{name}", lang) for name in ("title", "study", "skip"))
        return work, None if state is None else state.written(), *heads, desk.heads(lang)

    @app.callback(
        Output("state", "data", allow_duplicate=True),
        Output({"type": "number", "n": ALL}, "value"), Output({"type": "slide", "n": ALL}, "value"),
        Output({"type": "pick", "n": ALL}, "value"), Output({"type": "fault", "n": ALL}, "children"),
        Output({"type": "field", "n": ALL}, "className"), Output("said", "children"), Output("tier", "value"),
        Input({"type": "number", "n": ALL}, "value"), Input({"type": "slide", "n": ALL}, "value"),
        Input({"type": "pick", "n": ALL}, "value"), Input("undo", "n_clicks"), Input("redo", "n_clicks"),
        Input("reset", "n_clicks"), Input("keep", "n_clicks"), Input({"type": "load", "name": ALL}, "n_clicks"),
        Input({"type": "drop", "name": ALL}, "n_clicks"), Input("tier", "value"),
        Held("keep-title", "value"), Held("state", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def act(*given: Any) -> Any:
        title, data = given[-2:]
        if data is None or len(ctx.triggered) != 1 or ctx.triggered_id is None:
            raise PreventUpdate  # the fields of a study just opened
        trigger, value = ctx.triggered_id, ctx.triggered[0]["value"]
        button = (
            trigger != "tier" if isinstance(trigger, str) else trigger["type"] in ("load", "drop")
        )
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
        lines = [no_update if a == b else b for a, b in zip(old, new, strict=True)]
        was, now = state.session.change, after.session.change
        marks = [
            no_update if (k in was) == (k in now) else "field changed" if k in now else "field"
            for k in keys
        ]
        outputs = ctx.outputs_list
        lines, marks = (
            [one[o["id"]["n"]] for o in outputs[place]] for place, one in ((4, lines), (5, marks))
        )
        numbers, slides, picks = (
            [lists[o["id"]["n"]][kind] for o in outputs[place]]
            for place, kind in ((1, "number"), (2, "slide"), (3, "pick"))
        )
        none = no_update
        numbers, slides, picks = (
            [none if v is KEEP else v for v in one] for one in (numbers, slides, picks)
        )
        tier = none if after.tier == state.tier or trigger == "tier" else after.tier
        return after.written(), numbers, slides, picks, lines, marks, message, tier

    @app.callback(
        Output("figures", "children"), Output("notice", "children"), Output("undo", "disabled"),
        Output("redo", "disabled"), Output("reset", "disabled"), Input("state", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def headline(data: Any) -> Any:
        if data is None:
            raise PreventUpdate
        state, opened = State.read(data, desk)
        found, took = answered(state, opened)
        notice = notice_of(found, state.session, state.lang, bad=len(state.bad), milliseconds=took)
        told = [notice, *problems(found, opened, state.lang)]
        session = state.session
        figures = headline_of(
            found, opened, state.lang, faces, tier=state.tier, change=session.change
        )
        return figures, told, not session.past, not session.future, not session.change

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
        found = answered(state, opened, drawn=True)[0] if drawn else Answer(compare({}, {}))
        link = link_of(href or "", state)
        return tab_body(name, opened, state.session, found, state.lang, faces, link=link)

    @app.callback(
        Output("comparison", "children"), Input("left", "value"), Input("right", "value"),
        Held("state", "data"), Held("left", "options"),
    )  # fmt: skip
    def side_by_side(left: str, right: str, data: Any, options: Any) -> Any:
        state, opened = State.read(data, desk)
        try:
            sides = [change_of(opened, state, side) for side in (left, right)]
            figures = [opened.headline(change, state.tier) for change in sides]
        except InputError as error:
            return str(error)
        named = {o["value"]: o["label"] for o in options}
        heads = (named.get(left, left), named.get(right, right))
        return tier_figures(
            compare(*figures), opened, state.lang, faces, tier=state.tier, heads=heads
        )

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


def problems(found: Answer, opened: OpenStudy, lang: Language) -> list[Any]:
    """Faults that stand at no field of their own, said under the figures."""
    from dash import html

    return [
        html.P(fault.said(lang), className="fault")
        for fault in found.faults
        if fault.key not in opened.fields
    ]
