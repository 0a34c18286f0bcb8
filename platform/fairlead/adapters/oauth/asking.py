"""One request to a provider over the guarded way out. What comes of it is an answer, or one of our errors."""

from urllib.parse import urlsplit

from fairlead_sdk.errors import OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_sdk.outbound import HttpAnswer

from fairlead.domain.connections.errors import ProviderMisfit, ProviderUnavailable
from fairlead.ports import Outbound, WayOut

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_DOCUMENT_BYTES = 256 * 1024  # of metadata and key sets
_JSON = {"Accept": "application/json"}
_FORM = {**_JSON, "Content-Type": "application/x-www-form-urlencoded"}


class Asking:
    def __init__(self, outbound: Outbound, timeout_s: float = TIMEOUT_S) -> None:
        self._outbound = outbound
        self._timeout_s = timeout_s

    async def document(self, url: str) -> HttpAnswer:
        """Public: nothing of ours is sent along, so a lost answer is no different from none."""
        try:
            return await self._send("GET", url, {}, b"", MAX_DOCUMENT_BYTES)
        except OutcomeUnknown:
            raise ProviderUnavailable from None

    async def form(self, url: str, body: str, headers: dict[str, str]) -> HttpAnswer:
        """`body` holds a code or a token; it may be spent once the request is out."""
        try:
            return await self._send("POST", url, headers, body.encode(), MAX_ANSWER_BYTES)
        except OutcomeUnknown:
            raise ProviderUnavailable(may_have_happened=True) from None

    async def _send(self, method: str, url: str, headers: dict[str, str], body: bytes, max_bytes: int) -> HttpAnswer:
        """Raises OutcomeUnknown, ProviderUnavailable and ProviderMisfit. None of them quotes anything."""
        # No connection is used again, so that nothing left in one is read as another's answer.
        way = WayOut(owner=None, egress=(_authority(url),), timeout_s=self._timeout_s)
        always = _FORM if method == "POST" else _JSON
        try:
            return await self._outbound.http(way).send(
                method, url, headers={**always, **headers}, body=body, authorized=False, max_bytes=max_bytes
            )
        except OutcomeUnknown:
            raise
        except TryLater as later:
            raise ProviderUnavailable(max(1, round(later.retry_after_s or 1))) from None
        except Refused as refused:
            raise ProviderMisfit(f"an address of the provider may not be reached: {refused.code}") from None
        except ToolError:
            raise ProviderMisfit("an address of the provider cannot be used") from None


def _authority(url: str) -> str:
    """Host and port, as hosts are declared. What cannot be read is refused by the way out."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{port or (80 if parts.scheme == 'http' else 443)}"
