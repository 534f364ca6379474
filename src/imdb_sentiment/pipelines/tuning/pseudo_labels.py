"""Pseudo-labels of unlabelled reviews, predicted by n-grams; networks learn from them first."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.network.ngram_regression import default_weights, regress_on
from imdb_sentiment.network.ngrams import NgramModel, hash_labelled, hash_texts, sample_unlabelled
from imdb_sentiment.network.training import PseudoLabels
from imdb_sentiment.parameters import (
    NgramsParameters,
    PseudoLabelsParameters,
    TokenizerParameters,
    parse_class_weight,
)
from imdb_sentiment.pipelines.tuning.protocol import HeldOutSet
from imdb_sentiment.progress import track
from imdb_sentiment.text.batching import shorten
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.tokenizer import UNKNOWN_ID

logger = logging.getLogger(__name__)

MIN_REVIEWS = 1000  # fewer have not been tried
MIN_SHARE = 1.0  # unlabelled reviews per labelled one; a lower share has not been tried
LENGTH_FRACTION = 0.25  # share of each sequence that a network reads; the whole takes longer

# Settings of these n-grams: those of conf/base. They are not `training.ngrams`, which may be
# changed after the search without a new one.
NGRAMS = NgramsParameters(
    share=1.0,
    max_ngram=3,
    min_document_frequency=2,
    max_features=200_000,
    character_ngram=4,
    character_weight="auto",
    latent_dimensions=200,
    inverse_regularisation=5,
)


def label_unlabelled_reviews(
    *,
    clean_reviews: Iterable[pd.DataFrame],
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    held_out_sets: list[HeldOutSet],
    train: EncodedReviews,
    validation: EncodedReviews,
    tokenizer: Tokenizer,
    words: Sequence[str],
    tokenization: TokenizerParameters,
    pseudo_labels: PseudoLabelsParameters,
    seed: int,
    class_weight: Any,  # ClassWeight, but Kedro warns of unions
    use_validation_rows: bool,
) -> tuple[PseudoLabels, ...]:
    """Predict pseudo-labels by n-grams, once for each training of a network.

    The n-grams learn from the same reviews as the network, so that it is scored on reviews that
    neither has seen.

    Args:
        clean_reviews: Chunks with the columns `row`, `text` and `split`: the texts.
        clean_unlabelled_reviews: Chunks with the columns `row`, `text` and `words`, which are read
            several times; possibly none.
        held_out_sets: Pairs of sets from `hold_out_reviews`; a trial learns from the first set of
            each.
        train: Reviews that the final network learns from.
        validation: Reviews that it learns from as well, if `use_validation_rows` says so.
        tokenizer: Tokenizer from `fit_tokenizer`.
        words: Distinct words, from `check_reviews`.
        tokenization: Number of tokens kept from the beginning of a long review, and the script.
        pseudo_labels: Maximum number of reviews that get pseudo-labels.
        seed: Seed by which reviews are drawn if there are more.
        class_weight: Weight of each label in the loss.
        use_validation_rows: Whether the final network learns from the validation reviews, too.

    Returns:
        The pseudo-labels for each pair of `held_out_sets`, and last those for the final network,
        all of the same reviews and with the same sequences, whose length is a quarter of the whole;
        empty if they are not wanted, or if there are too few unlabelled reviews with a known word,
        which the others lack, or labelled ones with the same n-grams.

    Raises:
        InputError: A label of `class_weight` does not exist.

    """
    is_drawn = _draw_reviews(clean_unlabelled_reviews, pseudo_labels.max_reviews, seed)
    if not len(is_drawn):
        return ()
    length = max(1, round(LENGTH_FRACTION * train.sequences.shape[1]))
    encoder = ReviewEncoder(tokenizer, words, tokenization.head_length)
    sequences = np.concatenate(
        [
            shorten(encoder.encode(chunk), length)
            for chunk in _select(clean_unlabelled_reviews, is_drawn)
        ]
    )
    # Those in another language have no known word.
    is_readable = (sequences > UNKNOWN_ID).any(axis=1)
    sequences = sequences[is_readable]
    n_labelled = len(train) + len(validation)
    n_unlabelled = len(is_drawn) * len(sequences) // is_readable.size  # about, if some are drawn
    if n_unlabelled < max(MIN_REVIEWS, MIN_SHARE * n_labelled):
        fewer = MIN_REVIEWS if n_unlabelled < MIN_REVIEWS else f"the {n_labelled:,} labelled ones"
        _say_without(f"{n_unlabelled:,} unlabelled reviews with known words are fewer than {fewer}")
        return ()
    is_drawn[is_drawn] = is_readable
    class_weight = parse_class_weight(class_weight)
    compute_label_weights(class_weight, train.codes, train.labels)  # refuses what none can use
    script = tokenization.script
    by_row = hash_labelled(clean_reviews, NGRAMS, script)
    sampled = sample_unlabelled(clean_unlabelled_reviews, n_labelled, NGRAMS, script, seed)

    def fit(*learnt: EncodedReviews) -> NgramModel:
        """Return the n-grams that have learnt from some of the labelled reviews."""
        regression = regress_on(
            learnt,
            hashes=by_row,
            parameters=NGRAMS,
            class_weight=class_weight,
            script=script,
            unlabelled=sampled,
        )
        return regression.fit(default_weights(NGRAMS))

    sets: list[tuple[EncodedReviews, ...]] = [(learnt,) for learnt, _ in held_out_sets]
    if use_validation_rows or len(held_out_sets) > 1:
        sets.append((train, validation) if use_validation_rows else (train,))
    try:
        models = [fit(*learnt) for learnt in track(sets, "N-grams for pseudo-labels", "models")]
    except InputError as error:  # it also advises to change `training.ngrams`, which are others
        _say_without(str(error).partition(":")[0])
        return ()
    by_row.clear()
    sampled.clear()
    found_rows: list[npt.NDArray[np.int64]] = []
    scored: list[list[npt.NDArray[np.float32]]] = [[] for _ in models]
    for chunk in _select(clean_unlabelled_reviews, is_drawn):
        found_rows.append(chunk["row"].to_numpy(np.int64))
        hashes = hash_texts(chunk["text"], NGRAMS, script)
        for model, found in zip(models, scored, strict=True):
            found.append(to_probabilities(model.score(hashes)).astype(np.float32))
    rows = np.concatenate(found_rows)
    logger.info("The n-grams have predicted pseudo-labels for %s reviews", f"{len(rows):,}")
    labels = [PseudoLabels(sequences, np.concatenate(found), rows) for found in scored]
    if len(labels) == len(held_out_sets):  # the final network learns from the same reviews
        labels.append(labels[0])
    return tuple(labels)


def _say_without(reason: str) -> None:
    logger.info("The LSTM is not trained on pseudo-labels: %s", reason)


def _select(
    chunks: Iterable[pd.DataFrame], is_chosen: npt.NDArray[np.bool_]
) -> Iterator[pd.DataFrame]:
    """Yield those rows of chunks that are chosen."""
    n_seen = 0
    for chunk in chunks:
        yield chunk.iloc[np.flatnonzero(is_chosen[n_seen : n_seen + len(chunk)])]
        n_seen += len(chunk)


def _draw_reviews(
    chunks: Iterable[pd.DataFrame], max_reviews: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Return whether each review is one of at most `max_reviews` that are drawn at random."""
    n_reviews = sum(map(len, chunks)) if max_reviews else 0
    is_drawn = np.ones(n_reviews, bool)
    if n_reviews > max_reviews:
        is_drawn[np.random.default_rng(seed).permutation(n_reviews)[max_reviews:]] = False
    return is_drawn
