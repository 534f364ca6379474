"""From texts to labels with the exported model, using only onnxruntime and tokenizers."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from imdb_sentiment.errors import MAX_NAME, InputError, make_printable
from imdb_sentiment.evaluation.probabilities import DecisionRule, expand_probabilities
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import Hashes, hash_ngrams, locate_characters
from imdb_sentiment.text.tokenizer import TextEncoder
from imdb_sentiment.text.words import get_rule

# Limits per call of the network; larger calls need more memory and are no faster.
MAX_TOKENS = 4096
MAX_NGRAMS = 50_000  # word and character n-grams, with padding; a single text may have more

# A model may name files with its weights, which onnxruntime would look for in the current folder.
NO_FOLDER = "/nonexistent"

Tokens = Sequence[int] | npt.NDArray[np.unsignedinteger]

# An exported model ends in the last entry of its metadata: `sha256`, with the digest of all bytes
# before that entry as 64 hexadecimal digits.
TRAILER_BYTES = 76
DIGEST_BYTES = 64


class ModelError(InputError):
    """The file is not an exported model, or a damaged one; the message says which."""


@dataclass(frozen=True)
class Prediction:
    """The label that the model predicts for a text.

    Attributes:
        label: The predicted label, usually the most probable one; None if the model knows nothing
            of the text, neither a word nor an n-gram, or if no label is probable enough.
        probabilities: The probability of each label; empty if the model knows nothing of the text.
        reason: Reason why there is no label; None if there is one.

    """

    label: str | None
    probabilities: dict[str, float]
    reason: str | None = None

    @property
    def probability(self) -> float | None:
        """The probability of `label`; None if there is none."""
        return None if self.label is None else self.probabilities[self.label]


def _check_digest(model: bytes) -> None:
    """Raise `ModelError` if an exported model is incomplete or changed; it is not parsed."""
    content, trailer = model[:-TRAILER_BYTES], model[-TRAILER_BYTES:]
    if b"sha256" not in trailer:
        raise ModelError(
            "the model is incomplete or not an exported one, since the digest at its end is "
            "missing: export the model again with kedro run --pipelines training"
        )
    if trailer[-DIGEST_BYTES:] != hashlib.sha256(content).hexdigest().encode():
        raise ModelError("the model has been modified since its export: export the model again")


class Predictor:
    """The exported model, ready to predict; safe to share between threads.

    Args:
        model: Content of `model.onnx`, from `imdb_sentiment.network.export`: the network, its
            tokenizer, labels and facts under one digest.
        threads: Number of threads that a single call may use; None for all cores.

    Attributes:
        labels: Names of the labels in the order of their codes.
        has_network: Whether the model has an LSTM, and not n-grams alone.
        rule: Rule by which probabilities become a label, or no answer.
        tokenizer: The tokenizer of the training; see `imdb_sentiment.text.tokenizer`.
        head_length: Number of tokens that the network reads from the beginning of a text with more
            known tokens than the sequence length; it reads the others from the end.
        unknown_tokens: Token ids that the network reads of a text without a known word; none in
            older models, which do not answer then.
        max_ngram: Length of the longest word n-grams that the model reads, in words and punctuation
            marks; 0 if it reads none.
        character_ngram: Length of the character n-grams that the model reads; 0 if it reads none.
        character_weight: Norm of a text's TF-IDF vector of character n-grams in the training, where
            that of its word n-grams had a norm of 1; 0 if the model reads none.
        unlabelled_reviews: Number of unlabelled reviews that the weights of the n-grams were learnt
            from, beside labelled ones.
        script: Rule for cutting texts into the words of n-grams, if the model reads any; see
            `imdb_sentiment.text.words.Rule`.
        examples: Texts for people to try the model with.
        facts: Further facts about the model, such as the versions of the packages that made it and
            the fingerprint of its data.

    Raises:
        ModelError: It is not an exported model, or has changed since its export.

    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        _check_digest(model)
        self._arguments = (model, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", NO_FOLDER
        )
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the errors of onnxruntime have no other base class
            raise ModelError(f"the file is not an ONNX model ({error})") from error
        self.facts: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        try:
            self._read_facts()
        except ModelError:
            raise
        except KeyError as error:
            raise ModelError(
                f"the model lacks {error}: export it again with kedro run --pipelines training"
            ) from error
        except Exception as error:  # the errors of tokenizers have no other base class
            raise ModelError(
                f"the model's metadata can't be read ({error}): export the model again with "
                "kedro run --pipelines training"
            ) from error

    def _read_facts(self) -> None:
        """Set the attributes that come from the metadata, and leave the rest in `facts`."""
        specification = self.facts.pop("tokenizer")
        del self.facts["sha256"]
        self.labels = _read_texts(self.facts.pop("labels"))
        self.examples = _read_texts(self.facts.pop("examples"))
        self.has_network = "token_ids" in {found.name for found in self._session.get_inputs()}
        (output,) = self._session.get_outputs()
        width = output.shape[-1]
        if len(self.labels) != (2 if width == 1 else width):  # one column is for two labels
            raise ValueError(f"{len(self.labels)} labels for an output of the width {width}")
        decision = json.loads(self.facts.pop("decision", "{}"))
        weights = np.array(decision.get("label_weights", [1.0] * len(self.labels)), np.float64)
        if weights.shape != (len(self.labels),):
            raise ValueError("the label weights are not one per label")
        self.rule = DecisionRule(
            weights, bool(decision.get("is_median")), float(decision.get("min_confidence", 0))
        )
        self.tokenizer = Tokenizer.from_str(specification)
        self.head_length = int(self.facts.pop("head_length", 0))  # older models have none
        unknown = self.facts.pop("unknown_token", None)
        self.unknown_tokens = [int(unknown)] if unknown else []
        self.max_ngram = int(self.facts.pop("max_ngram", 0))
        self.character_ngram = int(self.facts.pop("character_ngram", 0))
        self.character_weight = float(self.facts.pop("character_weight", 0))
        self.unlabelled_reviews = int(self.facts.pop("unlabelled_reviews", 0))
        steps = {step["name"]: step for step in json.loads(self.facts.get("lineage", "[]"))}
        self._reviews_digest = str(steps.get("raw_reviews", {}).get("sha256", ""))
        script = self.facts.pop("script", "ascii")  # older models do not name it
        try:
            self._encoder = TextEncoder(self.tokenizer, self.head_length)
            self.script = get_rule(script).script
        except ValueError as error:
            raise ModelError(
                f"the model was exported by a newer version of the project: {error}"
            ) from error

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> Self:
        """Read an exported model from a file.

        Args:
            path: The file.
            threads: Number of threads that a single call may use; None for all cores.

        Returns:
            The predictor.

        Raises:
            FileNotFoundError: There is no such file.
            ModelError: The file can't be used; the message begins with its path.

        """
        try:
            return cls(Path(path).read_bytes(), threads)
        except ModelError as error:
            raise ModelError(f"{path} can't be used: {error}") from error

    def __reduce__(self) -> tuple[type[Self], tuple[bytes, int | None]]:
        """Let another process load the same model when it receives the predictor."""
        return type(self), self._arguments

    def describe(self) -> str:
        """Return the time at which the model was made, its file, and the file's SHA-256 if known.

        Control characters are escaped.
        """
        made, file = (self.facts.get(name, "unknown") for name in ("made", "reviews_file"))
        digest = self._reviews_digest[:12]
        described = f"from {made}, trained on {file}" + (f" (SHA-256 {digest}…)" if digest else "")
        return make_printable(described)  # the model may be anybody's

    @overload
    def predict(self, texts: str) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, texts: Iterable[str]) -> list[Prediction]: ...

    def predict(self, texts: str | Iterable[str]) -> Prediction | list[Prediction]:
        """Predict the label of one text, or of each of several.

        Args:
            texts: Texts as people write them; they are cleaned here.

        Returns:
            One prediction for a single text, a list of them for several.

        Raises:
            TypeError: One of them is not a string, such as a missing value of pandas; or they are a
                table, whose names would be scored, or bytes.

        """
        if isinstance(texts, str):
            return self.predict([texts])[0]
        cleaned = [clean_text(text) for text in _list_texts(texts)]
        return list(map(self.name_label, cleaned, self.score_cleaned(cleaned)))

    def name_label(self, cleaned: str, probabilities: npt.NDArray[np.float64]) -> Prediction:
        """Return the prediction for a cleaned text from its probabilities, shape (labels,)."""
        if np.isnan(probabilities[0]):
            return Prediction(None, {}, self.explain_silence(cleaned, is_scored=False))
        by_label = dict(zip(self.labels, probabilities.tolist(), strict=True))
        if self.rule.min_confidence:
            (confidence,) = self.rule.measure_confidence(probabilities[np.newaxis])
            if confidence < self.rule.min_confidence:
                return Prediction(None, by_label, self.explain_silence(cleaned, is_scored=True))
        return Prediction(self.labels[self.choose_label(probabilities)], by_label)

    def explain_silence(self, cleaned: str, *, is_scored: bool) -> str:
        """Return the reason why there is no label for a cleaned text that has none."""
        if is_scored:
            return f"a confidence below {self.rule.min_confidence:g}"
        return "no word that the model knows" if cleaned else "no text"

    def choose_label(self, probabilities: npt.NDArray[np.float64]) -> int:
        """Return the code of the predicted label, from probabilities of shape (labels,)."""
        return int(self.rule.choose(probabilities[np.newaxis])[0])

    def predict_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability of every label for each text.

        Args:
            texts: Texts as people write them; they are cleaned here.

        Returns:
            Array of shape (texts, labels), dtype float64. Each row sums to 1, or is NaN if the
            model knows nothing of the text, neither a word nor an n-gram.

        Raises:
            TypeError: `texts` is a single string, a table or bytes.

        """
        if isinstance(texts, str):
            raise TypeError("texts is a single string: pass a list of texts")
        return self.score_cleaned([clean_text(text) for text in _list_texts(texts)])

    def score_cleaned(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability of every label for each text that `clean_text` has cleaned.

        Args:
            texts: Cleaned texts.

        Returns:
            Array of shape (texts, labels), dtype float64. Each row sums to 1, or is NaN if the
            model knows nothing of the text, neither a word nor an n-gram.

        """
        ngrams = None
        if self.max_ngram:
            ngrams = list(map(self.hash_ngrams, texts))
        return self._score(list(self._encoder.encode_known(texts)), ngrams)

    def hash_ngrams(self, cleaned: str) -> Hashes:
        """Return the hashes of the n-grams of a cleaned text that the model may know."""
        return hash_ngrams(cleaned, self.max_ngram, self.script, self.character_ngram)

    def score_sequences(
        self,
        sequences: npt.NDArray[np.unsignedinteger],
        ngrams: Sequence[Hashes] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Return the probability of every label for each encoded review.

        Args:
            sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.
            ngrams: For each review, the hashes of its n-grams, from `hash_ngrams`. Required if
                `max_ngram` is not 0.

        Returns:
            Array of shape (reviews, labels), dtype float64. Each row sums to 1, or is NaN if the
            review has no token, and no n-gram that the model knows.

        """
        return self._score([sequence[sequence > 0] for sequence in sequences], ngrams)

    def _score(
        self, reviews: Sequence[Tokens], ngrams: Sequence[Hashes] | None
    ) -> npt.NDArray[np.float64]:
        """Score reviews, given as token ids without padding.

        The exported network has no mask for padding, so reviews of one length are scored together.
        N-grams alone are scored whatever the tokens are.
        """
        reviews = [tokens if len(tokens) else self.unknown_tokens for tokens in reviews]
        by_length: dict[int, list[int]] = {}
        for row, tokens in enumerate(reviews):
            by_length.setdefault(len(tokens) if self.has_network else 1, []).append(row)
        by_length.pop(0, None)
        probabilities = np.full((len(reviews), len(self.labels)), np.nan)
        for length, alike in by_length.items():
            for rows in _divide(alike, max(1, MAX_TOKENS // length), ngrams):
                inputs: dict[str, npt.NDArray[np.signedinteger]] = {}
                if self.has_network:
                    inputs["token_ids"] = np.array([reviews[row] for row in rows], np.int32)
                if ngrams is not None:
                    inputs |= self._make_inputs([ngrams[row] for row in rows])
                (output,) = self._session.run(None, inputs)
                probabilities[rows] = expand_probabilities(output)
        return probabilities

    def _make_inputs(self, ngrams: list[Hashes]) -> dict[str, Hashes]:
        """Return the inputs of the exported model for the n-grams of some reviews."""
        if not self.character_ngram:
            return {"ngrams": _pad(ngrams)}
        places = list(map(locate_characters, ngrams))
        return {
            "ngrams": _pad([np.delete(*both) for both in zip(ngrams, places, strict=True)]),
            "characters": _pad([found[place] for found, place in zip(ngrams, places, strict=True)]),
        }


def _list_texts(texts: Any) -> list[str]:
    """Return texts as a list, and raise `TypeError` for what has no texts, or others besides."""
    is_plain = isinstance(texts, Iterable) and not isinstance(texts, bytes | Mapping)
    if not is_plain or getattr(texts, "ndim", 1) > 1:
        raise TypeError(
            f"texts is a {type(texts).__name__}: pass a list of texts, such as table['review']"
        )
    listed = list(texts)
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            raise TypeError(f"text {position} is {text!r}, not a string: pass '' for a missing one")
    return listed


def _read_texts(value: str) -> tuple[str, ...]:
    texts = json.loads(value)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{value[:MAX_NAME]} is not a list of strings")
    return tuple(texts)


def _divide(rows: list[int], size: int, ngrams: Sequence[Hashes] | None) -> Iterator[list[int]]:
    """Yield the rows of each call: at most `size`, and fewer if they have many n-grams."""
    if len(rows) == 1:  # the usual call of an application, whose time counts
        yield rows
        return
    counts = np.array([len(ngrams[row]) for row in rows] if ngrams else [0] * len(rows))
    order = np.argsort(counts, kind="stable")
    rows, counts = [rows[place] for place in order], counts[order]
    start = 0
    while start < len(rows):
        some = counts[start : start + size]
        padded = some * np.arange(1, len(some) + 1)
        stop = start + max(1, int(np.searchsorted(padded, MAX_NGRAMS, side="right")))
        yield rows[start:stop]
        start = stop


def _pad(reviews: list[Hashes]) -> Hashes:
    """Return the n-grams of reviews as one array, shape (reviews, most n-grams), padded with 0."""
    if len(reviews) == 1:
        return reviews[0][np.newaxis]
    padded = np.zeros((len(reviews), max(map(len, reviews))), np.int64)
    for row, hashes in zip(padded, reviews, strict=True):
        row[: len(hashes)] = hashes
    return padded
