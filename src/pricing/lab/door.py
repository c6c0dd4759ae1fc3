"""Who may speak with the page: this machine, or others with the token of the printed address."""

from __future__ import annotations

import hmac
import socket
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pricing.result.words import LANGUAGES, say

__all__ = ["HERE", "guard", "needs_token", "own_names", "shown_address"]

HERE = frozenset({"127.0.0.1", "localhost", "::1"})
ANY = frozenset({"", "0.0.0.0", "::"})  # every address of the machine
COOKIE = "pricing-lab"
MOST_REQUEST = 2_000_000
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def needs_token(host: str) -> bool:
    """Whether other machines can reach what listens on a host, so that a token is asked for.

    Examples
    --------
    >>> needs_token("127.0.0.1"), needs_token("0.0.0.0"), needs_token("")
    (False, True, True)
    """
    return host not in HERE


def own_names(host: str) -> frozenset[str]:
    """Names the page answers to; addresses written as numbers are told by :func:`guard` itself.

    A page of another site can make its own name point here (DNS rebinding) and would then be let in by
    the browser as if it were this page. Only names of this machine are answered, so it is not.

    Examples
    --------
    >>> sorted(own_names("127.0.0.1"))
    ['127.0.0.1', '::1', 'localhost']
    """
    if not needs_token(host):
        return HERE
    machine = socket.gethostname().lower()
    return HERE | {host.lower(), machine, f"{machine}.local", socket.getfqdn().lower()} - {""}


def shown_address(host: str, port: int, token: str = "") -> str:
    """Write the address to open, with the token where there is one.

    Examples
    --------
    >>> shown_address("127.0.0.1", 8050), shown_address("::1", 8050), shown_address("lab.local", 80, "t")
    ('http://127.0.0.1:8050/', 'http://[::1]:8050/', 'http://lab.local:80/?token=t')
    """
    name = socket.gethostname() if host in ANY else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def guard(server: Any, *, host: str, token: str = "") -> None:
    """Refuse what does not come from this page: other names, other origins, without the token.

    Parameters
    ----------
    server : flask.Flask
        The application's server; ``LAB_SCRIPTS`` in its configuration are the hashes of the scripts
        that stand in the page itself.
    host : str
        What it listens on. Only names of this machine are answered; where other machines can reach it,
        also its addresses written as numbers, which nobody can make point elsewhere.
    token : str
        Where given, asked for in the address once and then as a cookie.

    Examples
    --------
    >>> from flask import Flask
    >>> server = Flask("page")
    >>> guard(server, host="127.0.0.1")
    >>> client = server.test_client()
    >>> client.get("/", base_url="http://127.0.0.1:8050").status_code
    404
    >>> client.get("/", base_url="http://elsewhere.example:8050").status_code
    403
    """
    from flask import request

    server.config["MAX_CONTENT_LENGTH"] = MOST_REQUEST
    names = own_names(host)
    scripts = " ".join(server.config.get("LAB_SCRIPTS", ()))
    policy = POLICY.format(scripts=scripts).replace("'self' ;", "'self';")

    def check() -> Any:
        if not _own(request.host, names, wide=needs_token(host)):
            return _refused("door_host", 403)
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin.partition("://")[2] != request.host
        crossed = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if foreign or (crossed and request.method not in ("GET", "HEAD")):
            return _refused("door_origin", 403)
        given = request.args.get("token") or request.cookies.get(COOKIE) or ""
        if token and not _same(given, token):
            return _refused("door_token", 401)
        return None

    def seal(response: Any) -> Any:
        response.headers.update({**HEADERS, "Content-Security-Policy": policy})
        if not request.path.startswith(("/assets/", "/_dash-component-suites/")):
            response.headers["Cache-Control"] = "no-store"
        if token and _same(request.args.get("token", ""), token):
            response.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return response

    server.before_request(check)
    server.after_request(seal)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _own(called: str, names: frozenset[str], *, wide: bool) -> bool:
    try:
        name = urlsplit(f"//{called}").hostname or ""
    except ValueError:
        return False
    if name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return wide


def _refused(key: str, status: int) -> Any:
    """A plain page in both languages: no script, nothing of the request in it."""
    from flask import Response

    said = "".join(
        f'<p lang="{"zh-Hans" if lang == "zh" else "en"}">{say(f"lab.{key}", lang)}</p>'
        for lang in LANGUAGES
    )
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>pricing lab</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"></head>'
        f'<body style="font: 16px/1.6 system-ui, sans-serif; max-width: 40em; margin: 3em auto">{said}</body></html>'
    )
    return Response(page, status=status, mimetype="text/html")
