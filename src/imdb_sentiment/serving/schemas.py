"""What goes into the service and comes out of it, as JSON."""

from types import GenericAlias
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from imdb_sentiment.serving.explanation import Segment
from imdb_sentiment.serving.predictor import Prediction, explain_silence
from imdb_sentiment.serving.settings import ServiceSettings


class _Request(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _has_no_surplus_key(cls, data: Any) -> Any:
        """Refuse the first key that is not known; `extra="forbid"` would list millions of them."""
        for name in data if isinstance(data, dict) else ():
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields)
                raise PydanticCustomError(
                    "surplus",
                    "{name} is not known, only {known}",
                    {"name": name[:50], "known": known},
                )
        return data

    @classmethod
    def limit(cls, settings: ServiceSettings) -> type[Self]:
        """Return the model with the limits of a service, which its description then states."""
        raise NotImplementedError


class PredictRequest(_Request):
    """Texts to be judged."""

    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": False, "examples": [{"texts": ["A gem."]}]}
    )

    texts: list[str]

    @classmethod
    def limit(cls, settings: ServiceSettings) -> type[Self]:
        """Return the model with the limits of a service."""
        texts: Any = GenericAlias(list, (_limit_text(settings),))
        described = Field(
            min_length=1,
            max_length=settings.max_texts,
            fail_fast=True,  # or there would be as many errors as wrong texts
            description="one or more reviews, as people write them",
        )
        return create_model(
            cls.__name__, __base__=cls, __doc__=cls.__doc__, texts=(texts, described)
        )


class ExplainRequest(_Request):
    """A text to be judged word by word."""

    text: str

    @classmethod
    def limit(cls, settings: ServiceSettings) -> type[Self]:
        """Return the model with the limits of a service."""
        described = Field(description="a review, as people write it", examples=["A gem."])
        text = _limit_text(settings)
        return create_model(cls.__name__, __base__=cls, __doc__=cls.__doc__, text=(text, described))


def _limit_text(settings: ServiceSettings) -> Any:
    # To count its characters, pydantic wants real ones: no half of a surrogate pair comes in.
    return Annotated[str, Field(max_length=settings.max_characters)]


class PredictionResponse(BaseModel):
    """What the model makes of a text."""

    label: str | None = Field(description="the most probable label; null if there is none")
    probability: float | None = Field(description="of that label")
    probabilities: dict[str, float] = Field(description="of each label; empty without a label")
    reason: str | None = Field(description="why there is no label")

    @classmethod
    def describe(cls, text: str, prediction: Prediction) -> "PredictionResponse":
        """Put a prediction into words; in a job, as it may take the time of cleaning the text."""
        return cls(
            label=prediction.label,
            probability=prediction.probability,
            probabilities=prediction.probabilities,
            reason=None if prediction.label is not None else explain_silence(text),
        )


class PredictResponse(BaseModel):
    """One prediction a text, in the order of the texts."""

    predictions: list[PredictionResponse]


class SegmentResponse(BaseModel):
    """A piece of the text."""

    text: str
    effect: float | None = Field(
        description="of a word that the model has read: how much the label's probability falls "
        "without it"
    )

    @classmethod
    def describe(cls, segment: Segment) -> "SegmentResponse":
        """Put a segment into words."""
        return cls(text=segment.text, effect=segment.effect)


class ExplainResponse(BaseModel):
    """The prediction, and the pieces that make up the text, cleaned, in order."""

    prediction: PredictionResponse
    segments: list[SegmentResponse]


class ModelResponse(BaseModel):
    """What the service runs on."""

    labels: list[str]
    examples: list[str] = Field(description="texts to try it with")
    facts: dict[str, str]


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str
