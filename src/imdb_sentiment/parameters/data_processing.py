"""Parameters of the pipeline data_processing."""

import math
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from imdb_sentiment.parameters.base import Fraction, Parameters, Seed
from imdb_sentiment.text.labels import clean_label, distinguish_label
from imdb_sentiment.urls import hide_secrets

AUTO = "auto"  # a setting that is found in the table

# YAML reads true and false without quotes as truth values (and yes and no, which are lost).
Label = Annotated[
    str,
    BeforeValidator(lambda label: str(label).lower() if isinstance(label, bool) else label),
    AfterValidator(clean_label),
]


class ReviewsOptions(Parameters):
    """The columns and labels of a table as conf/ names them; `auto` stands for detecting them.

    Attributes:
        file: Name of the table, for messages and reports.
        text_column: Name of the column with the texts, or `auto`.
        label_column: Name of the column with the labels, or `auto`.
        labels: The labels in the order of their codes 0, 1, …, or `auto`; of two labels, the second
            is the positive class.
        ordered: Whether the labels are ordinal, as star ratings are. The report then also shows the
            mean absolute error and the quadratic kappa.
        max_rejected_fraction: Maximum fraction of rejected rows; if there are more, the run stops.

    """

    file: str
    text_column: str
    label_column: str
    labels: Literal["auto"] | Annotated[tuple[Label, ...], Field(min_length=2)]
    ordered: bool
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        distinct = set(map(distinguish_label, self.labels))
        if self.labels != AUTO and len(distinct) < len(self.labels):
            raise ValueError(f"labels must differ after cleaning and case folding: {self.labels}")
        if self.text_column == self.label_column != AUTO:
            raise ValueError("text_column and label_column must differ")
        return self


class ReviewsParameters(ReviewsOptions):
    """The columns and labels of a table, all of them known: named in conf/, or found.

    The node `find_columns` of data_processing makes it from `ReviewsOptions`, for all later nodes.
    """

    labels: Annotated[tuple[Label, ...], Field(min_length=2)]

    @property
    def file_name(self) -> str:
        """Name of the file, for titles: without its folders, and without the query of a URL."""
        return PurePath(hide_secrets(self.file)).name or self.file


class SplitParameters(Parameters):
    """The division of the rows into training, validation and test.

    Attributes:
        method: `random` draws stratified splits; `column` reads them from the CSV.
        column: Name of the column that says `train`, `validation` or `test`, or the like; used by
            the method `column`.
        group_column: Name of a column with groups of related reviews, such as those of one film;
            null for none. Random splits never divide a group.
        test_fraction: Fraction of all rows held out for testing; used by the method `random`.
        validation_fraction: Fraction of the training rows held out for validation. With the method
            `column`, it is used only if the column names no validation rows.
        seed: Seed of the random splits.

    """

    method: Literal["random", "column"]
    column: str
    group_column: str | None
    test_fraction: Fraction
    validation_fraction: Fraction
    seed: Seed


class TokenizerParameters(Parameters):
    """How texts become sequences of token ids.

    Attributes:
        kind: `words`, or `bpe` for byte-pair encoding (Sennrich et al., ACL 2016), which composes
            rare words from frequent subwords.
        vocabulary_size: Number of words, or subwords, in the vocabulary, which is learnt from the
            training rows.
        sequence_length: Length of a sequence of known tokens, which is padded on the left.
        head_fraction: Share of a sequence taken from the beginning of a longer review; the rest is
            its end, as in "head+tail" of Sun et al., "How to Fine-Tune BERT for Text
            Classification" (CCL 2019). 0 for the end alone, as in Keras's `pad_sequences`.
        script: `auto`, or `spaces` to cut texts only at spaces and marks in scripts whose letters
            would be words of their own, such as Chinese; see `imdb_sentiment.text.words.Rule`.

    """

    kind: Literal["words", "bpe"]
    vocabulary_size: Annotated[int, Field(ge=1)]
    sequence_length: Annotated[int, Field(ge=1)]
    head_fraction: Annotated[float, Field(ge=0, le=1)]
    script: Literal["auto", "spaces"]

    @property
    def head_length(self) -> int:
        """Number of tokens in a sequence that are from the beginning of a longer review."""
        return round(self.head_fraction * self.sequence_length)


class WordVectorsParameters(Parameters):
    """How word vectors are pretrained on the texts, without labels.

    Attributes:
        method: `svd`, a singular value decomposition of the tokens' mutual information, or `none`.
        size: Number of dimensions of a vector.
        window: Maximum distance, in tokens, between a token and those of its context.
        norm: Length to which every vector is scaled; null to keep the learnt lengths, which grow
            with a word's frequency.
        seed: Seed of the decomposition's random start.

    """

    method: Literal["none", "svd"]
    size: Annotated[int, Field(ge=1)]
    window: Annotated[int, Field(ge=1)]
    norm: Annotated[float, Field(gt=0)] | None
    seed: Seed


class ProcessingParameters(Parameters):
    """The processes that clean and tokenise the texts of a table, and score those of inference.

    Attributes:
        workers: Number of processes on this machine that share the chunks of a table; 1 for none
            besides the run itself.
        scheduler_address: Address of the scheduler of a Dask cluster, such as
            `tcp://127.0.0.1:8786`, whose workers are used instead; null for none.

    """

    workers: Annotated[int, Field(ge=1)]
    scheduler_address: str | None


class LanguageModelParameters(Parameters):
    """How the LSTM is pretrained as a language model.

    Attributes:
        passes: Number of epochs over the training reviews and the unlabelled ones; 0 to leave
            this out.
        passes_without_unlabelled: The same if there are no unlabelled reviews: fewer, since the
            network must not know its training reviews better than others. With few reviews, there
            are as many as `required_steps` takes, but at most `passes`.
        required_steps: With so few reviews that there would be fewer gradient steps, this is left
            out: after very few, the LSTM starts worse than without it.
        batch_size: Number of reviews per gradient step.
        learning_rate: Initial learning rate of Adam, which decays to 0 with a cosine.
        seed: Seed of the weights, of the order of the reviews and of what is predicted.

    """

    passes: Annotated[int, Field(ge=0)]
    passes_without_unlabelled: Annotated[int, Field(ge=0)]
    required_steps: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Seed

    @property
    def is_wanted(self) -> bool:
        """Whether there is any pretraining, if there are enough reviews."""
        return bool(self.passes or self.passes_without_unlabelled)

    def count_passes(self, n_reviews: int, *, has_unlabelled: bool) -> int:
        """Return the number of epochs over `n_reviews`; 0 if there is no pretraining."""
        steps = math.ceil(n_reviews / self.batch_size)
        required = math.ceil(self.required_steps / steps)
        if has_unlabelled:
            passes = self.passes
        else:
            fewest = self.passes_without_unlabelled
            passes = max(fewest, min(required, self.passes)) if fewest else 0
        return passes if passes >= required else 0
