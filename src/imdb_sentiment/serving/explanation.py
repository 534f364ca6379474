"""Which words of a text moved the model, and how far."""

from dataclasses import dataclass

import numpy as np

from imdb_sentiment.serving.predictor import Prediction, Predictor
from imdb_sentiment.text import clean_text, locate_known_words


@dataclass(frozen=True)
class Segment:
    """A piece of the text.

    Attributes:
        text: The piece, white space and punctuation included.
        effect: If it is a word that the model has read: how much the probability of the predicted
            label falls when it alone is left out, from -1 to 1. None for all else.

    """

    text: str
    effect: float | None


def explain(predictor: Predictor, text: str) -> tuple[Prediction, list[Segment]]:
    """Predict the label of a text, and again without each of its words ("leave-one-out").

    The method is the erasure of Li, Monroe and Jurafsky, "Understanding Neural Networks through
    Representation Erasure" (2016). The effect of the only known word of a text is measured against
    the probability of a label drawn at random.

    Args:
        predictor: The model.
        text: As people write it.

    Returns:
        The prediction, and segments that make up the cleaned text in order.

    """
    cleaned = clean_text(text)
    tokens, places = locate_known_words(predictor.tokenizer, cleaned)
    if not places:
        return Prediction(None, {}), [Segment(cleaned, None)] if cleaned else []
    (probabilities,) = predictor.score_tokens(tokens[np.newaxis])
    label = probabilities.argmax()
    if len(tokens) == 1:
        without = np.full(1, 1 / len(predictor.labels))
    else:
        others = ~np.eye(len(tokens), dtype=bool)
        shorter = np.broadcast_to(tokens, others.shape)[others].reshape(len(tokens), -1)
        without = predictor.score_tokens(shorter)[:, label]
    effects = probabilities[label] - without
    segments = []
    end = 0
    for (start, stop), effect in zip(places, effects.tolist(), strict=True):
        if start > end:
            segments.append(Segment(cleaned[end:start], None))
        segments.append(Segment(cleaned[start:stop], effect))
        end = stop
    if end < len(cleaned):
        segments.append(Segment(cleaned[end:], None))
    return predictor.name_label(probabilities), segments
