"""From the Large Movie Review Dataset (Maas et al., ACL 2011) to tables of reviews."""

import itertools
import logging
import re
from collections.abc import Iterable, Iterator

import pandas as pd

from imdb_sentiment.errors import InputError

logger = logging.getLogger(__name__)

CHUNK_ROWS = 5000
BLOCK_REVIEWS = 500
_LABELLED = re.compile(r"(?:\./)?aclImdb/(train|test)/(pos|neg)/(\d+)_\d+\.txt")
_UNLABELLED = re.compile(r"(?:\./)?aclImdb/train/unsup/\d+_\d+\.txt")
_SENTIMENTS = {"pos": "positive", "neg": "negative"}


def collect_reviews(imdb_archive: Iterable[tuple[str, str]]) -> Iterator[pd.DataFrame]:
    """Collect the labelled reviews; their folder is the label.

    Args:
        imdb_archive: Names and texts of the archive's members, in the layout of the official
            archive; members other than labelled reviews are skipped.

    Returns:
        Chunks with the columns `review`, `sentiment` (positive, negative), `split` (train, test)
        and `block`, which groups 500 consecutive reviews: reviews of one film have consecutive
        numbers, so few films are in two blocks of a label.

    Raises:
        InputError: The archive contains no labelled review; raised at the end of the stream.

    """
    reviews = (
        {
            "review": text,
            "sentiment": _SENTIMENTS[member[2]],
            "split": member[1],
            "block": f"{member[1]}/{member[2]}/{int(member[3]) // BLOCK_REVIEWS}",
        }
        for name, text in imdb_archive
        if (member := _LABELLED.fullmatch(name))
    )
    return _in_chunks(reviews, "labelled")


def collect_unlabelled_reviews(imdb_archive: Iterable[tuple[str, str]]) -> Iterator[pd.DataFrame]:
    """Collect the unlabelled reviews.

    Args:
        imdb_archive: Names and texts of the archive's members; members other than unlabelled
            reviews are skipped.

    Returns:
        Chunks with the column `review`.

    Raises:
        InputError: The archive contains no unlabelled review; raised at the end of the stream.

    """
    reviews = ({"review": text} for name, text in imdb_archive if _UNLABELLED.fullmatch(name))
    return _in_chunks(reviews, "unlabelled")


def _in_chunks(reviews: Iterator[dict[str, str]], kind: str) -> Iterator[pd.DataFrame]:
    total = 0
    while rows := list(itertools.islice(reviews, CHUNK_ROWS)):
        total += len(rows)
        logger.info("%d %s reviews read", total, kind)
        yield pd.DataFrame(rows)
    if total == 0:
        folder = "{train,test}/{pos,neg}" if kind == "labelled" else "train/unsup"
        raise InputError(
            f"the archive has no aclImdb/{folder}/*.txt, so it is not the Large Movie Review "
            "Dataset: pass another with --params imdb_archive=PATH"
        )
