"""The page behind a link in a mail: what is to be answered, without a script or anything from elsewhere."""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

import msgspec
from litestar import Response
from msgspec import Struct

MAX_SHOWN = 20_000  # characters of one value; the rest is for whoever signs in
MAX_ROWS = 60

_STYLE = """
:root { color-scheme: light dark; --ink: #17202a; --soft: #5b6773; --line: #dde3e9; --page: #f3f5f7; --card: #fff;
  --go: #0b6b50; --stop: #a3262a; --old: #fdeceb; --new: #e6f5ee; --note: #fff6dd }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #9aa7b4; --line: #2c3742; --page: #10161c;
  --card: #182028; --go: #2fa881; --stop: #e0686b; --old: #3a2022; --new: #16342a; --note: #3a3216 } }
* { box-sizing: border-box }
body { margin: 0; padding: 2.5rem 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 44rem; margin: 0 auto; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 2rem 2.25rem; box-shadow: 0 12px 32px rgb(16 24 32 / 8%) }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; color: var(--soft);
  font-size: .875rem; letter-spacing: .02em }
header b { color: var(--ink); font-size: 1rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.25rem 0 .35rem; overflow-wrap: anywhere }
h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .08em; color: var(--soft); margin: 2rem 0 .6rem }
p { margin: .35rem 0 } .lead { font-size: 1.05rem }
.note { background: var(--note); border-radius: 8px; padding: .7rem .9rem; margin: 1rem 0 }
table { width: 100%; border-collapse: collapse; font-size: .925rem }
th, td { text-align: left; vertical-align: top; padding: .5rem .6rem; border-top: 1px solid var(--line);
  overflow-wrap: anywhere }
th { font-weight: 500; color: var(--soft); width: 28% } thead th { border: 0; font-size: .8rem; padding-top: 0 }
td.old { background: var(--old); text-decoration: line-through; text-decoration-color: var(--stop) }
td.new { background: var(--new); font-weight: 600 }
code, pre { font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace } pre { white-space: pre-wrap; margin: 0 }
label { display: block; font-weight: 500; margin-bottom: .35rem }
textarea { width: 100%; min-height: 5rem; padding: .6rem .7rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--line); border-radius: 8px }
.buttons { display: flex; flex-wrap: wrap; gap: .7rem; margin-top: 1rem }
button { font: inherit; font-weight: 600; padding: .7rem 1.4rem; border-radius: 8px; border: 1px solid var(--line);
  background: transparent; color: inherit; cursor: pointer }
button.go { background: var(--go); border-color: var(--go); color: #fff } button.stop { color: var(--stop);
  border-color: var(--stop) }
button:focus-visible, textarea:focus-visible { outline: 3px solid var(--go); outline-offset: 2px }
footer { margin-top: 2rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .82rem;
  overflow-wrap: anywhere }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main><header><b>Fairlead</b><span>{aside}</span></header>
{body}
</main></body></html>
"""


class Question(Struct, frozen=True, kw_only=True):
    """All that the page shows. Arguments and evidence are masked already; people are named for people."""

    tool: str
    workflow: str
    reason: str
    rule_id: str
    arguments: Any
    evidence: Any
    asked_by: tuple[str, ...]
    signed_by: tuple[str, ...]
    count: int
    until: str
    you: str
    on_behalf_of: str | None
    digest: str
    link: str


def asked(question: Question, fault: str = "", comment: str = "", status: int = 200) -> Response[str]:
    """With what was amiss in the answer that was just sent, if one was."""
    q = question
    body = [
        f"<h1>Approve {escape(q.tool)}?</h1>",
        f'<p class="lead">A run of <b>{escape(q.workflow)}</b> waits for you.</p>',
        f"<p>{escape(q.reason)}</p>",
        f'<p class="note" role="alert">{escape(fault)}</p>' if fault else "",
        *_evidence(q.evidence),
        "<h2>What would be sent</h2>",
        _table(q.arguments),
        "<h2>Who</h2>",
        "<table>",
        _row("Asked for by", ", ".join(q.asked_by)),
        _row("Signatures", f"{len(q.signed_by)} of {q.count}{_so_far(q.signed_by)}"),
        _row("You answer as", f"{q.you}{f', on behalf of {q.on_behalf_of}' if q.on_behalf_of else ''}"),
        "</table>",
        '<h2>Your answer</h2><form method="post" action="/approve">',
        f'<input type="hidden" name="link" value="{escape(q.link)}">',
        '<label for="comment">Comment, needed unless you approve</label>',
        f'<textarea id="comment" name="comment" maxlength="2000">{escape(comment)}</textarea>',
        '<div class="buttons"><button class="go" name="answer" value="approve">Approve</button>',
        '<button name="answer" value="changes">Request changes</button>',
        '<button class="stop" name="answer" value="deny">Deny</button></div></form>',
        _foot(q),
    ]
    return _page(f"Approve {q.tool}?", f"until {q.until}", "\n".join(filter(None, body)), status)


def _foot(question: Question) -> str:
    return (
        f"<footer>Rule {escape(question.rule_id)}. Opening this page changes nothing; one answer uses the link up. You"
        f" answer for exactly what is shown, digest <code>{escape(question.digest[:16])}</code>.</footer>"
    )


def said(title: str, text: str, status: int = 200) -> Response[str]:
    return _page(title, "", f'<h1>{escape(title)}</h1><p class="lead">{escape(text)}</p>', status)


def _page(title: str, aside: str, body: str, status: int) -> Response[str]:
    page = _PAGE.format(title=escape(title), style=_STYLE, aside=escape(aside), body=body)
    return Response(page, status_code=status, media_type="text/html", headers=_HEADERS)


def _so_far(signed_by: tuple[str, ...]) -> str:
    return f": {', '.join(signed_by)}" if signed_by else ""


def _evidence(evidence: Any) -> Iterator[str]:
    """What is there and what would be, side by side where the tool shows both; the rest below."""
    if not isinstance(evidence, dict):
        if evidence is not None:
            yield f"<h2>Evidence</h2><pre>{_text(evidence)}</pre>"
        return
    rest = dict(evidence)
    if "after" in evidence:
        before, after = rest.pop("before", None), rest.pop("after")
        yield "<h2>What would change</h2>"
        yield _difference(before, after)
    if rest:
        yield "<h2>Evidence</h2>"
        yield _table(rest)


def _difference(before: Any, after: Any) -> str:
    old, new = (each if isinstance(each, dict) else {"value": each} for each in (before or {}, after))
    names = list(dict.fromkeys([*old, *new]))
    rows = [_changed(name, old.get(name), new.get(name)) for name in names[:MAX_ROWS]]
    head = '<thead><tr><th scope="col"></th><th scope="col">now</th><th scope="col">then</th></tr></thead>'
    return f"<table>{head}{''.join(rows)}</table>{_more(names)}"


def _changed(name: str, old: Any, new: Any) -> str:
    marks = ("", "") if old == new else (' class="old"' if old is not None else "", ' class="new"')
    was, will = ("" if each is None else _text(each) for each in (old, new))
    return f'<tr><th scope="row">{escape(name)}</th><td{marks[0]}>{was}</td><td{marks[1]}>{will}</td></tr>'


def _table(value: Any) -> str:
    if not isinstance(value, dict):
        return f"<pre>{_text(value)}</pre>"
    rows = [_row(name, each) for name, each in list(value.items())[:MAX_ROWS]]
    return f"<table>{''.join(rows)}</table>{_more(list(value))}"


def _row(name: str, value: Any) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td>{_text(value)}</td></tr>'


def _more(names: list[str]) -> str:
    beyond = len(names) - MAX_ROWS
    return f"<p>And {beyond} more, which you see when you sign in.</p>" if beyond > 0 else ""


def _text(value: Any) -> str:
    """As it reads: texts as they are, everything else as JSON."""
    text = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} … (cut off here)"
    return f"<pre>{escape(shown)}</pre>" if isinstance(value, dict | list) else escape(shown)
