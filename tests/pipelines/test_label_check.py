"""Labels that were changed are found, by models that have not learnt from them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from helpers import make_reviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import to_logits
from imdb_sentiment.evaluation.stacking import HeldOutLogits
from imdb_sentiment.parameters import (
    LabelCheckParameters,
    ReviewsParameters,
    SplitParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.label_check import create_pipeline
from imdb_sentiment.pipelines.label_check.nodes import (
    choose_rows_to_label,
    find_doubtful_labels,
    fingerprint_reviews,
    score_held_out,
)

LABELS = ("negative", "positive", "neutral")


@pytest.fixture
def label_check(conf: dict[str, Any]) -> LabelCheckParameters:
    return LabelCheckParameters(**conf["label_check"])


def name(reviews: ReviewsParameters, n_labels: int) -> ReviewsParameters:
    return reviews.model_copy(update={"labels": LABELS[:n_labels]})


def make_clean(n: int, n_labels: int = 2, first_row: int = 1, seed: int = 0) -> pd.DataFrame:
    texts, names = zip(*make_reviews(n, LABELS[:n_labels], seed), strict=True)
    return pd.DataFrame(
        {
            "row": np.arange(first_row, first_row + n),
            "text": texts,
            "code": [LABELS.index(label) for label in names],
            "group": "",
            "split": "train",
        }
    )


def is_right(held_out: HeldOutLogits, codes: pd.Series) -> float:
    logits = held_out.logits
    predicted = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)
    return float((predicted == codes.to_numpy()).mean())


@pytest.mark.parametrize("n_labels", [2, 3])
def test_what_is_doubtful_are_the_changed_labels(
    n_labels: int,
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
) -> None:
    true = make_clean(240, n_labels)
    changed = np.arange(0, 240, 24)
    codes = true["code"].to_numpy(copy=True)
    codes[changed] = (codes[changed] + 1) % n_labels
    noisy = true.assign(code=codes)
    chunks, named = [noisy[:100], noisy[100:]], name(reviews, n_labels)
    held_out = score_held_out(chunks, named, split, label_check, training, script="auto")
    assert held_out.rows.tolist() == noisy["row"].tolist()
    doubtful, check = find_doubtful_labels(chunks, held_out, named)
    assert set(doubtful["row"]) <= set(true["row"].iloc[changed])
    assert len(doubtful) > len(changed) / 2
    by_row = true.set_index("row").loc[doubtful["row"]]
    assert doubtful["text"].tolist() == by_row["text"].tolist()
    assert doubtful["likely_label"].tolist() == [LABELS[code] for code in by_row["code"]]
    assert (doubtful["given_label"] != doubtful["likely_label"]).all()
    assert doubtful["score"].is_monotonic_increasing
    assert (doubtful["probability"] > doubtful["score"]).all()
    assert check == {
        "reviews_sha256": fingerprint_reviews([noisy], named),
        "checked": 240,
        "doubtful": len(doubtful),
        "first": doubtful.to_dict("records"),
    }


def test_as_many_labels_are_doubtful_as_the_confident_joint_says(
    reviews: ReviewsParameters,
) -> None:
    """Of each label, as many rows are listed as the estimate has with another true label."""
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=400)
    probabilities = rng.dirichlet([1, 1], size=400)
    frame = pd.DataFrame({"row": np.arange(400), "text": "a", "code": codes})
    held_out = HeldOutLogits(frame["row"].to_numpy(), to_logits(probabilities))
    doubtful, _ = find_doubtful_labels([frame], held_out, reviews)

    thresholds = [probabilities[codes == code, code].mean() for code in (0, 1)]
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    guessed = confident.argmax(axis=1)
    counted = confident.max(axis=1) >= 0
    joint = np.zeros((2, 2))
    np.add.at(joint, (codes[counted], guessed[counted]), 1)
    sizes = np.bincount(codes)
    joint = joint / joint.sum(axis=1, keepdims=True) * sizes[:, np.newaxis]
    for code in (0, 1):
        listed = (doubtful["given_label"] == reviews.labels[code]).sum()
        assert listed == pytest.approx(joint[code, 1 - code], abs=1)


def test_no_row_is_scored_by_a_model_that_has_learnt_its_label(
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
) -> None:
    """Each group has words of its own, so a model can learn its random label by heart."""
    rng = np.random.default_rng(0)
    films = np.repeat(np.arange(60), 5)
    frame = pd.DataFrame(
        {
            "row": np.arange(300),
            "text": [f"film{film} cut{row} was shown" for row, film in enumerate(films)],
            "code": rng.permutation(np.repeat([0, 1], 30))[films],
            "group": [f"film {film}" for film in films],
        }
    )
    divided = score_held_out([frame], reviews, split, label_check, training, script="auto")
    assert is_right(divided, frame["code"]) > 0.95  # other rows of the film tell
    grouped = split.model_copy(update={"group_column": "film"})
    whole = score_held_out([frame], reviews, grouped, label_check, training, script="auto")
    assert 0.2 < is_right(whole, frame["code"]) < 0.8


@pytest.mark.parametrize("is_grouped", [False, True])
def test_too_many_folds_are_refused_in_one_line(
    *,
    is_grouped: bool,
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
) -> None:
    frame = make_clean(6) if not is_grouped else make_clean(40).assign(group="the only film")
    chosen = split.model_copy(update={"group_column": "film" if is_grouped else None})
    many = label_check.model_copy(update={"folds": 8})
    with pytest.raises(InputError, match=r"label_check\.folds = 8 .*: set it to a smaller number"):
        score_held_out([frame], reviews, chosen, many, training, script="auto")


def test_a_label_in_a_single_group_is_refused(
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
) -> None:
    frame = make_clean(60)
    films = np.where(frame["code"] == 1, "the only film", "film " + (frame["row"] % 9).astype(str))
    grouped = split.model_copy(update={"group_column": "film"})
    with pytest.raises(InputError, match="'positive' would be held out: add rows of other"):
        score_held_out(
            [frame.assign(group=films)], reviews, grouped, label_check, training, script="auto"
        )


@settings(max_examples=20)
@given(ends=st.lists(st.integers(0, 40), max_size=4))
def test_a_fingerprint_does_not_depend_on_the_chunks(ends: list[int], conf: dict[str, Any]) -> None:
    reviews = ReviewsParameters(**conf["reviews"])
    frame = make_clean(40)
    parts = [frame[a:b] for a, b in zip([0, *sorted(ends)], [*sorted(ends), 40], strict=True)]
    assert fingerprint_reviews(parts, reviews) == fingerprint_reviews([frame], reviews)


def test_uncertain_rows_are_chosen_but_no_two_alike(
    reviews: ReviewsParameters, label_check: LabelCheckParameters, training: TrainingParameters
) -> None:
    labelled = make_clean(200)
    sure = make_clean(40, first_row=1, seed=1)
    good, bad = (
        labelled.loc[labelled["code"] == code, "text"].str.split().explode().mode()[0]
        for code in (1, 0)
    )
    unsure = [
        f"{good} {bad} one thing",
        f"{good} {bad} one thing !",
        f"{bad} {good} another affair",
    ]
    rows = pd.DataFrame({"row": [101, 102, 103], "text": unsure})
    unlabelled = pd.concat([sure[["row", "text"]], rows])
    three = label_check.model_copy(update={"rows_to_label": 3})
    whole = choose_rows_to_label([unlabelled], [labelled], reviews, three, training, script="auto")
    chunks = [unlabelled[start : start + 7] for start in range(0, len(unlabelled), 7)]
    parts = choose_rows_to_label(chunks, [labelled], reviews, three, training, script="auto")
    pd.testing.assert_frame_equal(parts, whole)
    # The labels of the test set have no say.
    test = make_clean(90, first_row=201, seed=2).assign(split="test", code=0)
    both = choose_rows_to_label(
        [unlabelled], [labelled, test], reviews, three, training, script="auto"
    )
    pd.testing.assert_frame_equal(both, whole)
    assert list(whole.columns) == ["row", "text", "likely_label", "margin"]
    assert len(whole) == 3
    assert whole["margin"].is_monotonic_increasing
    assert whole["margin"].between(0, 1).all()
    chosen = set(whole["row"])
    assert 103 in chosen
    assert len(chosen & {101, 102}) == 1  # nearly the same text


def test_near_duplicates_displace_no_other_rows(
    reviews: ReviewsParameters, label_check: LabelCheckParameters, training: TrainingParameters
) -> None:
    """Though they are more than all rows that are compared at once, and the most uncertain."""
    labelled = make_clean(200)
    good, bad = (
        labelled.loc[labelled["code"] == code, "text"].str.split().explode().mode()[0]
        for code in (1, 0)
    )
    alike = [f"{good} {bad} one thing and another or none {number}" for number in range(90)]
    others = make_clean(40, seed=1)["text"].tolist()
    unlabelled = pd.DataFrame({"row": range(1, 131), "text": [*alike, *others]})
    four = label_check.model_copy(update={"rows_to_label": 4})
    chosen = choose_rows_to_label([unlabelled], [labelled], reviews, four, training, script="auto")
    assert len(chosen) == 4
    assert (chosen["row"] <= 90).sum() <= 1
    assert chosen["margin"].is_monotonic_increasing
    texts = unlabelled.set_index("row")["text"]
    assert chosen["text"].tolist() == texts[chosen["row"]].tolist()


def test_texts_are_cut_into_words_as_for_the_model(
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
) -> None:
    """Each label has the letters of the other one in another order, as single letters are words."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat([0, 1], 60))
    words = np.array(["\u597d\u770b\u975e\u5e38", "\u770b\u597d\u5e38\u975e"])
    frame = pd.DataFrame({"row": np.arange(120), "text": words[codes], "code": codes})
    frame = frame.assign(group="", split="train")
    one = training.model_copy(
        update={"ngrams": training.ngrams.model_copy(update={"max_ngram": 1})}
    )
    unlabelled = pd.DataFrame({"row": [1, 2], "text": words})
    found = {}
    for script in ("auto", "spaces"):
        held_out = score_held_out([frame], reviews, split, label_check, one, script=script)
        chosen = choose_rows_to_label(
            [unlabelled], [frame], reviews, label_check, one, script=script
        )
        found[script] = is_right(held_out, frame["code"]), len(chosen), chosen["margin"].min()
    assert found["spaces"][:2] == (1, 2)
    assert found["spaces"][2] > 0.5
    assert found["auto"][0] < 0.7
    assert found["auto"][1:] == (1, pytest.approx(0, abs=0.01))  # both rows have the same words


def test_without_unlabelled_rows_none_is_chosen(
    reviews: ReviewsParameters, label_check: LabelCheckParameters, training: TrainingParameters
) -> None:
    nothing: list[pd.DataFrame] = []
    for unlabelled in (nothing, [pd.DataFrame({"row": [], "text": []})]):
        chosen = choose_rows_to_label(
            unlabelled, [make_clean(50)], reviews, label_check, training, script="auto"
        )
        assert list(chosen.columns) == ["row", "text", "likely_label", "margin"]
        assert chosen.empty


def test_unlabelled_rows_may_be_invisible(
    reviews: ReviewsParameters, label_check: LabelCheckParameters, training: TrainingParameters
) -> None:
    unlabelled = pd.DataFrame({"row": [1, 2], "text": ["\u200d", "\u200d\u200d"]})
    chosen = choose_rows_to_label(
        [unlabelled], [make_clean(50)], reviews, label_check, training, script="auto"
    )
    assert chosen.empty


def test_rows_that_the_model_knows_nothing_of_are_not_proposed(
    reviews: ReviewsParameters, label_check: LabelCheckParameters, training: TrainingParameters
) -> None:
    """Their margin is the smallest, that of the intercept alone."""
    known = make_clean(20, first_row=1, seed=1)[["row", "text"]]
    foreign = pd.DataFrame({"row": range(101, 121), "text": [f"'qxj{i}', zvw." for i in range(20)]})
    labelled = make_clean(200)
    labelled["text"] += ", 'indeed'."  # so the model knows marks
    chosen = choose_rows_to_label(
        [pd.concat([foreign, known]), foreign],
        [labelled],
        reviews,
        label_check,
        training,
        script="auto",
    )
    assert len(chosen)
    assert set(chosen["row"]) <= set(known["row"])


def test_the_pipeline_runs_on_a_few_rows(
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
) -> None:
    catalog = DataCatalog(
        {
            "clean_reviews": MemoryDataset([make_clean(100)]),
            "clean_unlabelled_reviews": MemoryDataset([make_clean(30, seed=3)[["row", "text"]]]),
            "review_settings": MemoryDataset(reviews),
            "params:split": MemoryDataset(split),
            "params:label_check": MemoryDataset(label_check),
            "params:training": MemoryDataset(training),
            "params:tokenizer.script": MemoryDataset("auto"),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    assert set(outputs) == {"doubtful_labels", "label_check", "rows_to_label"}
    assert outputs["label_check"].load()["checked"] == 100
    assert len(outputs["rows_to_label"].load()) == 30
