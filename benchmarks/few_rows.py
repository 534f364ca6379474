"""The quality of a search with few rows, depending on how its trials are scored.

    .venv/bin/python benchmarks/few_rows.py data/01_raw/sample_reviews.csv --rows 500

For each seed, rows are drawn to learn from and others to test on. Points of the search space of
conf/base are drawn, and each is scored by its accuracy in every division of the rows in the table,
where each repetition has its own seed of the training. The worth of a point is the mean test
accuracy of networks that learn from all rows, with several seeds. Each line has means over the
seeds of the draw: the rank correlation of scores and worths, the worth of the point with the best
score, and the number of networks trained, without a pruner and with Optuna's WilcoxonPruner between
the folds. The last columns are the number of networks and the worth with the pruner. Only the
network is scored, as in the search.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import scipy.stats
import yaml
from project import ROOT, describe_machine
from sklearn.model_selection import StratifiedKFold, train_test_split
from tokenizers import Tokenizer

from imdb_sentiment.network.model import score_logits
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import Hyperparameters, TokenizerParameters, WordVectorsParameters
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer
from imdb_sentiment.text.word_vectors import train_word_vectors

CONF = {
    **yaml.safe_load((ROOT / "conf/base/parameters_tuning.yml").read_text("utf-8")),
    **yaml.safe_load((ROOT / "conf/base/parameters_data_processing.yml").read_text("utf-8")),
}
TOKENS = TokenizerParameters(**CONF["tokenizer"])
DIVISIONS = {(2, 1): "2 folds", (2, 5): "2 folds, 5 times", (5, 1): "5 folds"}
SEEDS_OF_WORTH = 2


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="labelled reviews")
    parser.add_argument("--text-column", default="review")
    parser.add_argument("--label-column", default="sentiment")
    parser.add_argument("--rows", type=int, default=500, help="to learn from")
    parser.add_argument("--test-rows", type=int, default=5000, help="at most")
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    print(describe_machine(), flush=True)
    table = pd.read_csv(arguments.csv, dtype=str, keep_default_na=False)
    reviews = pd.DataFrame(
        {
            "text": table[arguments.text_column].map(clean_text),
            "label": table[arguments.label_column],
        }
    )
    reviews = reviews[(reviews["text"] != "") & (reviews["label"] != "")].drop_duplicates("text")
    start = time.perf_counter()
    found = [measure(reviews, arguments, seed) for seed in arguments.seeds]
    lines = pd.concat(found).groupby("division", sort=False).mean()
    print(f"{time.perf_counter() - start:.0f} s, {len(arguments.seeds)} draws of {arguments.rows}")
    print("| scored by | " + " | ".join(lines.columns) + " |")
    print("| --- |" + " ---: |" * len(lines.columns))
    for name, line in lines.iterrows():
        print(f"| {name} | " + " | ".join(f"{value:.4g}" for value in line) + " |")


def measure(reviews: pd.DataFrame, arguments: argparse.Namespace, seed: int) -> pd.DataFrame:
    """Return one line per division for one draw of the rows."""
    learnt, rest = train_test_split(
        reviews, train_size=arguments.rows, stratify=reviews["label"], random_state=seed
    )
    test = rest.sample(min(len(rest), arguments.test_rows), random_state=seed)
    tokenizer = train_tokenizer(learnt["text"], TOKENS)
    labels = tuple(sorted(reviews["label"].unique()))
    pool, held_out = (encode(part, tokenizer, labels) for part in (learnt, test))
    vectors = train_word_vectors(
        [TextEncoder(tokenizer).encode_joined(learnt["text"])],
        tokenizer.get_vocab_size(),
        WordVectorsParameters(**CONF["word_vectors"] | {"seed": seed}),
    )

    def score(
        train: EncodedReviews, other: EncodedReviews, point: dict[str, Any], number: int
    ) -> float:
        with tensorflow_setup():
            import keras
        hyperparameters = Hyperparameters(**CONF["hyperparameters"] | point)
        model, _ = train_model(train, hyperparameters, number, word_vectors=vectors)
        logits = score_logits(model, other.sequences)
        predicted = logits.argmax(axis=1) if logits.shape[1] > 1 else logits[:, 0] > 0
        keras.backend.clear_session()
        return float((predicted == other.codes).mean())

    points = draw_points(arguments.points, seed)
    worth = []
    scores: dict[tuple[int, int], list[list[float]]] = {division: [] for division in DIVISIONS}
    for number, point in enumerate(points):
        worth.append(
            np.mean([score(pool, held_out, point, 100 + i) for i in range(SEEDS_OF_WORTH)])
        )
        once: dict[tuple[int, int], list[float]] = {}  # 2 folds are the first of 2 folds, 5 times
        for folds, repeats in DIVISIONS:
            for repeat in range(repeats):
                if (folds, repeat) not in once:
                    dividing = StratifiedKFold(folds, shuffle=True, random_state=seed + repeat)
                    once[folds, repeat] = [
                        score(pool.take(a), pool.take(b), point, seed + repeat)
                        for a, b in dividing.split(pool.codes, pool.codes)
                    ]
            scores[folds, repeats].append(
                [value for repeat in range(repeats) for value in once[folds, repeat]]
            )
        print(f"draw {seed}, point {number}: {worth[-1]:.4f} {point}", file=sys.stderr, flush=True)
    lines = []
    for division, values in scores.items():
        means = np.mean(values, axis=1)
        pruned, networks = replay(values)
        lines.append(
            {
                "division": DIVISIONS[division],
                "rank correlation": scipy.stats.spearmanr(means, worth).statistic,
                "worth of the best": worth[int(means.argmax())],
                "mean worth": np.mean(worth),
                "greatest worth": np.max(worth),
                "networks": np.size(values),
                "networks with the pruner": networks,
                "worth of the best with the pruner": worth[pruned],
            }
        )
    return pd.DataFrame(lines)


def encode(part: pd.DataFrame, tokenizer: Tokenizer, labels: tuple[str, ...]) -> EncodedReviews:
    """Return texts and labels as the network reads them."""
    sequences = TextEncoder(tokenizer, TOKENS.head_length).encode(part["text"].tolist())
    codes = pd.Index(labels).get_indexer(pd.Index(part["label"])).astype(np.uint8)
    rows, groups = np.arange(len(part)), np.zeros(len(part), np.uint64)
    return EncodedReviews(sequences, codes, rows, labels, tokenizer.get_vocab_size(), groups)


def draw_points(n: int, seed: int) -> list[dict[str, object]]:
    """Return random points of the search space of conf/base."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = CONF["tuning"]["search_space"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    points = []
    for _ in range(n):
        trial = study.ask()
        suggest = {
            "int": lambda name, r, trial=trial: trial.suggest_int(name, r["low"], r["high"]),
            "float": lambda name, r, trial=trial: trial.suggest_float(name, r["low"], r["high"]),
            "categorical": lambda name, r, trial=trial: trial.suggest_categorical(
                name, r["choices"]
            ),
        }
        points.append({name: suggest[r["type"]](name, r) for name, r in space.items()})
        study.tell(trial, 0.0)
    return points


def replay(values: list[list[float]]) -> tuple[int, int]:
    """Return the best trial and the number of networks if WilcoxonPruner sees these accuracies."""
    with warnings.catch_warnings(action="ignore"):
        study = optuna.create_study(direction="maximize", pruner=optuna.pruners.WilcoxonPruner())
        networks = 0
        for folds in values:
            trial = study.ask()
            for step, value in enumerate(folds):
                networks += 1
                trial.report(value, step)
                if step + 1 < len(folds) and trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, float(np.mean(folds)))
    return study.best_trial.number, networks


if __name__ == "__main__":
    main()
