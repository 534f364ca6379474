"""The model compared with what users might choose instead: fastText, spaCy, a linear SVM.

    pip install -e ".[peers]"
    .venv/bin/python benchmarks/peers.py data/01_raw/imdb_reviews.csv --params split.method=column

A whole `kedro run` in a temporary copy of the project comes first. The others learn from the same
cleaned training and validation rows, one after the other on the same cores, and all are scored on
the same test rows. Their settings are those that their own documentation recommends:

- fastText: its tutorial on text classification (texts in lower case with marks set apart,
  `lr=1.0, epoch=25, wordNgrams=2`).
- spaCy: `spacy init config --pipeline textcat --optimize efficiency` (a bag of words) and `spacy
  train`, which stops by the validation rows. (The network that `--optimize accuracy` adds takes
  hours for 45,000 long texts on a CPU.)
- scikit-learn: TF-IDF of words and pairs, `sublinear_tf`, and `LinearSVC`.

The seconds to train are those of reading the rows and fitting, imports included; for this project,
those of the whole run with its search, its checks and its report. The milliseconds per review are
the median of 200 reviews that are scored one by one.
"""

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from project import describe_machine, make_project, measure

MEASURED = 200  # reviews that are scored one by one
SEED = 0

Predict = Callable[[str], str]


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a table of labelled reviews")
    parser.add_argument("--params", default="", help="further parameters of kedro run")
    parser.add_argument("--only", default="", help="measure models whose name contains this")
    parser.add_argument("--learn", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.learn:
        print(json.dumps(learn(arguments.csv, arguments.learn)))
        return
    print(describe_machine())
    print("| model | accuracy | macro F1 | seconds to train | MB | ms per review |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary) / "project")
        parameters = f"reviews_file={arguments.csv.resolve()}"
        parameters += f",{arguments.params}" if arguments.params else ""
        run = measure(["-m", "kedro", "run", "--params", parameters], project)
        for name in (name for name in PEERS if arguments.only in name):
            seconds = measure([__file__, str(project), "--learn", name], project).seconds
            found = json.loads((project / "log").read_text().splitlines()[-1])
            training = run.seconds if name == OURS else seconds - found["seconds_of_scoring"]
            print(
                f"| {name} | {found['accuracy']:.4f} | {found['f1_macro']:.4f} | {training:.0f} "
                f"| {found['bytes'] / 1e6:.1f} | {found['ms']:.2f} |",
                flush=True,
            )


def learn(project: Path, name: str) -> dict[str, float]:
    """Fit one of the models, or load ours, and score the test rows."""
    from imdb_sentiment.datasets import PickleStreamDataset

    stream = PickleStreamDataset(filepath=str(project / "data/03_primary/clean_reviews.pkl")).load()
    rows = pd.concat(chunk[["text", "code", "split"]] for chunk in stream)
    rows["label"] = rows["code"].map(str)
    is_test = rows["split"] == "test"
    predict, size = PEERS[name](rows[~is_test], project)
    test = rows[is_test]
    start = time.perf_counter()
    predicted = [predict(text) for text in test["text"]]
    elapsed = time.perf_counter() - start
    seconds = []
    for text in test["text"].sample(min(MEASURED, len(test)), random_state=SEED):
        before = time.perf_counter()
        predict(text)
        seconds.append(time.perf_counter() - before)
    from sklearn.metrics import accuracy_score, f1_score

    labels = sorted(set(test["label"]))  # not "", of texts of which our model knows nothing

    return {
        "accuracy": float(accuracy_score(test["label"], predicted)),
        "f1_macro": float(f1_score(test["label"], predicted, labels=labels, average="macro")),
        "seconds_of_scoring": elapsed + sum(seconds),
        "bytes": size,
        "ms": 1000 * statistics.median(seconds),
    }


def load_ours(_: pd.DataFrame, project: Path) -> tuple[Predict, int]:
    """Load the exported model of the run."""
    from imdb_sentiment.serving import Predictor

    path = project / "data/06_models/model.onnx"
    predictor = Predictor.load(path, threads=1)
    codes = {label: str(code) for code, label in enumerate(predictor.labels)}
    return lambda text: codes.get(predictor.predict(text).label or "", ""), path.stat().st_size


def fit_fasttext(rows: pd.DataFrame, project: Path) -> tuple[Predict, int]:
    """Fit fastText as in its tutorial."""
    import fasttext

    def prepare(text: str) -> str:
        return " ".join(re.sub(r"([.!?,'/()\"])", r" \1 ", text).lower().split())

    source = project / "fasttext.txt"
    lines = [
        f"__label__{label} {prepare(text)}\n"
        for label, text in zip(rows["label"], rows["text"], strict=True)
    ]
    random.Random(SEED).shuffle(lines)  # it learns the lines in their order
    source.write_text("".join(lines), encoding="utf-8")
    model = fasttext.train_supervised(
        str(source), lr=1.0, epoch=25, wordNgrams=2, verbose=0, seed=SEED
    )
    target = project / "fasttext.bin"
    model.save_model(str(target))
    return (
        lambda text: model.predict(prepare(text))[0][0].removeprefix("__label__"),
        target.stat().st_size,
    )


def fit_spacy(rows: pd.DataFrame, project: Path) -> tuple[Predict, int]:
    """Fit spaCy's bag of words by its own commands."""
    import spacy
    from spacy.tokens import DocBin

    labels = sorted(rows["label"].unique())
    nlp = spacy.blank("xx")
    options = [f"--training.seed={SEED}"]
    for corpus, split in (("train", "train"), ("dev", "validation")):
        some = rows[rows["split"] == split]
        binary = DocBin()
        for doc, own in zip(nlp.pipe(some["text"]), some["label"], strict=True):
            doc.cats = {label: float(label == own) for label in labels}
            binary.add(doc)
        path = project / f"{corpus}.spacy"
        binary.to_disk(path)
        options.append(f"--paths.{corpus}={path}")
    config, target = project / "spacy.cfg", project / "spacy"
    run = [sys.executable, "-m", "spacy"]
    settings = ["--pipeline", "textcat", "--optimize", "efficiency", "--lang", "xx"]
    for command in (
        [*run, "init", "config", str(config), *settings],
        [*run, "train", str(config), f"--output={target}", *options],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    best = target / "model-best"
    trained = spacy.load(best)

    def predict(text: str) -> str:
        categories: dict[str, float] = trained(text).cats
        return max(categories, key=lambda label: categories[label])

    return predict, sum(path.stat().st_size for path in best.rglob("*") if path.is_file())


def fit_svm(rows: pd.DataFrame, project: Path) -> tuple[Predict, int]:
    """Fit scikit-learn's TF-IDF and linear support vector machine."""
    import joblib
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LinearSVC()
    )
    model.fit(rows["text"], rows["label"])
    target = project / "svm.joblib"
    joblib.dump(model, target)
    return lambda text: str(model.predict([text])[0]), target.stat().st_size


OURS = "**this project**, `kedro run`"
PEERS: dict[str, Callable[[pd.DataFrame, Path], tuple[Predict, int]]] = {
    OURS: load_ours,
    "fastText, words and pairs": fit_fasttext,
    "spaCy, `--optimize efficiency`": fit_spacy,
    "scikit-learn, TF-IDF and `LinearSVC`": fit_svm,
}


if __name__ == "__main__":
    main()
