"""The syntax of JSON bodies is counted as it arrives."""

import asyncio
import itertools
import json
import re
import time
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message

from imdb_sentiment.serving.job_queue import QueueFullError, Quota
from imdb_sentiment.serving.json_body import JsonRequest, SyntaxCounter, read_json
from imdb_sentiment.serving.schemas import PredictRequest

STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
TEXT = st.text(st.sampled_from('\\"[]{},: \n\u00e9ab'))
DOCUMENTS = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(document=DOCUMENTS, indent=st.sampled_from([None, 2]), cuts=st.lists(st.integers(0, 200)))
@example(document="\\", indent=None, cuts=[2])
def test_only_what_is_outside_of_strings_counts(
    document: Any, indent: int | None, cuts: list[int]
) -> None:
    whole = json.dumps(document, indent=indent)
    counter = SyntaxCounter()
    body = whole.encode()
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        counter.add(body[start:end])
    assert counter.count == len(STRING.sub('""', whole).encode())


def receive(
    *parts: bytes, memory: Quota | None = None, client: str = "a"
) -> tuple[JsonRequest, list[bytes]]:
    left = list(parts)

    async def receive_part() -> Message:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    memory = memory or Quota(1_000_000, 1_000_000)
    scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}
    return JsonRequest(scope, receive_part, max_texts=64, memory=memory, client=client), left


def test_the_body_is_what_was_sent() -> None:
    request, _ = receive(b'{"text"', b': "a \\', b'"b"}')

    async def read_twice() -> tuple[Any, bytes]:
        return await request.json(), await request.body()

    parsed, body = asyncio.run(read_twice())
    assert parsed == {"text": 'a "b'}
    assert body == b'{"text": "a \\"b"}'


@pytest.mark.parametrize("syntax", [b"[", b"1,", b'"",', b" "], ids=repr)
def test_too_much_syntax_is_refused_before_the_rest_arrives(syntax: bytes) -> None:
    request, left = receive(b'{"texts": [', syntax * 20_000, b"never read")
    with pytest.raises(HTTPException) as raised:
        asyncio.run(request.body())
    assert raised.value.status_code == 422
    assert raised.value.detail == (
        "the JSON has more characters outside strings than 64 texts need: remove white space, or "
        "send fewer texts per request"
    )
    assert left == [b"never read"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_in_other_encodings_is_refused_before_the_rest_arrives(encoding: str) -> None:
    """A byte of \u2200 is a quotation mark in UTF-16: what follows would count as text."""
    body = ('{"texts": ["\u2200", ' + "[], " * 20_000).encode(encoding)
    request, left = receive(body[:3], body[3:], b"never read")
    with pytest.raises(HTTPException) as raised:
        asyncio.run(request.body())
    assert raised.value.status_code == 400
    assert b"never read" in left


def test_a_long_text_is_not_syntax() -> None:
    body = json.dumps({"text": '\\"[,' * 100_000}).encode()
    request, _ = receive(body)
    assert asyncio.run(request.body()) == body


def test_bodies_take_memory_until_they_are_given_back() -> None:
    memory = Quota(25, 10)
    first, _ = receive(b"12345", memory=memory)
    asyncio.run(first.body())
    second, left = receive(b"1234", b"56", b"never read", memory=memory)
    with pytest.raises(QueueFullError):
        asyncio.run(second.body())
    assert left == [b"never read"]
    other, _ = receive(b"1234567890", memory=memory, client="b")
    asyncio.run(other.body())
    for request in (first, second, other, other):
        request.give_back()
    assert memory.taken == 0


ESCAPED = st.sampled_from(
    [*"ux", "d83d", "\\ud83d", "\\uDBFF", "\\ude00", "\\uDC00", "\\\\", "\\u0041"]
)


@given(st.lists(ESCAPED).map("".join))
@example("good \\ud83d")
@example("\\ud83d\\ude00")
@example("\\\\ud83d")
def test_half_an_emoji_costs_no_other_text(text: str) -> None:
    request, _ = receive(f'{{"texts": ["good", "{text}"]}}'.encode())
    found = asyncio.run(read_json(request, PredictRequest)).texts
    assert found == ["good", re.sub("[\ud800-\udfff]", "\ufffd", json.loads(f'"{text}"'))]


def test_any_number_of_halves_is_read_in_no_time() -> None:
    """The service answers nobody meanwhile."""
    seconds = []
    for escaped in (r"\ud83d\ude00", r"\ud83d\ud83d"):
        body = b'{"texts": ["%b"]}' % (escaped.encode() * 500_000)
        request, _ = receive(body, memory=Quota(total=len(body), per_client=len(body)))
        start = time.process_time()
        (text,) = asyncio.run(read_json(request, PredictRequest)).texts
        seconds.append(time.process_time() - start)
    assert text == "\ufffd" * 1_000_000
    assert seconds[1] < 4 * seconds[0] + 0.02


@pytest.mark.parametrize("rest", ["[" * 9000, "1" * 5000, '"'])
def test_what_follows_half_an_emoji_may_be_no_json(rest: str) -> None:
    request, _ = receive(f'{{"texts": ["\\ud83d"], "more": {rest}'.encode())
    with pytest.raises(RequestValidationError):
        asyncio.run(read_json(request, PredictRequest))
