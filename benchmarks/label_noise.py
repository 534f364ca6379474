"""The number of wrong labels that label_check finds, and the gain in accuracy without them.

    .venv/bin/python benchmarks/label_noise.py data/01_raw/imdb_reviews.csv --rows 10000

Rows are divided into training and test rows. Some labels of the training rows are changed at random
into another one; the test labels stay as they are. `label_check` then lists the doubtful labels of
the training rows. Each line has means over the seeds: N, the number of labels that were changed;
how many of these are among the first N rows of the list; the number of rows in the list, and how
many of them have a changed label; and the test accuracy of the n-grams with the original labels,
with the changed ones, without the rows of the list, and with its likely labels instead. The last
column has the seconds of the check.

With --lstm, the list is also made from the average of the network and the n-grams, which are both
cross-validated. With --queue N, the n-grams learn from 1,000 rows, then five times from N more:
those that label_check chooses for labelling each time, or random ones.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from project import ROOT, describe_machine
from sklearn.model_selection import StratifiedKFold

from imdb_sentiment.evaluation.logits import count_outputs, to_logits
from imdb_sentiment.evaluation.stacking import HeldOutLogits, fit_weights
from imdb_sentiment.network.ngram_regression import fit_ngram_model
from imdb_sentiment.parameters import (
    Hyperparameters,
    LabelCheckParameters,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
    WordVectorsParameters,
)
from imdb_sentiment.pipelines.label_check.nodes import (
    choose_rows_to_label,
    find_doubtful_labels,
    score_held_out,
)
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import Hashes, hash_ngrams


def read(name: str) -> dict[str, Any]:
    """Return the parameters of a file in conf/base."""
    values: dict[str, Any] = yaml.safe_load(
        (ROOT / f"conf/base/parameters_{name}.yml").read_text("utf-8")
    )
    return values


DATA = read("data_processing")
SPLIT = SplitParameters(**DATA["split"] | {"seed": 0})
CHECK = LabelCheckParameters(**read("label_check")["label_check"] | {"seed": 0})
TRAINING = TrainingParameters(**read("training")["training"] | {"seed": 0})
NGRAMS = TRAINING.ngrams
FIRST_LABELLED, ROUNDS = 1000, 5  # with --queue


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="labelled reviews")
    parser.add_argument("--text-column", default="review")
    parser.add_argument("--label-column", default="sentiment")
    parser.add_argument("--rows", type=int, help="training rows, drawn at random; all by default")
    parser.add_argument("--test-rows", type=int, default=10_000, help="at most a fifth of all")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.02, 0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lstm", action="store_true")
    parser.add_argument("--queue", type=int, help="number of rows that are chosen at a time")
    arguments = parser.parse_args()
    print(describe_machine())
    table = pd.read_csv(arguments.csv, dtype=str, keep_default_na=False)
    rows = pd.DataFrame(
        {
            "text": table[arguments.text_column].map(clean_text),
            "label": table[arguments.label_column],
        }
    )
    rows = rows[(rows["text"] != "") & (rows["label"] != "")].drop_duplicates("text")
    labels = tuple(sorted(rows["label"].unique()))
    rows = rows.assign(
        code=pd.Index(labels).get_indexer(pd.Index(rows["label"])),
        group="",
        row=rows.index + 1,
        split="train",
    )
    reviews = ReviewsParameters(
        file="",
        text_column="a",
        label_column="b",
        labels=labels,
        ordered=False,
        max_rejected_fraction=0,
    )
    if arguments.queue:
        compare_queues(rows, reviews, arguments)
        return
    names = ["n-grams", "with LSTM"] if arguments.lstm else ["n-grams"]
    found = [
        {"check": name, "noise": noise, **line}
        for noise in arguments.noise
        for seed in arguments.seeds
        for name, line in zip(names, measure(rows, reviews, noise, seed, arguments), strict=True)
    ]
    print_table(pd.DataFrame(found).groupby(["check", "noise"], sort=False).mean().reset_index())


def divide(
    rows: pd.DataFrame, seed: int, arguments: argparse.Namespace
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training and test rows."""
    shuffled = rows.sample(frac=1, random_state=seed)
    n_test = min(arguments.test_rows, len(rows) // 5)
    end = None if arguments.rows is None else n_test + arguments.rows
    return shuffled.iloc[n_test:end].sort_index(), shuffled.iloc[:n_test]


def measure(
    rows: pd.DataFrame,
    reviews: ReviewsParameters,
    noise: float,
    seed: int,
    arguments: argparse.Namespace,
) -> list[dict[str, float]]:
    """Return one line of the table, and another one for the check with the network."""
    train, test = divide(rows, seed, arguments)
    rng = np.random.default_rng(seed)
    n_labels = len(reviews.labels)
    changed = rng.choice(len(train), round(noise * len(train)), replace=False)
    codes = train["code"].to_numpy(copy=True)
    codes[changed] = (codes[changed] + rng.integers(1, n_labels, len(changed))) % n_labels
    noisy = train.assign(code=codes)
    start = time.perf_counter()
    held_out = score_held_out([noisy], reviews, SPLIT, CHECK, TRAINING, script="auto")
    checks = [(held_out, time.perf_counter() - start)]
    if arguments.lstm:
        logits = add_network(noisy, held_out.logits, reviews.labels)
        checks.append((HeldOutLogits(held_out.rows, logits), time.perf_counter() - start))
    hashes, test_hashes = list(map(_hash, train["text"])), list(map(_hash, test["text"]))

    def score(codes: npt.NDArray[np.intp], kept: npt.NDArray[np.intp]) -> float:
        model = fit_ngram_model([hashes[i] for i in kept], codes[kept], n_labels, NGRAMS)
        return accuracy(model.score(test_hashes), test["code"].to_numpy())

    everything = np.arange(len(train))
    clean_accuracy = score(train["code"].to_numpy(), everything)
    noisy_accuracy = score(codes, everything)
    lines = []
    for checked, seconds in checks:
        doubtful, _ = find_doubtful_labels([noisy], checked, reviews)
        listed = pd.Index(noisy["row"]).get_indexer(pd.Index(doubtful["row"]))
        is_changed = np.isin(listed, changed)
        corrected = codes.copy()
        corrected[listed] = pd.Index(reviews.labels).get_indexer(pd.Index(doubtful["likely_label"]))
        lines.append(
            {
                "rows": len(train),
                "changed": len(changed),
                "of as many first rows": is_changed[: len(changed)].sum() / len(changed),
                "listed": len(listed),
                "changed among them": is_changed.sum() / len(changed),
                "clean": clean_accuracy,
                "changed labels": noisy_accuracy,
                "without the list": score(codes, np.setdiff1d(everything, listed)),
                "with likely labels": score(corrected, everything),
                "seconds": seconds,
            }
        )
    return lines


def accuracy(logits: npt.NDArray[np.float64], codes: npt.NDArray[np.intp]) -> float:
    """Return the share of reviews whose most probable label is right."""
    predicted = logits.argmax(axis=1) if logits.shape[1] > 1 else logits[:, 0] > 0
    return float((predicted == codes).mean())


def add_network(
    noisy: pd.DataFrame, ngram_logits: npt.NDArray[np.float64], labels: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """Return held-out logits of the average with the network, divided into the same folds."""
    from imdb_sentiment.network.model import score_logits
    from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
    from imdb_sentiment.network.training import train_model
    from imdb_sentiment.text.encoded_reviews import EncodedReviews
    from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer
    from imdb_sentiment.text.word_vectors import train_word_vectors

    with tensorflow_setup():
        import keras

    hyperparameters = Hyperparameters(**read("tuning")["hyperparameters"])
    # Neither the vocabulary nor the word vectors learn from labels.
    tokens = TokenizerParameters(**DATA["tokenizer"])
    tokenizer = train_tokenizer(noisy["text"], tokens)
    vectors = train_word_vectors(
        [TextEncoder(tokenizer).encode_joined(noisy["text"])],
        tokenizer.get_vocab_size(),
        WordVectorsParameters(**DATA["word_vectors"] | {"seed": 0}),
    )
    codes = noisy["code"].to_numpy(np.uint8)
    pool = EncodedReviews(
        TextEncoder(tokenizer, tokens.head_length).encode(noisy["text"].tolist()),
        codes,
        noisy["row"].to_numpy(),
        labels,
        tokenizer.get_vocab_size(),
        np.zeros(len(codes), np.uint64),
    )
    logits = np.zeros((len(codes), count_outputs(len(labels))))
    folds = StratifiedKFold(CHECK.folds, shuffle=True, random_state=CHECK.seed)
    for learnt, held_out in folds.split(codes, codes):
        model, _ = train_model(pool.take(learnt), hyperparameters, 0, word_vectors=vectors)
        logits[held_out] = score_logits(model, pool.sequences[held_out])
        keras.backend.clear_session()
    weights = fit_weights(logits, ngram_logits, codes.astype(np.intp), None)
    return to_logits(weights.average(logits, ngram_logits))


def compare_queues(
    rows: pd.DataFrame, reviews: ReviewsParameters, arguments: argparse.Namespace
) -> None:
    """Print the gain in accuracy with rows that are chosen, or drawn at random, for labelling."""
    check = CHECK.model_copy(update={"rows_to_label": arguments.queue})
    lines = []
    for seed in arguments.seeds:
        pool, test = divide(rows, seed, arguments)
        first = pool.sample(FIRST_LABELLED, random_state=seed)
        chosen = drawn = first
        for number in range(ROUNDS):
            rest = pool.drop(chosen.index)
            queue = choose_rows_to_label([rest], [chosen], reviews, check, TRAINING, script="auto")
            chosen = pd.concat([chosen, rest[rest["row"].isin(queue["row"])]])
            others = pool.drop(drawn.index).sample(arguments.queue, random_state=number)
            drawn = pd.concat([drawn, others])
        lines.append(
            {
                "labelled": len(first),
                "accuracy": learn_and_score(first, test, reviews),
                "and more": len(chosen) - len(first),
                "of the queue": learn_and_score(chosen, test, reviews),
                "at random": learn_and_score(drawn, test, reviews),
            }
        )
    print_table(pd.DataFrame(lines).mean().to_frame().T)


def learn_and_score(learnt: pd.DataFrame, test: pd.DataFrame, reviews: ReviewsParameters) -> float:
    """Return the accuracy of the n-grams on test rows."""
    known, unknown = (list(map(_hash, part["text"])) for part in (learnt, test))
    model = fit_ngram_model(known, learnt["code"].to_numpy(), len(reviews.labels), NGRAMS)
    return accuracy(model.score(unknown), test["code"].to_numpy())


def _hash(text: str) -> Hashes:
    return hash_ngrams(text, NGRAMS.max_ngram, character_ngram=NGRAMS.character_ngram)


def print_table(table: pd.DataFrame) -> None:
    """Print a table as Markdown."""
    print("| " + " | ".join(table.columns) + " |")
    print("| --- |" + " ---: |" * (len(table.columns) - 1))
    for line in table.itertuples(index=False):
        cells = (value if isinstance(value, str) else f"{value:.4g}" for value in line)
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
