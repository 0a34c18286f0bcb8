"""The protocol's own library sends its requests through the call's only way out."""

import httpx2
from fairlead_sdk import Call, NeedsReconnect, Refused, TryLater
from fairlead_sdk.answers import retry_after_s
from fairlead_sdk.errors import ToolError
from fairlead_sdk.outbound import HttpAnswer

MAX_ANSWER_BYTES = 3 * 1024 * 1024
_OURS = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent"})


class Carrier(httpx2.AsyncBaseTransport):
    """`fault` is what stood in the way, in our words: the library's own would not say what to do next."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.fault: ToolError | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":  # what a server would like to say unasked is not heard
            return httpx2.Response(405, request=request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
        try:
            answer = await self._call.http.send(
                request.method,
                str(request.url),
                headers=headers,
                body=await request.aread(),
                max_bytes=MAX_ANSWER_BYTES,
            )
        except ToolError as fault:
            self.fault = fault
            raise httpx2.ConnectError(fault.code, request=request) from None
        self.fault = _fault(answer)
        return httpx2.Response(answer.status, headers=_plain(answer), content=answer.body, request=request)


def _fault(answer: HttpAnswer) -> ToolError | None:
    """Other statuses are part of the protocol: by some of them a server tells which era it is of."""
    said = f"the server answered {answer.status}"
    match answer.status:
        case 401:
            return NeedsReconnect(said, "unauthorized")
        case 403:
            return Refused(said, "forbidden")
        case 408 | 425 | 429 | 502 | 503 | 504:
            return TryLater(said, f"http_{answer.status}", retry_after_s(answer))
        case _:
            return None


def _plain(answer: HttpAnswer) -> dict[str, str]:
    """The body is decompressed already."""
    gone = ("content-encoding", "content-length", "transfer-encoding")
    return {name: value for name, value in answer.headers.items() if name not in gone}
