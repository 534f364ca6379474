"""The contribution of each ingredient: the default, or the preset for best quality, without it.

    .venv/bin/python benchmarks/ablation.py data/01_raw/sample_reviews.csv
    .venv/bin/python benchmarks/ablation.py data/01_raw/imdb_reviews.csv --preset best \
        --params split.method=column,split.group_column=block,split.validation_fraction=0.2

Each row of the table is a change, made with each seed in a run of its own: the search scores one
trial on held-out reviews, with `hyperparameters` as they are and none of them searched. With few
rows, this is a cross-validation, whose folds depend on the seed, too. The test reviews are not
used. The n-grams are those before the co-training. The weights of the average, and the temperatures
of both models alone, are fitted in a cross-validation on the same predictions. The table has mean
accuracies, their standard deviations over the seeds, and mean log losses in natural units.
"""

import argparse
import pickle
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from project import ROOT, describe_machine, make_project, measure
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold

from imdb_sentiment.datasets import EncodedReviewsDataset
from imdb_sentiment.evaluation.stacking import fit_weights

NOT_SEARCHED = ",".join(
    f"tuning.search_space.{name}=null" for name in ("units", "dropout_rate", "optimizer")
)
IN_BOTH = {
    "nothing": "",
    "word vectors of their learnt length": "word_vectors.norm=null",
    "no spatial dropout": "hyperparameters.spatial_dropout_rate=0.0",
    "no dropout": "hyperparameters.dropout_rate=0.0",
    "a constant learning rate": "hyperparameters.learning_rate_schedule=constant",
    "the end of long reviews alone": "tokenizer.head_fraction=0.0",
    "no minimum of steps": "hyperparameters.min_steps=0,hyperparameters.min_steps_per_label=0",
}
SIZE = yaml.safe_load((ROOT / "conf/best/parameters_data_processing.yml").read_text())[
    "word_vectors"
]["size"]
CHANGES = {
    "base": {
        **IN_BOTH,
        "whole sequences in all epochs": "hyperparameters.initial_length_fraction=1.0",
        "no naive Bayes ratios": "hyperparameters.naive_bayes_scale=0.0",
        "neither word vectors nor ratios": "hyperparameters.pretrained_embedding=false",
        "Keras's initial biases": "hyperparameters.chrono_initialization=0",
    },
    "best": {
        **IN_BOTH,
        "no word vectors": (
            f"hyperparameters.pretrained_embedding=false,hyperparameters.embedding_size={SIZE}"
        ),
        "no language model": "language_model.passes=0,language_model.passes_without_unlabelled=0",
        "one layer": "hyperparameters.lstm_layers=1",
        "one direction": "hyperparameters.bidirectional=false",
        "the last output instead of pooling": "hyperparameters.pooling=last",
        "5000 words": "tokenizer.vocabulary_size=5000",
        "200 words": "tokenizer.sequence_length=200",
    },
}
# Changes with one of these need the data processed again; the last three, because of pretraining.
OF_DATA = (
    "word_vectors",
    "tokenizer",
    "language_model",
    "lstm_layers",
    "bidirectional",
    "pretrained_embedding",
)
FOLDS = 5


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="labelled reviews")
    parser.add_argument("--preset", choices=["base", "best"], default="base")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 1, 2])
    parser.add_argument("--params", default="", help="further parameters of all runs")
    parser.add_argument("--labels", nargs="+", help="unless they are negative and positive")
    parser.add_argument("--only", nargs="+", help="names of some of the changes")
    arguments = parser.parse_args()
    changes = CHANGES[arguments.preset]
    if unknown := set(arguments.only or ()) - set(changes):
        parser.error(f"no such change: {', '.join(sorted(unknown))}; {', '.join(changes)}")
    print(describe_machine())
    print("| changed | LSTM alone | average with n-grams | n-grams alone |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        if arguments.labels:
            # A list can't be passed as --params.
            environment = "local" if arguments.preset == "base" else arguments.preset
            path = project / f"conf/{environment}/parameters_ablation.yml"
            path.write_text(yaml.safe_dump({"reviews": {"labels": arguments.labels}}))
        processed = None
        for name in arguments.only or changes:
            scores = []
            of_data = changes[name] if any(part in changes[name] for part in OF_DATA) else ""
            for seed in arguments.seeds:
                study = f"tuning.study_name={list(changes).index(name)} {seed}"
                common = (
                    f"reviews_file={arguments.csv.resolve()},{study},"
                    f"tuning.seed={seed},tuning.n_trials=1,{NOT_SEARCHED}"
                )
                pipelines = "" if processed == of_data else "data_processing,"
                command = ["-m", "kedro", "run", "--pipelines", f"{pipelines}tuning,training"]
                command += ["--to-outputs", "network_held_out,first_ngrams_held_out"]
                command += ["--env", arguments.preset] if arguments.preset != "base" else []
                parameters = ",".join(filter(None, [common, arguments.params, changes[name]]))
                measure([*command, "--params", parameters], project)
                processed = of_data
                scores.append(score(project, seed))
            cells = " | ".join(describe(model) for model in zip(*scores, strict=True))
            print(f"| {name} | {cells} |", flush=True)


def score(project: Path, seed: int) -> list[tuple[float, float]]:
    """Return accuracy and log loss of the network, of the average, and of the n-grams."""

    def load(path: str) -> Any:
        return pickle.loads((project / "data" / path).read_bytes())

    network = load("06_models/network_held_out.pkl")
    ngrams = load("06_models/first_ngrams_held_out.pkl")
    train, validation = (
        EncodedReviewsDataset(filepath=str(project / f"data/05_model_input/{name}.npy")).load()
        for name in ("train", "validation")
    )
    reviews = train + validation
    if not len(network) or not len(ngrams):
        sys.exit("no held-out predictions: the trial diverged, or there are no n-grams")
    codes = pd.Series(reviews.codes, reviews.rows)[network.rows].to_numpy(np.intp)
    ngram_logits = pd.DataFrame(ngrams.logits, ngrams.rows).loc[network.rows].to_numpy()
    found = []
    for share in (0.0, None, 1.0):
        probabilities = np.empty((len(codes), len(reviews.labels)))
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        for fitted, rest in folds.split(codes, codes):
            weights = fit_weights(
                network.logits[fitted], ngram_logits[fitted], codes[fitted], share
            )
            probabilities[rest] = weights.average(network.logits[rest], ngram_logits[rest])
        loss = log_loss(codes, probabilities, labels=range(len(reviews.labels)))
        found.append((accuracy_score(codes, probabilities.argmax(axis=1)), loss))
    return found


def describe(scores: tuple[tuple[float, float], ...]) -> str:
    """Return the mean accuracy with its standard deviation, and the mean log loss."""
    accuracies, losses = zip(*scores, strict=True)
    spread = f" ± {statistics.stdev(accuracies):.4f}" if len(accuracies) > 1 else ""
    return f"{statistics.mean(accuracies):.4f}{spread}, {statistics.mean(losses):.4f}"


if __name__ == "__main__":
    main()
