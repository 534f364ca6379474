"""A limit on the syntax of JSON bodies, which is what takes time and memory.

A body may have megabytes of text. The same number of brackets and commas would take seconds to
parse, in which the service answers nobody.

The body must be UTF-8. Python would also read UTF-16 and UTF-32, in which bytes that look like
quotation marks are parts of letters. Their syntax has zero bytes, which JSON in UTF-8 never has.
"""

from typing import TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope

Body = TypeVar("Body", bound=BaseModel)

FIXED_SYNTAX = 10_000  # characters outside of strings, for spaces and names
SYNTAX_PER_TEXT = 100


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

    It is also refused if it has a zero byte, and so is no JSON in UTF-8 (400).

    The rest of such a body is neither kept nor parsed.

    Args:
        scope: Scope of the ASGI application.
        receive: Its function to receive the body.
        max_texts: Maximum number of texts per request.

    """

    def __init__(self, scope: Scope, receive: Receive, max_texts: int) -> None:
        super().__init__(scope, receive)
        self._max_syntax = FIXED_SYNTAX + SYNTAX_PER_TEXT * max_texts
        self._content: bytes | None = None

    async def body(self) -> bytes:
        """Return the body."""
        if self._content is None:
            counter = SyntaxCounter()
            parts = []
            async for part in self.stream():
                if b"\0" in part:
                    raise HTTPException(400, "the body is not JSON in UTF-8")
                counter.add(part)
                if counter.count > self._max_syntax:
                    raise HTTPException(422, "the body is more than texts: see /openapi.json")
                parts.append(part)
            self._content = b"".join(parts)
        return self._content


async def read_json(request: Request, model: type[Body]) -> Body:
    """Return the body of a request as a pydantic model.

    Raises:
        HTTPException: The body has another Content-Type (415). Browsers let pages of other sites
            send this one only if CORS allows it.
        RequestValidationError: The body is no JSON, or not that of the model.

    """
    body = await request.body()
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HTTPException(415, "the body must be JSON: Content-Type: application/json")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            error.errors(include_url=False, include_input=False)
        ) from error
