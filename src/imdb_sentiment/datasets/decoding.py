"""The encoding of a file of text: whether it is text at all, and what can't be decoded."""

import codecs
import io
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

from imdb_sentiment.datasets.table_files import COMPRESSIONS, FORMATS, FileToRead, find_suffix
from imdb_sentiment.errors import InputError, make_printable
from imdb_sentiment.text.encodings import SAMPLE, can_decode, find_encodings

logger = logging.getLogger(__name__)

# Byte order marks; those of UTF-32 come first, since one of them begins like a mark of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Encodings of ISO 8859, and those of Windows that have punctuation in place of control characters.
WITH_PUNCTUATION = {"iso8859-1": "cp1252", "iso8859-9": "cp1254"}
# First bytes of files in other formats, and the suffixes of their names.
MAGIC = {
    b"PAR1": ".parquet",
    b"PK\x03\x04": ".zip or .xlsx",
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
}
TAR_PLACE = 257  # of the mark of a tar archive
MAX_WORD = 30  # maximum number of characters of a word in a message
# A text has at most this share of null bytes, which may be strays. A short one may have more of
# them, but not among its first characters, where UTF-16 has them.
MAX_NULLS, MIN_BYTES, BEGINNING = 0.002, 10_000, 4


def find_codec(name: Any, parameter: str) -> str:
    """Return the name of an encoding, which YAML may have read as a number, such as 1252."""
    try:
        "".encode(str(name))  # not all of Python's codecs can encode text
    except LookupError as error:
        raise InputError(f"{parameter}: {error}: use an encoding that Python knows") from None
    return str(name)


def require_handler(name: Any, parameter: str) -> None:
    """Raise `InputError` if Python has no such way to handle what can't be decoded or encoded."""
    try:
        codecs.lookup_error(str(name))
    except LookupError:
        raise InputError(
            f"{parameter} is {name!r}: set it to strict, replace or another of Python's error "
            "handlers"
        ) from None


def require_text(sample: bytes, encoding: str, file: FileToRead) -> None:
    """Raise `InputError` if the beginning of a file is not that of a text."""
    for magic, suffix in MAGIC.items():
        if sample.startswith(magic):
            own, compression = find_suffix(file.name), suffix.partition(" ")[0]
            is_known = own in FORMATS and compression in COMPRESSIONS
            named = f", such as {own}{compression}" if is_known else ""
            raise InputError(
                f"{file.name} is not text: it begins like a {suffix} file, so rename it to end "
                f"with {suffix}{named}"
            )
    if sample[TAR_PLACE:].startswith(b"ustar"):
        raise InputError(f"{file.name} is a tar archive: unpack it, and use the table in it")
    wide = ("utf-16", "utf-32")
    is_wide = (_find_mark(sample) or codecs.lookup(encoding).name).startswith(wide)
    is_short = len(sample) <= MIN_BYTES and b"\0" not in sample[:BEGINNING]
    if sample.count(b"\0") > MAX_NULLS * len(sample) and not is_short and not is_wide:
        likely = "utf-16-be" if sample.startswith(b"\0") else "utf-16-le"
        raise InputError(
            f"{file.name} is not text: it has null bytes. If it is text in UTF-16 without a byte "
            f"order mark, set the encoding with {file.describe_setting('encoding', likely)}"
        )


def find_encoding(sample: bytes, encoding: str, file: FileToRead) -> str:
    """Return the encoding of a file's byte order mark, or without a mark, the given encoding.

    Raises:
        InputError: The given encoding has one byte per character, so that it decodes anything, but
            the file is UTF-8.

    """
    if marked := _find_mark(sample):
        return marked
    if not sample.isascii() and is_one_byte(encoding) and can_decode(sample, "utf-8"):
        raise InputError(
            f"{file.name} is UTF-8 text, not {encoding}: set the encoding with "
            f"{file.describe_setting('encoding', 'utf-8')}",
            parameters=file.make_parameter("encoding", "utf-8"),
        )
    windows = WITH_PUNCTUATION.get(codecs.lookup(encoding).name)
    if windows and re.search(rb"[\x80-\x9f]", sample) and can_decode(sample, windows):
        _warn_of_controls(file.name, encoding, file.describe_setting("encoding", windows))
    return encoding


def _find_mark(sample: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if sample.startswith(mark)), None)


@cache  # a table is read several times
def _warn_of_controls(file: str, encoding: str, setting: str) -> None:
    logger.warning(
        "%s contains bytes that are control characters in %s and are therefore removed. They are "
        "probably quotation marks or apostrophes: to keep them, use %s",
        *(make_printable(file), encoding, setting),
    )


def is_one_byte(encoding: str) -> bool:
    """Return whether an encoding has one byte per character, and so none for most of them."""
    return len("中".encode(encoding, errors="ignore")) == 0


def explain_encoding(file: FileToRead, encoding: str, error: UnicodeError) -> InputError:
    """Return the error of a file in another encoding, with the likely one, or of damaged text."""
    open_whole = file.open_whole or file.open
    with open_whole() as source:
        sample = source.read(SAMPLE)
    with open_whole() as source:
        line, found = _find_undecodable(source, encoding)
    place = str(error)
    if found:
        place = f"byte 0x{found.object[found.start]:02x} in line {line}"
        start = found.object[: found.start].rpartition(b"\n")[2]
        further = sample + found.object[found.start - len(start) :]
        is_marked = _find_mark(sample) is not None  # surer than any setting
        if is_marked or _is_utf8_with_damage(further if sample.isascii() else sample, encoding):
            before = found.object[: found.start].decode(found.encoding, errors="ignore")
            before = before.rpartition("\n")[2][-20:]
            behind = f", after {before!r}" if before else ""
            name = codecs.lookup(encoding).name.removesuffix("-sig").upper()
            return InputError(
                f"{file.name} is {name} text with a damaged character in line {line}{behind}: "
                "repair it, or add encoding_errors: replace to its load_args, in a copy of its "
                "whole entry in conf/local/catalog.yml"
            )
        sample = further  # the right encoding must decode this, too
    names, is_sure = find_encodings(sample, encoding)
    likely = names[: 1 if is_sure else 3]
    how = file.describe_setting("encoding", *likely)
    doubt = f" (or {names[1]})" if is_sure and len(names) > 1 else ""
    if not is_sure:
        doubt = ", whichever shows the letters as they should be"
        if words := _find_difference(sample, likely):
            doubt += f": {' or '.join(map(repr, words))}"
    return InputError(
        f"{file.name} is not {encoding} text ({place}): save it as UTF-8, or set its encoding "
        f"with {how}{doubt}",
        parameters=file.make_parameter("encoding", names[0]) if is_sure else {},
    )


def _find_difference(sample: bytes, encodings: Iterable[str]) -> tuple[str, ...]:
    """Return how the first word that differs between encodings is read in each; none if none."""
    texts = [sample.decode(name, errors="replace").split() for name in encodings]
    pairs = (words for words in zip(*texts, strict=False) if len(set(words)) > 1)
    return tuple(word[:MAX_WORD] for word in next(pairs, ()))


def _find_undecodable(source: IO[bytes], encoding: str) -> tuple[int, UnicodeDecodeError | None]:
    """Return the line of the first byte that can't be decoded, and the error, if there is one."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line, block = 1, b"-"
    try:
        while block:
            block = source.read(SAMPLE)
            line += decoder.decode(block, final=not block).count("\n")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(error.encoding, errors="ignore")
        return line + len(re.findall("\r\n?|\n", before)), error
    except UnicodeError:  # such as that of UTF-16 without a mark
        pass
    return line, None


def _is_utf8_with_damage(sample: bytes, encoding: str) -> bool:
    """Return whether most characters outside ASCII of a file that is read as UTF-8 are valid."""
    if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
        return False
    text = sample.decode(errors="replace")
    others = sum(not character.isascii() for character in text)
    return others > 2 * text.count("\ufffd")


@contextmanager
def as_text(file: IO[bytes], encoding: str = "utf-8", errors: str = "strict") -> Iterator[IO[str]]:
    """Write text to a binary file, which stays open."""
    text = io.TextIOWrapper(file, encoding, errors, newline="")
    try:
        yield text
    finally:
        text.detach()  # flushes, and leaves the file open
