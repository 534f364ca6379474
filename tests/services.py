"""The parts of a small exported model, and a service process that uses it."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tokenizers import Tokenizer

from helpers import PATIENCE, find_free_port, make_ngrams_parameters
from imdb_sentiment.network.ngram_regression import fit_ngram_model
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.ngrams import hash_ngrams
from imdb_sentiment.text.tokenizer import train_tokenizer

WORDS = [f"w{i}" for i in range(28)]
EXAMPLES = ("w1 w2 w3", "w4 and <b>w5</b>")


def make_tokenizer() -> Tokenizer:
    """Return a tokenizer of `WORDS`, for the networks of `make_encoded`."""
    return train_tokenizer(
        WORDS,
        TokenizerParameters(
            kind="words", vocabulary_size=28, sequence_length=6, script="auto", head_fraction=0.0
        ),
    )


def make_texts(reviews: EncodedReviews) -> list[str]:
    """Return texts that `make_tokenizer` encodes as these reviews.

    The mark at their end tells the label, and every third has a word that the tokenizer does not
    know.
    """
    words = {number: word for word, number in make_tokenizer().get_vocab().items()}
    texts = []
    for place, (sequence, code) in enumerate(zip(reviews.sequences, reviews.codes, strict=True)):
        known = " ".join(words[token] for token in sequence.tolist() if token)
        texts.append(("unheard " if place % 3 == 0 else "") + known + ("", "!", "?", "…")[code])
    return texts


EVEN: dict[str, Any] = {  # a decision for the most probable label, always
    "label_weights": {"negative": 1.0, "positive": 1.0},
    "is_median": False,
    "threshold": 0.5,
    "aim": None,
    "before": None,
    "after": None,
    "unfitted_reason": None,
    "min_confidence": 0.0,
}
CALIBRATION: dict[str, Any] = {
    "weights": {"network": 0.375, "ngrams": 0.125},
    "ngram_share": 0.25,
    "temperature": 2.0,
    "uncalibrated_reason": None,
    "held_out_rows": 1000,
}

# Knows a single word: in a text with it, the length of the vector of TF-IDF is the idf.
GOOD = NgramModel(
    max_ngram=1,
    hashes=hash_ngrams("good", 1),
    idf=np.array([2], np.float32),
    weights=np.array([[6]], np.float32),
    bias=np.array([-1], np.float32),
    script="auto",
)


def make_ngram_model(reviews: EncodedReviews, **changes: Any) -> NgramModel:
    """Return a model of the n-grams of `make_texts`; `changes` are of the parameters."""
    parameters = make_ngrams_parameters(**changes)
    texts = make_texts(reviews)
    length = parameters.character_ngram
    hashes = [hash_ngrams(text, parameters.max_ngram, character_ngram=length) for text in texts]
    return fit_ngram_model(hashes, reviews.codes, len(reviews.labels), parameters)


def write_record(folder: Path, model: bytes, time: str = "2026-01-02") -> Path:
    """Record an evaluation of a model as `reporting` does, and return the folder of the records."""
    metrics = {
        "test_rows": 1000,
        "test_accuracy": 0.8,
        "test_accuracy_low": 0.774,
        "test_accuracy_high": 0.824,
        "majority_test_accuracy": 0.6,
        "test_by_label": {"negative": {"recall": 0.7}, "positive": {"recall": 0.9}},
        "test_set_unseen_in_tuning": True,
    }
    path = folder / "record.json" / time / "record.json"
    path.parent.mkdir(parents=True)
    digest = hashlib.sha256(model).hexdigest()
    path.write_text(json.dumps({"model_sha256": digest, "metrics": metrics}))
    return folder


@dataclass(frozen=True)
class Service:
    """A running `imdb-sentiment serve`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path


@contextlib.contextmanager
def run_service(
    model_file: Path,
    folder: Path,
    *options: str,
    api_key: str | None = None,
    python: Path | str = sys.executable,
) -> Iterator[Service]:
    """Start a service and wait until it is ready; stop it at the end."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | ({"IMDB_SENTIMENT_API_KEY": api_key} if api_key else {})
    command = [python, "-m", "imdb_sentiment", "serve", "--model", str(model_file)]
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), *options], stderr=output, env=environment
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/ready").status_code == httpx.codes.OK:
                    break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Service(process, url, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
