"""Effects of single words on a prediction."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, islice

import numpy as np

from imdb_sentiment.serving.predictor import Prediction, Predictor
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import Hashes, hash_parts, locate_tokens, split_tokens
from imdb_sentiment.text.tokenizer import cut_tokens, get_sequence_length, locate_known_words
from imdb_sentiment.text.words import get_rule

MAX_WORDS = 500  # maximum number of words with an effect, since each takes a prediction
# Number of variants of a text per call: each lacks a word, and may have thousands of n-grams.
WORDS_AT_A_TIME = 50
NOWHERE = (0, 0)  # start and stop of a word that is not there


@dataclass(frozen=True)
class Segment:
    """A part of a text: a word, or the text between two words.

    Attributes:
        text: The characters of the segment, including white space and punctuation.
        effect: Drop in the probability of a label when only this word is left out, from -1 to 1;
            see `find_explained_label`. None if the segment is not a word that the model has read,
            or one of more than 500.

    """

    text: str
    effect: float | None


def explain(predictor: Predictor, text: str) -> tuple[Prediction, list[Segment]]:
    """Predict the label of a text and explain the prediction.

    Args:
        predictor: Exported model.
        text: Text as written; it is cleaned here.

    Returns:
        The prediction, and the segments of the cleaned text; see `explain_cleaned`.

    """
    return explain_cleaned(predictor, clean_text(text))


def explain_cleaned(predictor: Predictor, cleaned: str) -> tuple[Prediction, list[Segment]]:
    """Predict the label of a cleaned text, and again without each of its words ("leave-one-out").

    The method is the erasure of Li, Monroe and Jurafsky, "Understanding Neural Networks through
    Representation Erasure" (2016). If the model knows nothing of a text without a word, the word's
    effect is the difference to the probability of a randomly drawn label.

    Args:
        predictor: Exported model.
        cleaned: Text from `clean_text`.

    Returns:
        The prediction, and the segments whose texts, joined in order, are the cleaned text.

    """
    tokens, words, known = locate_known_words(predictor.tokenizer, cleaned, predictor.head_length)
    places = _find_words(cleaned, predictor) if predictor.max_ngram else known
    # Row 0 is the whole text, row i + 1 the text without word i.
    rows = [NOWHERE, *places]
    sequences = np.zeros((len(rows), len(tokens)), np.uint32)
    known_starts, known_stops = np.reshape(known, (-1, 2)).T  # also if there is none
    for sequence, (start, stop) in zip(sequences, rows, strict=True):
        is_kept = (known_stops <= start) | (known_starts >= stop)
        kept = tokens[is_kept[words]]
        sequence[len(tokens) - len(kept) :] = kept
    ngrams = _leave_words_out(cleaned, rows, predictor) if predictor.max_ngram else None
    scored = []
    for first in range(0, len(rows), WORDS_AT_A_TIME):
        some = sequences[first : first + WORDS_AT_A_TIME]
        some_ngrams = list(islice(ngrams, len(some))) if ngrams else None
        scored.append(predictor.score_sequences(some, some_ngrams))
    probabilities, *without = np.concatenate(scored)
    if np.isnan(probabilities[0]):
        silence = predictor.explain_silence(cleaned, is_scored=False)
        return Prediction(None, {}, silence), [Segment(cleaned, None)] if cleaned else []
    label = predictor.choose_label(probabilities)
    unknown = 1 / len(predictor.labels)
    segments: list[Segment] = []
    end = 0
    for (start, stop), other in zip(places, without, strict=True):
        effect = float(probabilities[label] - np.nan_to_num(other[label], nan=unknown))
        segments += [Segment(cleaned[end:start], None), Segment(cleaned[start:stop], effect)]
        end = stop
    segments.append(Segment(cleaned[end:], None))
    prediction = predictor.name_label(cleaned, probabilities)
    return prediction, [segment for segment in segments if segment.text]


def find_explained_label(predictor: Predictor, prediction: Prediction) -> str | None:
    """Return the label that the effects of a prediction are about.

    Args:
        predictor: Exported model.
        prediction: Its prediction.

    Returns:
        The predicted label, or the one that would be predicted if it were probable enough; None if
        the model knows nothing of the text.

    """
    if not prediction.probabilities:
        return None
    probabilities = np.array([prediction.probabilities[label] for label in predictor.labels])
    return predictor.labels[predictor.choose_label(probabilities)]


def _find_words(text: str, predictor: Predictor) -> list[tuple[int, int]]:
    """Return the places of the words of a text, including emoji, but no other marks.

    If there are more than `MAX_WORDS`, only the first and the last ones are returned, in the shares
    that the network reads.
    """
    places = locate_tokens(text, predictor.script)
    rule = get_rule(predictor.script)
    words = list(compress(places, (rule.has_word(text[start:stop]) for start, stop in places)))
    head_length = MAX_WORDS * predictor.head_length // get_sequence_length(predictor.tokenizer)
    return cut_tokens(words, MAX_WORDS, head_length)


def _leave_words_out(
    text: str, places: list[tuple[int, int]], predictor: Predictor
) -> Iterator[Hashes]:
    """Yield the n-grams of a text without each of the words at `places`."""
    tokens = split_tokens(text, predictor.script)
    starts, stops = np.reshape(locate_tokens(text, predictor.script), (-1, 2)).T
    parts = ((stops <= start) | (starts >= stop) for start, stop in places)
    yield from hash_parts(tokens, parts, predictor.max_ngram, predictor.character_ngram)
