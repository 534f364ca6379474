"""What each ingredient contributes: the default, or the preset for best quality, without it.

    .venv/bin/python benchmarks/ablation.py data/01_raw/sample_reviews.csv
    .venv/bin/python benchmarks/ablation.py data/01_raw/imdb_reviews.csv --preset best \
        --params split.method=column,split.group_column=block,split.validation_fraction=0.2

Each row of the table is a change, made with each seed in a run of its own: the search scores one
trial on held-out reviews, with `hyperparameters` as they are and none of them searched. With few
rows, this is a cross-validation. The test reviews are not used. The weights of the average are
fitted in a cross-validation on the same predictions. Log losses are in natural units.
"""

import argparse
import pickle
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from project import describe_machine, make_project, measure
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold

from imdb_sentiment.evaluation.stacking import fit_weights, to_probabilities

NOT_SEARCHED = ",".join(
    f"tuning.search_space.{name}=null" for name in ("units", "dropout_rate", "optimizer")
)
IN_BOTH = {
    "nothing": "",
    "no pretrained embedding": "hyperparameters.pretrained_embedding=false",
    "word vectors of their learnt length": "word_vectors.norm=null",
    "no spatial dropout": "hyperparameters.spatial_dropout_rate=0.0",
    "no dropout": "hyperparameters.dropout_rate=0.0",
    "a constant learning rate": "hyperparameters.learning_rate_schedule=constant",
    "no minimum of steps": "hyperparameters.min_steps=0",
}
CHANGES = {
    "base": {
        **IN_BOTH,
        "no naive Bayes ratios": "hyperparameters.naive_bayes_scale=0.0",
        "Keras's initial biases": "hyperparameters.chrono_initialization=0",
    },
    "best": {
        **IN_BOTH,
        "one direction": "hyperparameters.bidirectional=false",
        "the last output instead of pooling": "hyperparameters.pooling=last",
        "5,000 words": "tokenizer.vocabulary_size=5000",
        "the last 200 words": "tokenizer.sequence_length=200",
    },
}
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
    print(describe_machine())
    print("| changed | LSTM alone | average with n-grams | n-grams alone | seconds per run |")
    print("| --- | --- | --- | --- | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        if arguments.labels:
            # A list can't be passed as --params.
            environment = "local" if arguments.preset == "base" else arguments.preset
            path = project / f"conf/{environment}/parameters_ablation.yml"
            path.write_text(yaml.safe_dump({"reviews": {"labels": arguments.labels}}))
        for name in arguments.only or changes:
            scores, seconds = [], []
            for seed in arguments.seeds:
                common = (
                    f"reviews_file={arguments.csv.resolve()},tuning.study_name={name} {seed},"
                    f"tuning.seed={seed},tuning.n_trials=1,{NOT_SEARCHED}"
                )
                command = ["-m", "kedro", "run", "--pipelines", "data_processing,tuning,training"]
                command += ["--to-outputs", "network_held_out,ngrams_held_out"]
                command += ["--env", arguments.preset] if arguments.preset != "base" else []
                parameters = ",".join(filter(None, [common, arguments.params, changes[name]]))
                usage = measure([*command, "--params", parameters], project)
                scores.append(score(project, seed))
                seconds.append(usage.seconds)
            cells = " | ".join(describe(model) for model in zip(*scores, strict=True))
            print(f"| {name} | {cells} | {statistics.mean(seconds):.0f} |", flush=True)


def score(project: Path, seed: int) -> list[tuple[float, float]]:
    """Return accuracy and log loss of the network, of its average with n-grams, and of these."""

    def load(path: str) -> Any:
        return pickle.loads((project / "data" / path).read_bytes())

    network, ngrams = load("06_models/network_held_out.pkl"), load("06_models/ngrams_held_out.pkl")
    reviews = load("05_model_input/train.pkl") + load("05_model_input/validation.pkl")
    codes = pd.Series(reviews.codes, reviews.rows)[network.rows].to_numpy(np.intp)
    ngram_logits = pd.DataFrame(ngrams.logits, ngrams.rows).loc[network.rows].to_numpy()
    averages = np.empty((len(codes), len(reviews.labels)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, rest in folds.split(ngram_logits, codes):
        weights = fit_weights(network.logits[fitted], ngram_logits[fitted], codes[fitted], None)
        averages[rest] = weights.average(network.logits[rest], ngram_logits[rest])
    return [
        (accuracy_score(codes, found.argmax(axis=1)), log_loss(codes, found))
        for found in (to_probabilities(network.logits), averages, to_probabilities(ngram_logits))
    ]


def describe(scores: tuple[tuple[float, float], ...]) -> str:
    """Return the mean accuracy with its standard deviation, and the mean log loss."""
    accuracies, losses = zip(*scores, strict=True)
    spread = f" ± {statistics.stdev(accuracies):.4f}" if len(accuracies) > 1 else ""
    return f"{statistics.mean(accuracies):.4f}{spread}, {statistics.mean(losses):.4f}"


if __name__ == "__main__":
    main()
