"""The page's parts: head, fields, tabs. Everything it says is in the catalogue, in both languages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pricing.lab.answers import Answer
from pricing.lab.blocks import Faces, placed, result_block
from pricing.lab.fields import Fault, Field
from pricing.lab.headline import still_said, take_up_still
from pricing.lab.labels import choice_label, entry_label, field_label, group_label
from pricing.lab.opened import OpenStudy
from pricing.lab.session import Session
from pricing.lab.units import domain_said, standing
from pricing.result.words import Language, level_label, say

__all__ = [
    "TABS",
    "empty_page",
    "field_text",
    "frame_of_page",
    "tab_body",
    "tabs_of",
    "work_page",
]

FIRST = ("tier", "levels", "benefit")  # lists whose entries stand before the rest of a plan
TABS = ("now", "who", "checks", "scenarios", "trace", "share")


def frame_of_page(names: Mapping[str, str], default: str) -> Any:
    """Lay out what never changes: stores, the head with the choice of study, the place of the work.

    Examples
    --------
    >>> list(frame_of_page.__annotations__)
    ['names', 'default', 'return']
    """
    from dash import dcc, html

    options = [{"label": shown, "value": name} for name, shown in names.items()]
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="boot"),
            dcc.Store(id="state"),
            dcc.Store(id="default", data=default),
            dcc.Download(id="download"),
            html.Div(id="persisted", hidden=True),
            html.A("↓", href="#answer", className="skip", id="skip"),
            html.Header(
                [
                    html.H1(id="title"),
                    html.Div(
                        [
                            html.Label(id="study-label", htmlFor="study"),
                            dcc.Dropdown(
                                id="study", options=options, clearable=False, className="study"
                            ),
                            html.Button("中文 / English", id="language", n_clicks=0, lang="zh"),
                        ],
                        className="head-tools",
                    ),
                ]
            ),
            dcc.Loading(
                html.Main(id="work"),
                delay_show=400,
                type="dot",
                target_components={"work": "children"},
            ),
        ],
        id="page",
    )


def empty_page(lang: Language, *, problem: str = "", name: str = "") -> Any:
    """Say what to do where no study is open, or why one cannot be opened.

    Examples
    --------
    >>> list(empty_page.__annotations__)[:2]
    ['lang', 'problem']
    """
    from dash import html

    if problem:
        return html.Section(
            [
                html.H2(f"{say('lab.not_opened', lang)}: {name}"),
                html.Pre(problem, role="alert", className="problem"),
            ],
            className="empty",
        )
    return html.Section(
        [
            html.H2(say("lab.empty_title", lang)),
            html.P(say("lab.empty", lang)),
            html.P(say("lab.empty_bundled", lang)),
        ],
        className="empty",
    )


def work_page(opened: OpenStudy, session: Session, lang: Language, *, tier: str = "") -> Any:
    """Lay out a study: its fields on the left, the answer on the right.

    Examples
    --------
    >>> list(work_page.__annotations__)[:2]
    ['opened', 'session']
    """
    from dash import dcc, html

    fields = list(opened.fields.values())
    tabs = [{"label": say(f"lab.tab_{name}", lang), "value": name} for name in tabs_of(opened)]
    tiers = [{"label": level_label(name, lang), "value": name} for name in opened.tiers]
    buttons = [
        html.Button(say(f"lab.{name}", lang), id=name, n_clicks=0)
        for name in ("undo", "redo", "reset")
    ]
    left = html.Aside(
        [
            html.H2(say("lab.fields", lang)),
            html.Div(buttons, className="buttons"),
            html.Label(say("lab.find", lang), htmlFor="find"),
            dcc.Input(
                id="find", type="search", placeholder=say("lab.find_hint", lang), value="", debounce=False
            ),
            html.Div(_groups(fields, session, lang, opened.currency), id="fields"),
        ]
        if fields
        else html.P(say("lab.no_fields", lang)),
        **{"aria-label": say("lab.fields", lang)},
    )  # fmt: skip
    right = html.Div(
        [
            html.H2(opened.title(lang)),
            html.Div(id="notice", role="status", **{"aria-live": "polite"}),
            html.Div(id="said", role="status"),
            html.Div(
                [
                    html.Span(say("lab.figures_of", lang), id="tier-label"),
                    dcc.RadioItems(id="tier", options=tiers, value=tier, inline=True),
                ],
                className="tiers",
                hidden=not tiers,
                role="group",
                **{"aria-labelledby": "tier-label"},
            ),
            html.Div(id="figures"),
            html.Div(_keep(lang), className="keep"),
            dcc.RadioItems(id="tab", options=tabs, value="now", className="tabs", inline=True),
            dcc.Loading(  # what was drawn stays in sight until the new is there
                html.Div(id="tab-body"),
                delay_show=400,
                type="dot",
                overlay_style={"visibility": "visible", "opacity": 0.55},
                target_components={"tab-body": "children"},
            ),
        ],
        id="answer",
        tabIndex=-1,
    )
    return html.Div([left, right], className="columns")


def tabs_of(opened: OpenStudy) -> tuple[str, ...]:
    """Name the tabs of a study: no price trace where no study of its kind prices renewals.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> tabs_of(open_for_turning(bundled("studies/home_care.toml")))
    ('now', 'who', 'checks', 'scenarios', 'share')
    """
    return tuple(name for name in TABS if name != "trace" or opened.renews or opened.traces)


def _keep(lang: Language) -> list[Any]:
    from dash import dcc, html

    return [
        html.Label(say("lab.scenario_title", lang), htmlFor="keep-title"),
        dcc.Input(
            id="keep-title", type="text", maxLength=80, value="",
            placeholder=say("lab.title_hint", lang),
        ),
        html.Button(say("lab.keep", lang), id="keep", n_clicks=0),
    ]  # fmt: skip


def _groups(fields: list[Field], session: Session, lang: Language, currency: str) -> list[Any]:
    from dash import html

    tables: dict[str, list[tuple[int, Field]]] = {}
    for number, field in enumerate(fields):
        tables.setdefault(field.section, []).append((number, field))
    parts = []
    for place, own in enumerate(sorted(tables.values(), key=lambda own: _depth(own[0][1]))):
        changed = any(field.key in session.change for _, field in own)
        parts.append(
            html.Details(
                [
                    html.Summary(group_label(own[0][1], lang)),
                    *(_field(number, field, session, lang, currency) for number, field in own),
                ],
                open=place < 3 or changed,
            )
        )
    return parts


def _depth(field: Field) -> int:
    """Where a table stands on the page: tiers and levels, then what is in them, then the rest."""
    parts = field.section.split(".")
    return sum(part in FIRST for part in parts[:-1]) or len(FIRST) + 1


def _field(number: int, field: Field, session: Session, lang: Language, currency: str) -> Any:
    from dash import dcc, html

    value = session.change.get(field.key, field.value)
    name = field_label(field, lang)
    typed = "number" if field.kind in ("number", "whole") else "pick"
    own = json.dumps({"n": number, "type": typed}, separators=(",", ":"))  # as the page writes it
    where = entry_label(field, lang)
    named = [name, html.Span(f" · {where}", className="where")] if where else name
    said: list[Any] = [html.Label(named, htmlFor=own, title=field.key)]
    if field.kind in ("number", "whole"):
        said += [
            dcc.Input(
                id={"type": "number", "n": number},
                type="text",
                inputMode="decimal",
                value=field_text(value),
                debounce=True,
                autoComplete="off",
                className="number-field",
                placeholder=say("lab.empty_value", lang),
                name=field.key,
            ),
            html.Label(
                [
                    html.Span(
                        say("lab.slider", lang, field=f"{name} {where}".strip()), className="unseen"
                    ),
                    dcc.Input(
                        id={"type": "slide", "n": number},
                        type="range",
                        min=min(field.low, _at(value, field)),
                        max=max(field.high, _at(value, field)),
                        step=field.step,
                        value=_at(value, field),
                        debounce=0.05,
                        className="slide",
                        name=f"{field.key} slider",
                    ),
                ],
                className="slide-label",
            ),
        ]
    elif field.kind == "yes_no":
        said.append(
            dcc.Checklist(
                id={"type": "pick", "n": number},
                options=[{"label": say("lab.yes", lang), "value": "yes"}],
                value=["yes"] if value else [],
            )
        )
    else:
        said.append(
            dcc.RadioItems(
                id={"type": "pick", "n": number},
                options=[{"label": choice_label(c, lang), "value": c} for c in field.choices],
                value=value,
                inline=True,
            )
        )
    domain = ""
    if field.kind == "choice":
        stands = choice_label(str(field.value), lang)
    elif field.kind == "yes_no":
        stands = say("lab.yes" if field.value else "lab.no", lang)
    else:
        stands, domain = standing(field, lang, currency), domain_said(field)
    hint = say("lab.file_says", lang, value=stands)
    said += [
        html.Small([hint, html.Span(domain, className="domain")], className="stands"),
        html.Div(id={"type": "fault", "n": number}, role="alert", className="fault"),
    ]
    return html.Div(
        said,
        id={"type": "field", "n": number},
        className="field changed" if field.key in session.change else "field",
        **{"data-key": field.key},
    )


def _at(value: Any, field: Field) -> float:
    return float(value) if isinstance(value, int | float) else field.low


def field_text(value: Any) -> str:
    """Write a value as it stands in a field, without separators.

    Examples
    --------
    >>> field_text(500.0), field_text(0.2), field_text(None), field_text(20_000_000.0)
    ('500', '0.2', '', '20000000')
    """
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{int(value)}" if float(value).is_integer() else f"{value:.10g}"
    return str(value)


def tab_body(
    tab: str,
    opened: OpenStudy,
    session: Session,
    found: Answer,
    lang: Language,
    faces: Faces,
    *,
    link: str = "",
) -> Any:
    """Fill a tab: the results it shows, the scenarios, the price trace, what leaves the page.

    Examples
    --------
    >>> TABS[0], list(tab_body.__annotations__)[0]
    ('now', 'tab')
    """
    from dash import html

    if tab == "scenarios":
        return _scenarios(opened, session, lang)
    if tab == "trace":
        return _trace(opened, lang)
    if tab == "share":
        return _share(lang, link)
    chosen = placed(found.results, tab)
    if not chosen:
        return html.P(say("lab.no_checks" if tab == "checks" else "lab.no_results", lang), className="hint")  # fmt: skip
    blocks: list[Any] = [
        result_block(n, r, lang, faces, who=tab == "who") for n, r in chosen.items()
    ]
    if "tier_demand" in chosen and take_up_still(session.change):
        blocks.insert(0, html.P(still_said(lang), className="hint"))
    blocks.insert(
        0, html.P(say("lab.amounts_in", lang, currency=opened.currency), className="hint")
    )
    if tab == "checks" and "schedule" in found.results:
        blocks.insert(0, html.P(say("lab.checks_still", lang), className="hint"))
    if found.stale:
        blocks = [html.P(say("lab.before_wrong", lang), className="fault"), html.Div(blocks, className="stale")]  # fmt: skip
    return html.Div(blocks)


def _scenarios(opened: OpenStudy, session: Session, lang: Language) -> Any:
    from dash import dcc, html

    rows = [
        html.Li(
            [
                html.Span(one.title, className="kept-title"),
                html.Small(", ".join(_change_said(opened, one.change, lang)), className="stands"),
                html.Button(say("lab.load", lang), id={"type": "load", "name": one.name}, n_clicks=0),
                html.Button(say("lab.drop", lang), id={"type": "drop", "name": one.name}, n_clicks=0),
            ]
        )
        for one in session.scenarios
    ]  # fmt: skip
    options = [
        {"label": say("lab.as_file", lang), "value": "file:"},
        {"label": say("lab.as_now", lang), "value": "now:"},
        *({"label": s.title, "value": f"kept:{s.name}"} for s in session.scenarios),
        *(
            {"label": say("lab.of_file", lang, title=getattr(s.title, lang)), "value": f"own:{s.name}"}
            for s in opened.scenarios
        ),
    ]  # fmt: skip
    kept = [f"kept:{one.name}" for one in session.scenarios]
    sides = ["file:", "now:", *kept][-2:] if len(kept) > 1 else ["file:", *(kept or ["now:"])]
    picks = [
        html.Div(
            [
                html.Label(say(f"lab.{side}", lang), htmlFor=side),
                dcc.Dropdown(id=side, options=options, value=value, clearable=False),
            ]
        )
        for side, value in zip(("left", "right"), sides, strict=True)
    ]
    return html.Div(
        [
            html.Ul(rows, className="kept")
            if rows
            else html.P(say("lab.no_scenarios", lang), className="hint"),
            html.H3(say("lab.compare", lang)),
            html.Div(picks, className="sides"),
            html.Div(id="comparison"),
        ]
    )


def _change_said(opened: OpenStudy, change: Mapping[str, Any], lang: Language) -> Iterable[str]:
    for key, value in change.items():
        field = opened.fields[key]
        where = entry_label(field, lang)
        said = choice_label(value, lang) if field.kind == "choice" else field_text(value)
        if field.kind == "yes_no":
            said = say("lab.yes" if value else "lab.no", lang)
        yield " · ".join(filter(None, (where, f"{field_label(field, lang)} {said}")))


def _trace(opened: OpenStudy, lang: Language) -> Any:
    from dash import dcc, html

    if not opened.traces:
        return html.P(say("lab.trace_add", lang), className="hint")
    return html.Div(
        [
            html.Div(
                [
                    html.Label(say("lab.trace_ask", lang), htmlFor="policy"),
                    dcc.Input(id="policy", type="text", value="", debounce=True, maxLength=100),
                    html.Button(say("lab.trace_go", lang), id="trace-go", n_clicks=0),
                ],
                className="keep",
            ),
            html.Small(say("lab.trace_some", lang)),
            html.Div(id="trace"),
        ]
    )


def _share(lang: Language, link: str) -> Any:
    from dash import dcc, html

    def button(name: str, key: str) -> Any:
        return html.Button(say(f"lab.{key}", lang), id=name, n_clicks=0)

    return html.Div(
        [
            html.H3(say("lab.export_what", lang)),
            html.Div(
                [
                    button("save-file", "save_file"),
                    button("export-study", "export_study"),
                    button("export-excel", "export_excel"),
                    button("export-report", "export_report"),
                ],
                className="buttons",
            ),
            html.Div(id="exported", role="status"),
            html.H3(say("lab.open_file", lang)),
            dcc.Upload(
                html.Button(say("lab.open_file", lang), type="button"),
                id="open-file", accept=".json", max_size=200_000, multiple=False,
            ),
            html.Small(say("lab.open_hint", lang)),
            html.Div(id="uploaded", role="alert", className="fault"),
            html.H3(say("lab.link", lang)),
            dcc.Textarea(id="link", readOnly=True, value=link, rows=3),
        ]
    )  # fmt: skip


def faults_at(faults: Iterable[Fault], keys: list[str], lang: Language) -> list[str]:
    """Place faults at their fields, in the order of the fields; others have none."""
    said = {fault.key: fault.said(lang) for fault in faults}
    return [said.get(key, "") for key in keys]
