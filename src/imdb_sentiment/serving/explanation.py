"""Effects of single words on a prediction."""

from dataclasses import dataclass

import numpy as np

from imdb_sentiment.serving.predictor import Prediction, Predictor
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import locate_known_words


@dataclass(frozen=True)
class Segment:
    """A part of a text: a word, or the text between two words.

    Attributes:
        text: The characters of the segment, including white space and punctuation.
        effect: Drop in the probability of the predicted label when only this word is left out, from
            -1 to 1. None if the segment is not a word that the model has read.

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
    Representation Erasure" (2016). If a text has only one known word, its effect is the difference
    to the probability of a randomly drawn label.

    Args:
        predictor: Exported model.
        cleaned: Text from `clean_text`.

    Returns:
        The prediction, and the segments whose texts, joined in order, are the cleaned text.

    """
    tokens, words, places = locate_known_words(predictor.tokenizer, cleaned)
    if not places:
        return Prediction(None, {}), [Segment(cleaned, None)] if cleaned else []
    (probabilities,) = predictor.score_tokens(tokens[np.newaxis])
    label = probabilities.argmax()
    shorter = np.zeros((len(places), len(tokens)), np.uint32)
    for word, row in enumerate(shorter):
        others = tokens[words != word]
        row[len(row) - len(others) :] = others
    without = predictor.score_sequences(shorter)[:, label]
    effects = probabilities[label] - np.nan_to_num(without, nan=1 / len(predictor.labels))
    segments: list[Segment] = []
    end = 0
    for (start, stop), effect in zip(places, effects.tolist(), strict=True):
        segments += [Segment(cleaned[end:start], None), Segment(cleaned[start:stop], effect)]
        end = stop
    segments.append(Segment(cleaned[end:], None))
    return predictor.name_label(probabilities), [segment for segment in segments if segment.text]
