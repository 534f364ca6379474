"""From texts to labels with the exported model, by onnxruntime and tokenizers alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, overload

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from imdb_sentiment.evaluation.probabilities import complete_probabilities
from imdb_sentiment.text.batching import count_tokens
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import encode_texts

MAX_TOKENS = 4096  # a run of the network; with more it takes more memory, and no less time

# An exported model ends in one more entry of its metadata, the digest of all before it, of which
# this is the beginning. (ONNX models are Protocol Buffers: one may be added to at its end.)
_SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"


class ModelError(ValueError):
    """A file that is no exported model, or a damaged one; the message says which."""


@dataclass(frozen=True)
class Prediction:
    """What the model makes of a text.

    Attributes:
        label: The most probable label; None if the text has no word that the model knows.
        probabilities: The probability of each label; empty if `label` is None.

    """

    label: str | None
    probabilities: dict[str, float]

    @property
    def probability(self) -> float | None:
        """The probability of `label`."""
        return None if self.label is None else self.probabilities[self.label]


def seal(model: bytes) -> bytes:
    """Return a serialised model with the digest by which `Predictor` knows that it is whole."""
    return model + _SEAL + hashlib.sha256(model).hexdigest().encode()


def explain_silence(text: str) -> str:
    """Return why `Predictor` has no label for `text`, if it has none."""
    return "no word that the model knows" if clean_text(text) else "no text"


class Predictor:
    """The exported model, ready to be asked; safe to share between threads.

    Args:
        model: Content of `model.onnx`, as `imdb_sentiment.network.export` makes it: network,
            tokenizer, labels and facts under one digest.
        threads: How many a single call may use; all cores if None.

    Attributes:
        labels: Names of the labels in the order of their codes.
        tokenizer: That of the training; see `imdb_sentiment.text.tokenizer`.
        examples: Texts for people to try it with.
        facts: What else is known of the model, such as versions and the fingerprint of its data.

    Raises:
        ModelError: It is no such model, or not as it was exported.

    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own have no base class but this
            raise ModelError(f"it is no ONNX model ({error})") from error
        self.facts = dict(self._session.get_modelmeta().custom_metadata_map)
        try:
            specification = self.facts.pop("tokenizer")
            del self.facts["sha256"]
            self.labels: tuple[str, ...] = tuple(json.loads(self.facts.pop("labels")))
            self.examples: tuple[str, ...] = tuple(json.loads(self.facts.pop("examples")))
        except KeyError as error:
            raise ModelError(f"it lacks {error}: export it with the pipeline training") from error
        if seal(model[: -len(_SEAL) - 64]) != model:
            raise ModelError("it is not as it was exported: its parts may not belong together")
        self.tokenizer = Tokenizer.from_str(specification)

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> Self:
        """Read an exported model from a file; see the class.

        Raises:
            FileNotFoundError: There is no such file.
            ModelError: It can't be used; the message begins with its path.

        """
        try:
            return cls(Path(path).read_bytes(), threads)
        except ModelError as error:
            raise ModelError(f"{path} can't be used: {error}") from error

    @overload
    def predict(self, texts: str) -> Prediction: ...

    @overload
    def predict(self, texts: list[str]) -> list[Prediction]: ...

    def predict(self, texts: str | list[str]) -> Prediction | list[Prediction]:
        """Return the label of one text, or of each of several.

        Args:
            texts: As people write them: cleaning is done here.

        """
        if isinstance(texts, str):
            return self.predict([texts])[0]
        return [self.name_label(row) for row in self.predict_probabilities(texts)]

    def name_label(self, probabilities: npt.NDArray[np.float64]) -> Prediction:
        """Return the prediction that the probabilities of one text make, shape (labels,)."""
        if np.isnan(probabilities[0]):
            return Prediction(None, {})
        label = self.labels[probabilities.argmax()]
        return Prediction(label, dict(zip(self.labels, probabilities.tolist(), strict=True)))

    def predict_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability of every label.

        Args:
            texts: As people write them.

        Returns:
            Array of shape (texts, labels), dtype float64; each row sums to 1, or is NaN where a
            text has no word that the model knows.

        """
        return self.score_sequences(
            encode_texts(self.tokenizer, [clean_text(text) for text in texts])
        )

    def score_sequences(
        self, sequences: npt.NDArray[np.unsignedinteger]
    ) -> npt.NDArray[np.float64]:
        """Return the probability of every label, of texts that are encoded already.

        The exported network knows no padding, so reviews of one length are scored together.

        Args:
            sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.

        Returns:
            As `predict_probabilities` does.

        """
        lengths = count_tokens(sequences)
        probabilities = np.full((len(sequences), len(self.labels)), np.nan)
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            probabilities[rows] = self.score_tokens(sequences[rows, -length:])
        return probabilities

    def score_tokens(self, tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Return the probability of every label, of texts of one length.

        Args:
            tokens: Ids without any padding, shape (texts, words), at least one of each.

        Returns:
            Array of shape (texts, labels), dtype float64; each row sums to 1.

        """
        size = max(1, MAX_TOKENS // tokens.shape[1])
        outputs = [
            self._session.run(None, {"token_ids": tokens[start : start + size].astype(np.int32)})[0]
            for start in range(0, len(tokens), size)
        ]
        return complete_probabilities(np.concatenate(outputs))
