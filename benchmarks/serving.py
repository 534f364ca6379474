"""Latency and throughput of the model, in process and over HTTP.

    .venv/bin/python benchmarks/serving.py data/01_raw/imdb_reviews.csv

Requires a finished run, because it uses `model.keras` and `model.onnx` in data/06_models; the
reviews come from the CSV. `Predictor` scores the whole model, and Keras the network alone. All
clients run on the same cores as the service.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from project import ROOT, describe_machine
from service import Connection, run_service

from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.network.model import score_logits
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.batching import pad_right
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, TextEncoder

MODELS = ROOT / "data/06_models"
Texts = list[str]


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    return 1000 * statistics.median(seconds), 1000 * statistics.quantiles(seconds, n=100)[98]


def time_each(run: Callable[[Any], Any], arguments: list[Any], warm: int = 20) -> list[float]:
    """Return the seconds of each call; the first calls are not counted."""
    seconds = []
    for number, argument in enumerate(arguments[:warm] + arguments):
        start = time.perf_counter()
        run(argument)
        if number >= warm:
            seconds.append(time.perf_counter() - start)
    return seconds


def measure_one_review(texts: Texts) -> None:
    """Measure predictions in this process: single reviews, many reviews, and texts per call."""
    import keras
    import tensorflow as tf

    import imdb_sentiment.network.layers  # noqa: F401  # the model may contain one of them

    model = keras.models.load_model(MODELS / "model.keras")
    predictor = Predictor.load(MODELS / "model.onnx", threads=1)

    encoder = TextEncoder(predictor.tokenizer, predictor.head_length)

    def encode(text: str) -> Any:
        return pad_right(encoder.encode([clean_text(text)])).astype(np.int32)

    signature = [tf.TensorSpec((None, None), tf.int32)]
    compiled = tf.function(lambda tokens: model(tokens, training=False), input_signature=signature)
    ways: dict[str, Callable[[str], Any]] = {
        "Predictor": predictor.predict,
        "Keras, `model.predict`": lambda text: model.predict(encode(text), verbose=0),
        "Keras, `model(…)`": lambda text: model(encode(text), training=False).numpy(),
        "Keras, in a `tf.function`": lambda text: compiled(encode(text)).numpy(),
    }
    print("\n| one review in process | p50 ms | p99 ms |\n| --- | ---: | ---: |")
    for name, predict in ways.items():
        some = texts if name in ("Predictor", "Keras, in a `tf.function`") else texts[:200]
        p50, p99 = percentiles(time_each(predict, some))
        print(f"| {name} | {p50:.2f} | {p99:.2f} |", flush=True)

    if predictor.max_ngram:
        measure_parts(predictor, texts)

    print("\n| many reviews, already tokenised | reviews per second |\n| --- | ---: |")
    cleaned = [clean_text(text) for text in texts]
    sequences = encoder.encode(cleaned)
    ngrams = list(map(predictor.hash_ngrams, cleaned))
    every_core = Predictor.load(MODELS / "model.onnx")
    runs: dict[str, Callable[[], Any]] = {
        "Predictor": lambda: every_core.score_sequences(
            sequences, ngrams if predictor.max_ngram else None
        )
    }
    runs["Keras, grouped by length and cut"] = lambda: to_probabilities(
        score_logits(model, sequences)
    )
    for size in (64, 256, 1024):
        runs[f"Keras, batches of {size}"] = lambda size=size: model.predict(  # type: ignore[misc]
            sequences.astype(np.int32), batch_size=size, verbose=0
        )
    for name, run in runs.items():
        run()
        taken = min(_time(run) for _ in range(3))
        print(f"| {name} | {len(sequences) / taken:,.0f} |", flush=True)
    taken = min(_time(lambda: every_core.predict(texts)) for _ in range(3))
    print(f"| Predictor, tokenising included | {len(texts) / taken:,.0f} |")

    # What the service could save at most by batching concurrent requests.
    print("\n| texts in one call, one thread | ms per text |\n| ---: | ---: |")
    for size in (1, 8, 64):
        calls = [texts[start : start + size] for start in range(0, len(texts), size)]
        taken = min(_time(partial(_predict_each, predictor, calls)) for _ in range(3))
        print(f"| {size} | {1000 * taken / len(texts):.2f} |", flush=True)


def measure_parts(predictor: Predictor, texts: Texts) -> None:
    """Measure the steps of a prediction, and the time of the network for shorter texts."""
    encoder = TextEncoder(predictor.tokenizer, predictor.head_length)
    cleaned = [clean_text(text) for text in texts]
    inputs: list[dict[str, Any]] = [
        {
            "token_ids": np.array([ids or [UNKNOWN_ID]], np.int32),
            **predictor._make_inputs([predictor.hash_ngrams(text)]),
        }
        for ids, text in zip(encoder.encode_known(cleaned), cleaned, strict=True)
    ]
    parts: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "cleaning": (clean_text, texts),
        "words of the LSTM": (lambda text: list(encoder.encode_known([text])), cleaned),
        "hashes of n-grams": (predictor.hash_ngrams, cleaned),
        "the exported model": (partial(predictor._session.run, None), inputs),
        "the same with one word": (
            partial(predictor._session.run, None),
            [given | {"token_ids": given["token_ids"][:, :1]} for given in inputs],
        ),
        "the same with one word and one n-gram of each kind": (
            partial(predictor._session.run, None),
            [{name: values[:, :1] for name, values in given.items()} for given in inputs],
        ),
    }
    print("\n| one review, part by part | p50 \u00b5s |\n| --- | ---: |")
    for name, (run, arguments) in parts.items():
        p50, _ = percentiles(time_each(run, arguments))
        print(f"| {name} | {1000 * p50:.0f} |", flush=True)


def _predict_each(predictor: Predictor, calls: list[Texts]) -> None:
    for texts in calls:
        predictor.predict(texts)


def _time(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


async def _send_requests(
    port: int, bodies: list[bytes], until: float, seconds: list[float], statuses: list[int]
) -> None:
    """Send one request after another over one connection."""
    connection = await Connection.open(port)
    for body in itertools.cycle(bodies):
        start = time.perf_counter()
        if start >= until:
            break
        statuses.append(await connection.predict(body))
        seconds.append(time.perf_counter() - start)
    connection.close()


def load(
    port: int, bodies: list[bytes], clients: int, duration: float
) -> tuple[list[float], list[int]]:
    """Return the times and statuses of all requests of several concurrent clients."""
    seconds: list[float] = []
    statuses: list[int] = []

    async def main() -> None:
        until = time.perf_counter() + duration
        await asyncio.gather(
            *(
                _send_requests(port, bodies[place:] + bodies[:place], until, seconds, statuses)
                for place in range(clients)
            )
        )

    asyncio.run(main())
    return seconds, statuses


def measure_service(texts: Texts, duration: float) -> None:
    """Start the service and measure it over HTTP."""
    with run_service(MODELS / "model.onnx") as service:
        print(f"\nService ready after {service.start_seconds:.2f} s")
        bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
        print("\n| clients | p50 ms | p99 ms | requests per second | not 200 |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for clients in (1, 8, 64):
            load(service.port, bodies, clients, 1)
            seconds, statuses = load(service.port, bodies, clients, duration)
            p50, p99 = percentiles(seconds)
            failed = sum(status != httpx.codes.OK for status in statuses)
            rate = len(seconds) / duration
            print(f"| {clients} | {p50:.1f} | {p99:.1f} | {rate:,.0f} | {failed} |", flush=True)
        print(f"\nResident memory of the service after that: {service.resident_mib():.0f} MiB")
        url = f"http://127.0.0.1:{service.port}"
        httpx.post(f"{url}/explain", json={"text": " ".join(texts)[:20_000]}).raise_for_status()
        print(f"… and after an explanation of a long text: {service.resident_mib():.0f} MiB")
        csv = pd.DataFrame({"review": texts}).to_csv(index=False).encode()
        csv_header = {"Content-Type": "text/csv"}
        scored = httpx.post(f"{url}/score", content=csv, headers=csv_header, timeout=300)
        scored.raise_for_status()
        print(f"… and after a CSV of {len(csv) / 1e6:.1f} MB: {service.resident_mib():.0f} MiB")


def main() -> None:
    """Run the measurements and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the column review")
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10, help="per number of clients")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    reviews = pd.read_csv(arguments.csv)["review"]
    texts = reviews.sample(min(arguments.reviews, len(reviews)), random_state=0).tolist()
    print(describe_machine())
    measure_service(texts, arguments.seconds)
    measure_one_review(texts)


if __name__ == "__main__":
    main()
