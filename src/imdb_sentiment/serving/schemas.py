"""What goes into the service and comes out of it, as JSON."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from imdb_sentiment.serving.explanation import Segment
from imdb_sentiment.serving.predictor import Prediction, explain_silence


def _require_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("half of a surrogate pair is no character") from error
    return text


Text = Annotated[str, AfterValidator(_require_unicode)]


class PredictRequest(BaseModel):
    """Texts to be judged."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": ["A gem."]}]}
    )

    texts: list[Text] = Field(min_length=1, description="one or more reviews, as people write them")


class ExplainRequest(BaseModel):
    """A text to be judged word by word."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(description="a review, as people write it", examples=["A gem."])


class PredictionResponse(BaseModel):
    """What the model makes of a text."""

    label: str | None = Field(description="the most probable label; null if there is none")
    probability: float | None = Field(description="of that label")
    probabilities: dict[str, float] = Field(description="of each label; empty without a label")
    reason: str | None = Field(description="why there is no label")

    @classmethod
    def describe(cls, text: str, prediction: Prediction) -> "PredictionResponse":
        """Put a prediction into words."""
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
