"""Detection of the dialect of a CSV from its beginning: delimiter, quotation marks, header."""

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any, Literal

AUTO = "auto"
# Delimiters by the names that a command line can have without quoting.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
_ALIASES = {r"\t": "\t", "pipe": "|"}
MALFORMED_LINE = "malformed line"  # beginning of the reason why a row has no text
ESCAPED = {"escapechar": "\\"}  # quotation marks within a field are not doubled, but escaped
SPACED = {"skipinitialspace": True}  # a space follows each delimiter, also before quotation marks
RECORDS = 100  # maximum number of records that are examined
MIN_RECORDS = 10  # minimum number of records of the same width below lines above a header
MOST, FEW = 0.9, 0.5  # share of records that have as many fields as the header

# The line before the header that tells Excel the delimiter.
_DELIMITER_LINE = re.compile(r'"?sep=([!#-/:-@\[-`{-~\t])"?(\r\n?|\n|$)', re.IGNORECASE)
_QUOTED_FIELD = re.compile(r'"([^"]|"")*"')
_SPACED_FIELD = re.compile(r' +"([^"]|"")*" *')


class UnclearDelimiterError(ValueError):
    """Both the comma and another delimiter fit.

    Args:
        names: Names of both delimiters.

    """

    def __init__(self, *names: str) -> None:
        super().__init__(f"the delimiter may be a {' or a '.join(names)}")
        self.names = names


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written.

    Attributes:
        delimiter: Character that separates its fields.
        has_delimiter_line: Whether a line such as `sep=;`, for Excel, precedes the header.
        quoting: Arguments of `csv.reader`, and of `pandas.read_csv`, if fields are not quoted as
            usual.

    """

    delimiter: str
    has_delimiter_line: bool = False
    quoting: dict[str, Any] = field(default_factory=dict)


def find_delimiter(given: str) -> str:
    """Return the character that a delimiter or its name stands for, or `auto` as it is.

    Raises:
        ValueError: It is neither a known name nor a single character that can separate fields.

    """
    delimiter = {**_ALIASES, **DELIMITERS}.get(given, given)
    is_one = len(delimiter) == 1 and delimiter.isascii() and delimiter not in '"\r\n'
    if delimiter != AUTO and not is_one:
        raise ValueError(
            f"{given!r} is not a delimiter: it must be {', '.join([AUTO, *DELIMITERS])}, or "
            "another single ASCII character"
        )
    return delimiter


def recognise_dialect(
    sample: str, given: str = AUTO, *, is_tsv: bool = False, is_complete: bool = True
) -> Dialect:
    r"""Return how a CSV is written.

    Args:
        sample: The beginning of the CSV.
        given: The delimiter, or its name, or `auto` to recognise it.
        is_tsv: Whether tabs are expected, because of the name of the file.
        is_complete: Whether the sample is the whole file, so that its last record is not cut off.

    Raises:
        UnclearDelimiterError: Both the comma and another one fit.

    Example:
        >>> recognise_dialect("sep=|\ntext|label\nGood, really|positive\n").delimiter
        '|'

    """
    delimiter = find_delimiter(given)
    if told := _DELIMITER_LINE.match(sample):
        sample = sample[told.end() :]
        delimiter = told[1] if delimiter == AUTO else delimiter
    if delimiter == AUTO and is_tsv:
        delimiter = "\t"
    if delimiter == AUTO:
        delimiter = recognise_delimiter(sample, is_complete=is_complete)
    quoting = _recognise_quoting(sample, delimiter, is_complete=is_complete)
    return Dialect(delimiter, bool(told), quoting)


def recognise_delimiter(sample: str, *, is_complete: bool = True) -> str:
    r"""Return the delimiter of a CSV: a comma, unless another one clearly fits better.

    Args:
        sample: The beginning of the CSV, from its header on.
        is_complete: Whether the sample is the whole file, so that its last record is not cut off.

    Returns:
        One of `,`, `;`, `|` and a tab. A delimiter other than the comma is returned only if it
        divides the header and nearly all records into the same number of fields, and the comma
        does not.

    Raises:
        UnclearDelimiterError: Both the comma and another one fit.

    Example:
        >>> recognise_delimiter("text;label\nGood, really;positive\n")
        ';'

    """
    fits = {
        delimiter: _measure_fit(sample, delimiter, is_complete) for delimiter in DELIMITERS.values()
    }
    # As the texts of some TSVs are.
    plain = _measure_fit(sample, "\t", is_complete, quoting=csv.QUOTE_NONE)
    fits["\t"] = max(fits["\t"], plain, key=lambda fit: fit[1])
    width, share = fits.pop(",")
    divided = {d: found for d, (n, found) in fits.items() if n > 1 and found >= MOST}
    other = max(divided, key=divided.__getitem__, default=",")
    if width == 1 or share < FEW:
        return other
    if other != ",":
        names = {delimiter: name for name, delimiter in DELIMITERS.items()}
        raise UnclearDelimiterError("comma", names[other])
    return ","


def has_lines_above(sample: str, delimiter: str, *, is_complete: bool = True) -> bool:
    r"""Return whether there seem to be lines above the header, such as the title of an export.

    If so, the delimiter was not detected: the first record has a single field, although some
    delimiter divides nearly all records into the same number of fields, two or more. A single line
    above records of two fields does not count, since it may be the header of a column of texts.

    Args:
        sample: The beginning of the CSV.
        delimiter: The delimiter that was recognised.
        is_complete: Whether the sample is the whole file, so that its last record is not cut off.

    Example:
        >>> has_lines_above("Reviews of May\n\ntext;label\n" + "Good, really;positive\n" * 20, ",")
        True

    """

    def has(tried: str) -> bool:
        reader = csv.reader(_as_lines(sample), delimiter=tried)
        try:
            lines = [len(record) for record in itertools.islice(reader, RECORDS)]
        except csv.Error:  # a field that is too long
            return False
        lines = lines if is_complete else lines[:-1]
        widths = list(filter(None, lines))
        usual = max(set(widths), key=widths.count, default=1)
        is_usual = widths.count(usual) >= max(MOST * len(widths), MIN_RECORDS)
        return is_usual and widths[0] == 1 < usual and lines.index(usual) > (usual == 2)  # noqa: PLR2004

    header = next(filter(None, csv.reader(_as_lines(sample), delimiter=delimiter)), [])
    return len(header) == 1 and any(map(has, DELIMITERS.values()))


def _recognise_quoting(sample: str, delimiter: str, *, is_complete: bool) -> dict[str, Any]:
    """Return how fields are quoted, as arguments of `csv.reader`; empty if as usual."""
    if f'{delimiter} "' in sample and _has_spaced_quotes(sample, delimiter, is_complete):
        return SPACED
    # MySQL and Spark escape quotation marks by a backslash; elsewhere, a field may end with one.
    if '\\"' in sample:
        (_, usual), (_, escaped) = (
            _measure_fit(sample, delimiter, is_complete, len(sample), strict=True, **quoting)
            for quoting in ({}, ESCAPED)
        )
        if escaped > usual and escaped >= MOST:
            return ESCAPED
    if delimiter == "\t" and _has_literal_quotes(sample, is_complete=is_complete):
        return {"quoting": csv.QUOTE_NONE}
    return {}


def _has_spaced_quotes(sample: str, delimiter: str, is_complete: bool) -> bool:
    """Return whether there are spaces between delimiters and the quotation marks of fields.

    More records then fit if these spaces are skipped or, if no quoted field has a delimiter, nearly
    all have a field that only the space keeps from being a quoted one.
    """
    (_, usual), (width, spaced) = (
        _measure_fit(sample, delimiter, is_complete, len(sample), **options)
        for options in ({}, SPACED)
    )
    if width == 1 or spaced < MOST or spaced < usual:
        return False
    if spaced > usual:
        return True
    reader = csv.reader(_as_lines(sample), delimiter=delimiter)  # which has just read it
    _, *records = itertools.islice(reader, RECORDS)
    n_spaced = sum(any(map(_SPACED_FIELD.fullmatch, record)) for record in records)
    return n_spaced >= max(1, MOST * len(records))


def _measure_fit(
    sample: str, delimiter: str, is_complete: bool, n_records: int = RECORDS, **options: Any
) -> tuple[int, float]:
    """Return the number of fields of the header, and the share of records with the same number.

    `options` are further arguments of `csv.reader`. The share is 0 if it can't read the sample.
    """
    reader = csv.reader(_as_lines(sample), delimiter=delimiter, **options)
    records: list[list[str]] = []
    try:
        records.extend(itertools.islice(reader, n_records + 1))
    except csv.Error as error:  # a field that is too long or, if strict, quoted in another way
        if is_complete or "unexpected end" not in str(error):  # the last record may be cut off
            return 1, 0.0
    header, *rows = [record for record in records if record] or [[]]
    if not is_complete and len(records) <= n_records:
        rows = rows[:-1]
    if not rows:
        return len(header), 1.0
    return len(header), sum(len(row) == len(header) for row in rows) / len(rows)


def _has_literal_quotes(sample: str, *, is_complete: bool) -> bool:
    """Return whether the quotation marks of a TSV are part of its texts, and quote nothing.

    Without quoting, nearly all lines then have as many fields as the header, none of which is
    quoted, and more fit than with quoting, where a mark that is never closed joins them. There are
    fields with quotation marks that a writer that quotes would have quoted or doubled.
    """

    def read(quoting: Literal[0, 3]) -> list[list[str]]:
        records: list[list[str]] = []
        with contextlib.suppress(csv.Error):  # a field that is too long
            reader = csv.reader(_as_lines(sample), "excel-tab", quoting=quoting)
            records.extend(filter(None, reader))
        return records if is_complete else records[:-1]  # the last one may be cut

    literal, quoted = read(csv.QUOTE_NONE), read(csv.QUOTE_MINIMAL)
    if not literal or len(literal[0]) == 1 or any(map(_QUOTED_FIELD.fullmatch, literal[0])):
        return False

    def count_fits(records: list[list[str]]) -> int:
        return sum(len(record) == len(literal[0]) for record in records)

    fits = count_fits(literal)
    # Lines of quoted fields with line breaks don't fit, so each that doesn't counts against them.
    gain = 2 * (fits - count_fits(quoted)) - (len(literal) - len(quoted))
    marked = [field for record in literal for field in record if '"' in field]
    n_quoted = sum(map(bool, map(_QUOTED_FIELD.fullmatch, marked)))
    # Where both fit equally well, the marks quote if most of them enclose a field.
    is_better = gain > 0 or (gain == 0 and 2 * n_quoted < len(marked))
    return is_better and fits >= MOST * len(literal) and n_quoted < len(marked)


def _as_lines(sample: str) -> IO[str]:
    return io.StringIO(sample, newline="")


def name_columns(cells: Iterable[str]) -> list[str]:
    """Return the names of the columns from the cells of a header.

    Spreadsheets leave empty columns behind; these get a name of their own.
    """
    return [cell.strip() or f"unnamed_{place}" for place, cell in enumerate(cells)]


def describe_surplus(n_fields: int, n_columns: int) -> str:
    """Return what is wrong with a record that has more fields than there are columns."""
    return f"{n_fields} fields where the header has {n_columns}"
