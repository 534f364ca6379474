"""Limits on the syntax of JSON bodies, which takes time to parse, and on their memory.

A body may have megabytes of text. The same number of brackets and commas would take seconds to
parse, in which the service answers nobody.

The body must be UTF-8. Python would also read UTF-16 and UTF-32, in which bytes that look like
quotation marks are parts of letters. Their syntax has zero bytes, which JSON in UTF-8 never has.
"""

import json
from typing import TypeVar

import numpy as np
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope

from imdb_sentiment.serving.job_queue import Quota

Body = TypeVar("Body", bound=BaseModel)

FIXED_SYNTAX = 10_000  # characters outside of strings, for spaces and names
SYNTAX_PER_TEXT = 100
# Memory for bodies, as a multiple of the largest one: for all clients together, and for each.
BODIES, BODIES_PER_CLIENT = 16, 4
# The first two bytes of the first half of a surrogate pair; only after such a first byte, halves
# have so large a second one.
_HALF = "\ud800".encode("utf-8", "surrogatepass")[:2]


class SyntaxCounter:
    """Counts what is outside of the strings of a JSON document, as it arrives.

    Attributes:
        count: Number of bytes outside of strings, each string counting as two.

    """

    def __init__(self) -> None:
        self.count = 0
        self._is_in_string = False
        self._rest = b""

    def add(self, part: bytes) -> None:
        r"""Count the next part of the document, which may end anywhere, even between \ and "."""
        part = self._rest + part
        backslashes = len(part) - len(part.rstrip(b"\\"))
        self._rest = part[len(part) - backslashes % 2 :]
        part = part[: len(part) - backslashes % 2]
        pieces = part.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        marks = len(pieces) - 1
        self.count += sum(map(len, pieces[self._is_in_string :: 2])) + marks
        self._is_in_string ^= marks % 2 == 1


class JsonRequest(Request):
    """A request that is refused if its JSON has more syntax than a valid one needs (422).

    It is also refused if it has a zero byte, since JSON in UTF-8 never has any (400). The rest of
    such a body is neither kept nor parsed.

    Args:
        scope: Scope of the ASGI application.
        receive: Function of the ASGI application that receives the body.
        max_texts: Maximum number of texts per request.
        memory: Bytes for the bodies of all clients.
        client: Client whose quota the body counts for.

    """

    def __init__(
        self, scope: Scope, receive: Receive, max_texts: int, memory: Quota, client: str
    ) -> None:
        super().__init__(scope, receive)
        self._max_texts = max_texts
        self._memory = memory
        self._client = client
        self._taken = 0
        self._content: bytes | None = None

    async def body(self) -> bytes:
        """Return the body, which takes memory until `give_back` is called.

        Raises:
            HTTPException: It has too much syntax (422), or is not in UTF-8 (400).
            QueueFullError: The memory for bodies is used up.

        """
        if self._content is None:
            counter = SyntaxCounter()
            max_syntax = FIXED_SYNTAX + SYNTAX_PER_TEXT * self._max_texts
            parts = []
            async for part in self.stream():
                if b"\0" in part:
                    raise HTTPException(400, "the body is not JSON in UTF-8")
                counter.add(part)
                if counter.count > max_syntax:
                    raise HTTPException(
                        422,
                        f"the JSON has more characters outside strings than {self._max_texts:,} "
                        "texts need: remove white space, or send fewer texts per request",
                    )
                self._memory.take(self._client, len(part))
                self._taken += len(part)
                parts.append(part)
            self._content = b"".join(parts)
        return self._content

    def give_back(self) -> None:
        """Give the memory of the body back."""
        self._memory.give_back(self._client, self._taken)
        self._taken = 0


def find_media_type(request: Request) -> str:
    """Return the media type of the body of a request, in lower case; empty if it is not named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, model: type[Body]) -> Body:
    """Return the body of a request as a pydantic model.

    Half an emoji, as in a text that was cut, is read as U+FFFD.

    Raises:
        HTTPException: The body has another Content-Type (415). Browsers let pages of other sites
            send this one only if CORS allows it.
        RequestValidationError: The body is not JSON, or does not match the model.

    """
    body = await request.body()
    if find_media_type(request) != "application/json":
        raise HTTPException(415, "send the body as JSON (Content-Type: application/json)")
    try:
        return _parse(body, model)
    except ValidationError as error:
        raise RequestValidationError(
            error.errors(include_url=False, include_input=False)
        ) from error


def _parse(body: bytes, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if "hex escape" not in error.errors(include_url=False, include_input=False)[0]["msg"]:
            raise
        try:
            whole = _replace_halves(body)
        except (ValueError, RecursionError):  # what follows is no JSON, or too deep
            raise error from None
        return model.model_validate_json(whole)


def _replace_halves(body: bytes) -> bytes:
    r"""Return JSON with U+FFFD for each half of a surrogate pair, such as `\ud83d` alone."""
    text = json.dumps(json.loads(body), ensure_ascii=False)  # Python reads halves, and joins pairs
    # All at once, since there may be millions; a half has as many bytes as U+FFFD.
    data = np.frombuffer(bytearray(text.encode("utf-8", "surrogatepass")), np.uint8)
    halves = np.flatnonzero((data[:-1] == _HALF[0]) & (data[1:] >= _HALF[1]))
    for place, byte in enumerate("\ufffd".encode()):
        data[halves + place] = byte
    return data.tobytes()
