"""What each part of the network of conf/best contributes: the preset without it.

    .venv/bin/python benchmarks/ablation.py data/01_raw/imdb_reviews.csv

Each row of the table is a search of one trial with one change, run by
`kedro run --env best --pipelines data_processing,tuning`. The CSV is the one that the pipeline
imdb_download writes. A fifth of its training half is held out for validation, in whole blocks of
neighbouring reviews, so that no film is both in the training and in the validation reviews. The
test half is not used. The accuracy of a trial is that of the network alone, without n-grams, after
its last epoch.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import yaml
from project import ROOT, describe_machine, make_project, measure

DROPOUT = "tuning.search_space.dropout_rate"
SAME = (
    "split.method=column,split.group_column=block,split.validation_fraction=0.2,"
    f"{DROPOUT}.low=0.5,{DROPOUT}.high=0.5"
)
PRESET = yaml.safe_load((ROOT / "conf/best/parameters_data_processing.yml").read_text())
CHANGES = {
    "the preset": "",
    "one direction": "hyperparameters.bidirectional=false",
    "the last output instead of pooling": "hyperparameters.pooling=last",
    "max pooling alone": "hyperparameters.pooling=max",
    "no spatial dropout": "hyperparameters.spatial_dropout_rate=0.0",
    "a constant learning rate": "hyperparameters.learning_rate_schedule=constant",
    "learning rate 0.001": "hyperparameters.learning_rate=0.001",
    "one epoch": "hyperparameters.epochs=1",
    "embedding trained from scratch": (
        "hyperparameters.pretrained_embedding=false,"
        f"hyperparameters.embedding_size={PRESET['word_vectors']['size']}"
    ),
    "word vectors of their learnt length": "word_vectors.norm=null",
    "5000 words": "tokenizer.vocabulary_size=5000",
    "length 200": "tokenizer.sequence_length=200",
}


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV that the pipeline imdb_download has written")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    arguments = parser.parse_args()
    print(describe_machine())
    print("| changed | seed | validation accuracy | seconds per trial |")
    print("| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        processed = None
        for name in arguments.only:
            change = CHANGES[name]
            of_data = change if change.startswith(("word_vectors", "tokenizer")) else ""
            for seed in arguments.seeds:
                study = f"tuning.study_name={name} {seed}"
                common = f"reviews_file={arguments.csv.resolve()},{SAME},{study},tuning.seed={seed}"
                pipelines = "tuning" if processed == of_data else "data_processing,tuning"
                command = ["-m", "kedro", "run", "--env", "best", "--pipelines", pipelines]
                measure([*command, "--params", f"{common},{change}".rstrip(",")], project)
                processed = of_data
                trial = pd.read_csv(project / "data/08_reporting/trials.csv").iloc[0]
                print(
                    f"| {name} | {seed} | {trial['value']:.4f} | {trial['seconds']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
