"""Parameters of the pipeline data_processing."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from imdb_sentiment.parameters.base import Fraction, Parameters


def normalise_label(label: str) -> str:
    """Return the form in which labels and split names are compared: trimmed and case folded."""
    return label.strip().casefold()


class ReviewsParameters(Parameters):
    """Where the CSV keeps text and label, which labels there are, and how much may be unusable.

    Attributes:
        file: Name of the CSV, for messages and reports.
        text_column: Column with the review's text.
        label_column: Column with the review's label.
        labels: The labels in the order of their codes 0, 1, …; of two labels the second is the
            positive class.
        max_rejected_fraction: Share of rows that may be refused before the run stops.

    """

    file: str
    text_column: str
    label_column: str
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        if len({normalise_label(label) for label in self.labels}) < len(self.labels):
            raise ValueError(f"labels must differ after trimming and case folding: {self.labels}")
        if self.text_column == self.label_column:
            raise ValueError("text_column and label_column must differ")
        return self


class SplitParameters(Parameters):
    """How rows are divided into training, validation and test.

    Attributes:
        method: `random` draws stratified splits; `column` takes them from the CSV.
        column: Column that says `train`, `validation` or `test`; used by the method `column`.
        test_fraction: Share of all rows held out for the test; used by the method `random`.
        validation_fraction: Share of the training rows held out for validation; with the method
            `column` it is used where the column names no validation rows.
        group_column: Column with what reviews may have in common, such as their film; null for
            none. Rows of one group are drawn into one split.
        seed: Seed of the random splits.

    """

    method: Literal["random", "column"]
    column: str
    group_column: str | None
    test_fraction: Fraction
    validation_fraction: Fraction
    seed: int


class TokenizerParameters(Parameters):
    """What a token is, how many are known, and how many a review has.

    Attributes:
        kind: `words`, or `bpe` for words and parts of words (Sennrich et al., ACL 2016), so that
            rare words are made of known parts.
        vocabulary_size: How many tokens are known: the most frequent words of the training rows, or
            as many parts of words.
        sequence_length: Tokens kept of a review: its last ones, padded on the left.

    """

    kind: Literal["words", "bpe"]
    vocabulary_size: Annotated[int, Field(ge=1)]
    sequence_length: Annotated[int, Field(ge=1)]


class WordVectorsParameters(Parameters):
    """How vectors of the tokens are learnt before training, from the text alone.

    Attributes:
        method: `word2vec` (Mikolov et al., 2013), or `none`.
        size: Width of a vector.
        window: Words to each side that are its context.
        skip_gram: Whether a word is to tell its context, rather than the context the word.
        epochs: Passes over the text.
        norm: Length that each vector is brought to: word2vec's grow with a word's frequency. None
            to leave them as they are.
        seed: Of the initial vectors and the negative samples.

    """

    method: Literal["none", "word2vec"]
    size: Annotated[int, Field(ge=1)]
    window: Annotated[int, Field(ge=1)]
    skip_gram: bool
    epochs: Annotated[int, Field(ge=1)]
    norm: Annotated[float, Field(gt=0)] | None
    seed: int
