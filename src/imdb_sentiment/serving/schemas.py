"""Types of the JSON requests and responses of the service."""

from collections.abc import Mapping
from types import GenericAlias
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from imdb_sentiment.serving.settings import ServiceSettings

# Descriptions of what is wrong with a request, by the type of pydantic's error.
CLAUSES = {
    "json_invalid": "the body is not JSON in UTF-8: {error}",
    "model_type": "the body must be a JSON object",
    "missing": "the field {field!r} is missing",
    "list_type": "{field!r} must be a list of strings",
    "too_short": "there is no text: send at least one",
    "too_long": "there are more than {max_length} texts: split them across several requests",
    "string_too_long": "{which} has more than {max_length:,} characters: shorten it",
    "string_type": "{which} is not a string",
    "literal_error": "{field} must be {expected}",
    "surplus": "{name} is not a known field; known: {known}",
}


class _Request(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _has_no_surplus_key(cls, data: Any) -> Any:
        """Refuse the first unknown key; `extra="forbid"` would list millions of them."""
        for name in data if isinstance(data, dict) else ():
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields)
                raise PydanticCustomError(
                    "surplus",
                    "unknown field",  # pydantic would also fill in braces within a name
                    {"name": name[:50], "known": known},
                )
        return data

    @classmethod
    def _with_field(cls, **field: Any) -> type[Self]:
        """Return the model with this field, which the OpenAPI description shows."""
        return create_model(cls.__name__, __base__=cls, __doc__=cls.__doc__, **field)


def explain_error(error: Mapping[str, Any]) -> str:
    """Return what pydantic has found wrong with a request, as a clause for people.

    Args:
        error: One of the errors of a `ValidationError`.

    """
    names = [part for part in error["loc"] if isinstance(part, str)]
    numbers = [part for part in error["loc"] if isinstance(part, int)]
    which = f"text {numbers[0] + 1}" if numbers else "the text"
    known = {"which": which, "field": names[-1] if names else ""}
    clause = CLAUSES.get(error["type"])
    return clause.format(**known, **error.get("ctx", {})) if clause else str(error["msg"])


class PredictRequest(_Request):
    """Texts whose sentiment to predict."""

    texts: list[str]

    @classmethod
    def limit(cls, settings: ServiceSettings) -> type[Self]:
        """Return the model with the limits of a service."""
        texts: Any = GenericAlias(list, (_limit_text(settings),))
        described = Field(
            min_length=1,
            max_length=settings.max_texts,
            fail_fast=True,  # otherwise, there would be one error per invalid text
            description="one or more reviews, as written",
            examples=[["A gem."]],
        )
        return cls._with_field(texts=(texts, described))


class ExplainRequest(_Request):
    """A text whose prediction to explain."""

    text: str

    @classmethod
    def limit(cls, settings: ServiceSettings) -> type[Self]:
        """Return the model with the limits of a service."""
        described = Field(description="a review, as written", examples=["A gem."])
        return cls._with_field(text=(_limit_text(settings), described))


def _limit_text(settings: ServiceSettings) -> Any:
    return Annotated[str, Field(max_length=settings.max_characters)]


class PredictionResponse(BaseModel):
    """The prediction for a text."""

    model_config = ConfigDict(from_attributes=True)  # from a `Prediction`

    label: str | None = Field(description="the predicted label; null if there is none")
    probability: float | None = Field(description="probability of this label")
    probabilities: dict[str, float] = Field(
        description="probability of each label; empty if the model knows nothing of the text"
    )
    reason: str | None = Field(description="reason why there is no label; null if there is one")


class PredictResponse(BaseModel):
    """One prediction per text, in the order of the texts."""

    predictions: list[PredictionResponse]


class SegmentResponse(BaseModel):
    """A part of the text: a word, or the text between two words."""

    model_config = ConfigDict(from_attributes=True)  # from a `Segment`

    text: str
    effect: float | None = Field(
        description="drop in the probability of explained_label when only this word is left out; "
        "null if the segment is not a word that the model has read"
    )


class WordCountsResponse(BaseModel):
    """The words of the text that the model's LSTM has read; its n-grams cover the whole text."""

    total: int = Field(description="number of words")
    known: int = Field(description="number of words in the vocabulary")
    read: int = Field(description="number of words that the LSTM has read, all of them known")


class ExplainResponse(BaseModel):
    """The prediction, and the segments that together form the cleaned text."""

    prediction: PredictionResponse
    explained_label: str | None = Field(
        description="the label that the effects are about: the predicted one, or the one that "
        "would be predicted if it were probable enough; null if the model knows nothing of the "
        "text"
    )
    words: WordCountsResponse
    segments: list[SegmentResponse]


class TestScores(BaseModel):
    """How good the model was on its test set."""

    __test__ = False  # for pytest

    reviews: int = Field(description="number of test reviews")
    accuracy: float = Field(
        description="share of the test reviews whose label was predicted correctly"
    )
    accuracy_low: float = Field(
        description="lower end of the 95% confidence interval of the accuracy"
    )
    accuracy_high: float = Field(
        description="upper end of the 95% confidence interval of the accuracy"
    )
    majority_accuracy: float = Field(description="accuracy of always predicting the same label")
    recall: dict[str, float | None] = Field(
        description="share of the test reviews of each label that the model found; null for a "
        "label without any"
    )
    coverage: float | None = Field(
        default=None,
        description="share of the test reviews that get a label: those with a word that the model "
        "knows and a confidence of at least its minimum; null if all of them get one",
    )
    accuracy_answered: float | None = Field(
        default=None,
        description="accuracy on the test reviews that get a label; null if there are none",
    )
    is_unseen: bool = Field(
        description="false if the test reviews were also used to choose the hyperparameters, so "
        "that the accuracy is too high"
    )


class ModelResponse(BaseModel):
    """The model that the service uses."""

    labels: list[str]
    examples: list[str] = Field(description="texts to try the model with")
    vocabulary_size: int = Field(description="number of words, or subwords, that the model knows")
    sequence_length: int = Field(
        description="maximum number of known tokens that the LSTM reads per text"
    )
    head_length: int = Field(
        description="number of tokens that the LSTM reads from the beginning of a longer text; it "
        "reads the others from its end"
    )
    max_ngram: int = Field(
        description="length of the longest word n-grams that it reads; 0 for none"
    )
    character_ngram: int = Field(
        description="length of the character n-grams that it reads; 0 for none"
    )
    test: TestScores | None = Field(
        description="scores on the test set; null if there is no record of the evaluation"
    )
    facts: dict[str, str]


class Problem(BaseModel):
    """The reason why a request failed."""

    detail: str
