"""Where a provider sends people's browsers back to. Not for programs: the answer is a page.

Nobody is signed in here. What lets a browser in is the state, good once; what completes a sign-in is the cookie of the
browser that was sent away, or the code on the page when the one who began it says it.
"""

import hashlib
from html import escape
from typing import Annotated

import structlog
from litestar import Response, get
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from fairlead.api.bodies import ApiRequest
from fairlead.api.guards import for_anybody
from fairlead.api.parts import ApiParts
from fairlead.api.problems import status_of
from fairlead.domain.errors import FairleadError
from fairlead.handling.signing_in import CALLBACK_PATH, LIFE, Begun, Came, Unconfirmed

MAX_VALUE = 4_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem }}
code {{ font-size: 1.6rem; letter-spacing: .15em }}</style>
<h1>{title}</h1>
{body}
</html>
"""
_log = structlog.get_logger()

Value = Annotated[str | None, QueryParameter(max_length=MAX_VALUE)]


def cookie_of(begun: Begun) -> Cookie:
    """One for each sign-in, so that several can be under way. It goes nowhere but to the callback."""
    return Cookie(
        key=_cookie_name(begun.state),
        value=begun.browser,
        path=CALLBACK_PATH,
        max_age=int(LIFE.total_seconds()),
        httponly=True,
        secure=begun.over_tls,
        samesite="lax",  # the provider's page sends the browser here, which is another site
    )


@get(CALLBACK_PATH, opt=for_anybody(), include_in_schema=False)
async def oauth_callback(
    request: ApiRequest,
    parts: NamedDependency[ApiParts],
    sent_state: Annotated[str | None, QueryParameter(name="state", max_length=MAX_VALUE)] = None,
    code: Value = None,
    error: Value = None,
    iss: Value = None,
) -> Response[str]:
    """The end of a sign-in at a provider. Whatever is wrong, the state is used up."""
    state = sent_state or ""
    came = Came(
        state=state,
        code=None if error else code,
        issuer=iss,
        browser=request.cookies.get(_cookie_name(state)),
    )
    try:
        found = await parts.connecting.sign_ins.come_back(came)
    except FairleadError as refused:
        _log.info("sign_in_failed", code=refused.code)
        return _page("This did not work", f"<p>{escape(str(refused))}. Begin again where you came from.</p>", refused)
    if isinstance(found, Unconfirmed):
        return _page("One more step", _confirm(found))
    return _page("Connected", "<p>Access was given. You can close this page.</p>")


def _confirm(found: Unconfirmed) -> str:
    return (
        f"<p>Somebody asks for access to your account, for the connection <b>{escape(found.connection)}</b>. If it was"
        " you who began this, type this code in where you did. If not, close this page: nothing has been given.</p>"
        f"<p><code>{escape(found.code)}</code></p>"
    )


def _page(title: str, body: str, error: FairleadError | None = None) -> Response[str]:
    page = _PAGE.format(title=escape(title), body=body)
    status = 200 if error is None else status_of(type(error))
    return Response(page, status_code=status, media_type="text/html", headers=_HEADERS)


def _cookie_name(state: str) -> str:
    return f"fairlead_sign_in_{hashlib.sha256(state.encode()).hexdigest()[:16]}"
