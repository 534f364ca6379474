"""The content of report and model card, and the report in a browser."""

import functools
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from rich.console import Console
from rich.markdown import Markdown

from browser import open_context, open_page, run_browser, sort_from_left
from helpers import base_parameters, make_predictions, run_benchmark
from imdb_sentiment.parameters import ReportParameters
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews
from imdb_sentiment.pipelines.reporting.nodes.figures.data import plot_distinctive_words
from imdb_sentiment.pipelines.reporting.nodes.page import (
    escape_markdown,
    mark_words,
    render_report,
    summarise_run,
    write_model_card,
)
from imdb_sentiment.pipelines.training.nodes import UncalibratedReason
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain

NASTY = "<script>document.title = 'taken'</script> w1 <b>w2</b> & w3"
MAX_BYTES = 8_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as browser:
        yield browser


@functools.cache  # no test changes them
def load_figures(folder: Path) -> dict[str, go.Figure]:
    texts = {path.stem: path.read_text() for path in folder.glob("*.json")}
    return {
        name: plotly.io.from_json(text) for name, text in texts.items() if '"data"' in text[:10]
    }


def load_facts(finished: tuple[Path, str], **metrics: Any) -> dict[str, Any]:
    """Return the facts of the finished run, with other metrics."""
    facts: dict[str, Any] = json.loads((finished[0] / "data/08_reporting/facts.json").read_text())
    facts["metrics"] |= metrics
    return facts


def render(finished: tuple[Path, str], facts: dict[str, Any], **figures: Any) -> str:
    """Return the report of the finished run without examples, as if it had these facts and figures.

    The marks of names that may be written from right to left are left out.
    """
    html = render_report(
        facts=facts,
        embedded_model={},
        mistakes=[],
        disagreements=[],
        custom_examples=[],
        doubtful_examples={},
        run_changes=[],
        **(load_figures(finished[0] / "data/08_reporting") | figures),
    )
    return re.sub("</?bdi>", "", html)


def test_words_are_marked_even_where_the_model_is_as_good_as_certain() -> None:
    segments = [("good", 0.0009), (" ", None), ("dull", -0.00005), (" film", 0.0)]
    marked = mark_words(segments, 0.9999)
    without_good, without_dull = 0.9999 - 0.0009, 0.9999 + 0.00005
    odds = [p / (1 - p) for p in (0.9999, without_good, without_dull)]
    assert marked[0]["effect"] == pytest.approx(math.log(odds[0] / odds[1]))
    assert marked[2]["effect"] == pytest.approx(math.log(odds[0] / odds[2]))
    strengths = [word["strength"] for word in marked]
    assert strengths == [
        1,
        0,
        round(math.log(odds[2] / odds[0]) / math.log(odds[0] / odds[1]), 2),
        0,
    ]
    assert [word["effect"] for word in mark_words([("?", None)], None)] == [None]


def test_a_page_without_any_example_says_so(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished, test_set_unseen_in_tuning=False)
    facts["custom_reviews"] |= {"reviews": 0, "judged": 0}
    html = render(finished, facts)
    assert html.count("There are none.") == 2
    assert "They agree on all test reviews." in html
    assert "these accuracies are too optimistic" in html


def test_many_near_duplicates_are_told(finished: tuple[Path, str]) -> None:
    plain = load_facts(finished)
    many = {"test_near_duplicates": 1234, "has_many_near_duplicates": True}
    some = load_facts(finished, **many, test_accuracy_without_near_duplicates=0.5)
    rows = plain["metrics"]["test_rows"]
    for write in (functools.partial(render, finished), write_model_card):
        assert "numbers or rare words" not in write(plain)
        for facts, others in (
            (some, " On the others, the accuracy is 50.0%, which is closer to what to expect on"),
            (load_facts(finished, **many), " If a column says which reviews belong together, set"),
        ):
            start = f"1,234 of the {rows} test reviews differ from a training review only in "
            assert f"{start}numbers or rare words.{others}" in write(facts)


def test_a_report_without_words_shows_no_empty_figure(finished: tuple[Path, str]) -> None:
    ReportParameters.model_validate(base_parameters()["report"] | {"words": 0})
    empty = plot_distinctive_words({"distinctive_words": {"negative": [], "positive": []}})
    for figures, is_shown in (({}, True), ({"distinctive_words": empty}, False)):
        html = render(finished, load_facts(finished), **figures)
        assert ("Log-odds ratio with an informative" in html) == is_shown


@pytest.mark.parametrize("judged", [0, 10])
def test_nothing_is_said_of_examples_that_are_not_wanted(
    judged: int, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished)
    facts["parameters"]["report"] |= {"examples": 0, "custom_reviews": 0}
    facts["custom_reviews"] |= {"judged": judged, "right": 7, "unpredicted": 2}
    html = render(finished, facts)
    for words in ("There are none", "They agree", "The first 0", "mistakes", "Mistakes"):
        assert words not in html
    assert ("; 2 have no prediction." in html) == (judged > 0)
    assert ("7 of 10 predictions match the" in html) == ('id="own"' in html) == (judged > 0)
    assert set(re.findall(r'href="#(\w+)"', html)) <= set(re.findall(r'id="(\w+)"', html))


ROW = {
    "rows": 10,
    "predicted": 8,
    "precision": 0.5,
    "recall": 0.5,
    "f1": 0.5,
    "confused_with": None,
}
SCORES = {
    f"{prefix}test_{score}": accuracy
    for accuracy, prefix in ((0.91, ""), (0.82, "lstm_"), (0.87, "ngrams_"), (0.85, "baseline_"))
    for score in (
        *("accuracy", "accuracy_low", "accuracy_high", "precision", "recall", "f1", "roc_auc"),
        *(
            "log_loss",
            "calibration_error",
            "calibration_error_by_chance",
            "balanced_accuracy",
            "f1_macro",
        ),
    )
}


@pytest.mark.parametrize(
    ("share", "columns", "accuracies"),
    [
        (
            0.25,
            ["model", "LSTM alone", "n-grams alone", "baseline"],
            ["0.9100", "0.8200", "0.8700", "0.8500"],
        ),
        (0.0, ["model", "baseline"], ["0.9100", "0.8500"]),
    ],
)
def test_the_parts_of_an_average_are_scored_beside_it(
    share: float, columns: list[str], accuracies: list[str], finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished, **SCORES, ngram_share=share)
    table = render(finished, facts).split("Scores on the test reviews")[1].split("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in table.split("<tr>")[1:]]
    assert rows[0] == ["", *columns]
    assert [len(row) for row in rows] == [1 + len(columns)] * 9
    assert rows[1] == ["accuracy", *accuracies]

    card = write_model_card(facts)
    rows = [line.split(" | ") for line in card.split("## Metrics")[1].splitlines() if "|" in line]
    assert rows[0] == [
        "|",
        *columns[:-1],
        "TF-IDF and logistic regression",
        "most frequent label |",
    ]
    assert rows[2][:-1] == ["| accuracy", *accuracies]
    assert "averaged with a linear model" in render(finished, facts) or not share
    assert ("The n-grams are those of the whole review." in card) == bool(share)


@pytest.mark.parametrize(
    ("metrics", "says", "curves"),
    [
        (
            {"tuning_folds": 1, "tuned_on": "validation"},
            "on the validation reviews",
            "the best trial of the search shows the accuracy on unseen reviews",
        ),
        (
            {"tuning_folds": 1, "tuned_on": "test"},
            "on the test reviews",
            "the best trial of the search shows the accuracy on unseen reviews",
        ),
        (
            {"tuning_folds": 3, "tuned_on": "validation"},
            "in a cross-validation with 3 folds",
            "The trials of the search are not shown",
        ),
    ],
)
def test_it_is_said_how_trials_were_scored(
    metrics: dict[str, Any], says: str, curves: str, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished, **metrics, tuning_value=0.8)
    html = " ".join(render(finished, facts).split())
    assert f"The best trial reached an accuracy of 0.8000 {says}" in html
    assert curves in html
    card = write_model_card(facts)
    assert f"chosen from 2 trials by their accuracy {says}:" in card
    chosen_by_validation = "validation reviews used to choose the hyperparameters" in card
    assert chosen_by_validation == (says == "on the validation reviews")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"uncalibrated_reason": None, "temperature": 0.8, "held_out_rows": 1234},
            "calibrated with a temperature of 0.800, fitted to 1,234 reviews",
        ),
        (
            {"uncalibrated_reason": "too_few_rows", "held_out_rows": 99},
            "not calibrated: 99 held-out reviews are too few.",
        ),
        ({"uncalibrated_reason": "no_unseen_rows"}, "so no unseen reviews are left."),
    ],
)
def test_it_is_said_whether_probabilities_are_calibrated(
    changes: dict[str, Any], says: str, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished, **SCORES, ngram_share=0.5)
    assert set(changes) <= set(facts["calibration"])
    facts["calibration"] |= changes
    assert says in write_model_card(facts)
    page = render(finished, facts)
    assert says in page
    average = "calibrated average" if changes["uncalibrated_reason"] is None else "average"
    assert f"The model is the {average} of the LSTM and the n-grams." in page


def test_it_is_said_which_ngrams_the_model_reads(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished)
    words = "n-grams of up to 3 words and punctuation marks"
    for length, says in (
        (4, f"{words}, and of 4 characters within words (with a weight of 0.5)"),
        (0, words),
    ):
        facts["model"] |= {"max_ngram": 3, "character_ngram": length, "character_weight": 0.5}
        for page in (write_model_card(facts), render(finished, facts)):
            assert says in page
            assert ("characters within words" in page) == bool(length)
            assert "unlabelled reviews" not in page
    facts["model"]["unlabelled_reviews"] = 2000
    for page in (write_model_card(facts), render(finished, facts)):
        assert f"{words}, fitted with the help of 2,000 unlabelled reviews" in page


def test_every_reason_has_a_sentence(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished)
    for reason in UncalibratedReason:
        facts["calibration"]["uncalibrated_reason"] = reason.value
        assert "The probabilities are not calibrated: " in write_model_card(facts)


def test_an_accuracy_that_hides_a_label_is_followed_by_what_helps(
    finished: tuple[Path, str],
) -> None:
    facts = load_facts(finished)
    assert "The label negative" not in render(finished, facts)
    row = facts["metrics"]["test_by_label"]["negative"]
    row |= {"rows": 60, "predicted": 15, "recall": 0.16, "precision": 0.5}
    facts["neglected_labels"] = ["negative"]
    page = " ".join(render(finished, facts).split())
    assert "The label negative is predicted for only 10 of its 60 reviews." in page
    assert "| negative | 60 | 15 | 50.0% | 16.0% |" in write_model_card(facts)


def test_the_report_fits_runs_of_other_kinds(finished: tuple[Path, str]) -> None:
    def read(facts: dict[str, Any]) -> str:
        return " ".join(render(finished, facts).split())

    threshold, unseen = "To choose a threshold that reaches", "The score to rely on"
    lstm = "The LSTM reads only a part of reviews"
    facts = load_facts(finished)
    facts["calibration"]["uncalibrated_reason"] = None
    facts["decision"]["aim"] = None
    usual = read(facts)
    assert all(words in usual for words in (threshold, unseen.lower()[4:], lstm))
    facts["calibration"]["uncalibrated_reason"] = "too_few_rows"
    facts["metrics"] |= {"test_set_unseen_in_tuning": False, "ngram_share": 1.0}
    other = read(facts)
    assert not any(words in other for words in (threshold, unseen.lower()[4:], lstm))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "The most probable label is predicted."),
        (
            {
                "label_weights": {"negative": 0.5, "positive": 1.5},
                "threshold": 0.25,
                "aim": "macro F1",
                "before": 0.4,
                "after": 0.6,
                "min_confidence": 0.7,
            },
            "positive is predicted if its probability exceeds 0.25, chosen on held-out reviews "
            "for the macro F1: 0.6000 instead of 0.4000 for the most probable label. Below a "
            "confidence of 0.7, the exported model gives no answer.",
        ),
        (
            {"label_weights": {"negative": 0.5, "positive": 1.5}, "threshold": None},
            "The label with the largest product of probability and weight is predicted; the "
            "weights are negative 0.5, positive 1.5.",
        ),
        (
            {"is_median": True, "aim": "mean absolute error", "before": 0.5, "after": 0.4},
            "The median of the ordered labels is predicted; the mean absolute error on "
            "held-out reviews is 0.4000 instead of 0.5000 for the most probable label.",
        ),
        (
            {"is_median": True, "label_weights": {"negative": 0.5, "positive": 1.5}},
            "The median of the ordered labels is predicted, after multiplying the probabilities by "
            "the weights of the loss.",
        ),
        (
            {
                "is_median": True,
                "label_weights": {"negative": 0.5, "positive": 1.5},
                "aim": "mean absolute error",
                "before": 0.5,
                "after": 0.4,
            },
            "the weights of the loss; the mean absolute error on held-out reviews is 0.4000 "
            "instead of 0.5000 for the label with the largest product.",
        ),
        (
            {"aim": "macro F1", "before": 0.6, "after": 0.6, "unfitted_reason": "no_gain"},
            "The most probable label is predicted, since other weights, chosen on one half of the "
            "held-out reviews, do not improve the macro F1 of the other half.",
        ),
        (
            {"aim": "recall of negative of at least 0.9", "unfitted_reason": "out_of_reach"},
            "since no threshold reaches a recall of negative of at least 0.9 on the held-out",
        ),
        ({"unfitted_reason": "too_few_rows"}, "a threshold could not be chosen"),
    ],
)
def test_it_is_said_how_probabilities_become_labels(
    changes: dict[str, Any], says: str, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished)
    facts["decision"] |= changes
    assert says in " ".join(render(finished, facts).split())
    assert says in " ".join(write_model_card(facts).split())


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"class_weight": "balanced"}, "instead of 0.4000 with the weights of the loss."),
        (
            {"decision_target": {"label": "positive", "recall": 0.9}},
            "instead of 0.4000 for the most probable label, on the reviews on which it was chosen.",
        ),
    ],
)
def test_it_is_said_what_a_chosen_threshold_is_better_than(
    training: dict[str, Any], says: str, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished)
    facts["decision"] |= {
        "label_weights": {"negative": 0.5, "positive": 1.5},
        "threshold": 0.25,
        "aim": "macro F1",
        "before": 0.4,
        "after": 0.6,
    }
    facts["model"]["training"] |= training
    assert says in " ".join(render(finished, facts).split())
    assert says in " ".join(write_model_card(facts).split())


def test_many_labels_are_counted_instead_of_listed(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished)
    labels = [f"intent {number}" for number in range(77)]
    facts["data"]["labels"] = labels
    facts["metrics"]["test_by_label"] = dict.fromkeys(labels, ROW)
    weights = {label: 0.5 + number / 76 for number, label in enumerate(labels)}
    facts["decision"] |= {"label_weights": weights, "threshold": None}
    for text in (render(finished, facts), write_model_card(facts)):
        said = " ".join(text.split())
        assert "as one of 77 labels, such as intent 0, intent 1 and intent 2" in said
        assert "of probability and weight is predicted; the weights lie between 0.5 and 1.5" in said


def test_by_another_metric_the_verdict_has_its_interval(finished: tuple[Path, str]) -> None:
    gain = {"metric_gain": -0.02, "metric_gain_low": -0.05, "metric_gain_high": 0.01}
    facts = load_facts(finished, **gain, tuning_metric="macro F1")
    interval = (
        "0.0200 worse, 95% confidence interval -0.0500 to +0.0100 by a bootstrap of the test "
        "reviews)"
    )
    page = " ".join(render(finished, facts).split())
    assert f"(macro F1: {interval}" in page
    assert "The intervals of the accuracies are Wilson's" in page
    assert f"(macro F1: {interval}" in write_model_card(facts)
    facts["metrics"]["compared_without_thresholds"] = True
    says = f"(macro F1 of the most probable labels, without thresholds: {interval}"
    assert says in write_model_card(facts)


def test_it_is_said_that_intervals_are_those_of_groups(finished: tuple[Path, str]) -> None:
    without = load_facts(finished)
    assert "The intervals of the accuracies are Wilson's" in render(finished, without)
    assert "95% confidence interval (Wilson)" in write_model_card(without)
    gain = {"metric_gain": 0.02, "metric_gain_low": -0.01, "metric_gain_high": 0.05}
    facts = load_facts(finished, **gain, tuning_metric="accuracy", test_groups=1200)
    del facts["metrics"]["mcnemar_p_value"]
    page, card = (
        " ".join(text.split()) for text in (render(finished, facts), write_model_card(facts))
    )
    verdict = (
        "95% confidence interval -0.0100 to +0.0500 by a bootstrap of 1,200 groups of reviews)"
    )
    assert verdict in page
    assert verdict in card
    assert "a bootstrap of the 1,200 groups that the test reviews belong to" in page
    assert "95% confidence interval (bootstrap of 1,200 groups)" in card


def test_the_threshold_of_two_labels_is_said_in_words(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished, test_by_label={"bad": ROW, "good": ROW | {"precision": 0.75}})
    facts["data"]["labels"] = ["bad", "good"]
    facts["decision"] |= {"threshold": 0.3, "label_weights": {"bad": 0.6, "good": 1.4}}
    says = (
        "The model predicts good if its probability exceeds 0.3: the precision is 75.0%. The "
        "recall is 50.0%."
    )
    assert says in " ".join(render(finished, facts).split())
    facts["threshold_step"] = "kedro run --params 'wanted=<b>'"
    assert "kedro run --params &#39;wanted=&lt;b&gt;&#39;</pre>" in render(finished, facts)
    facts["decision"] |= {"aim": "recall of good", "before": 0.8, "after": 0.9}  # there is one
    assert "wanted=" not in render(finished, facts)


@pytest.mark.parametrize(("share", "says"), [(1, "A linear model"), (0, "An LSTM that")])
def test_the_model_is_called_what_it_is(
    share: float, says: str, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished, ngram_share=share)
    page = render(finished, facts)
    assert says in page
    limit = "The LSTM reads at most 12 known tokens of a review (the first 3 and the last 9 of a"
    assert (limit in page) == (share == 0)
    end = facts | {"data": facts["data"] | {"head_length": 0}}
    assert ("of a review (the last 12 of a longer one)" in render(finished, end)) == (share == 0)
    card = write_model_card(facts)
    assert ("A linear classifier of texts" in card) == (share == 1)
    # What is said of an LSTM, if it is part of the model.
    for words in ("cut to 12", "The vocabulary holds", "Learning curves", '"#training"'):
        assert (words in page) == (share == 0)
    assert ("Hyperparameters, chosen from" in card) == (share == 0)


def test_the_card_names_hyperparameters_only_if_any_were_searched(
    finished: tuple[Path, str],
) -> None:
    facts = load_facts(finished)
    facts["trials"] = {"complete": 1}
    assert "chosen from 1 trial by their accuracy" in write_model_card(facts)
    assert "of 1 trial," in " ".join(render(finished, facts).split())
    assert "Hyperparameters" not in write_model_card(facts | {"searched": []})


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("model", "The model is better than the"),
        ("baseline", "baseline is better than the model"),
        ("neither", "baseline do not differ significantly"),
        ("too few groups", "The test reviews belong to too few groups"),
        ("too few reviews", "There are too few test reviews, or too few with the rarest label,"),
        ("seen reviews", "The hyperparameters were chosen on the test reviews"),
    ],
)
def test_the_verdict_is_said(verdict: str, says: str, finished: tuple[Path, str]) -> None:
    facts = load_facts(finished) | {"verdict": verdict}
    assert says in write_model_card(facts)
    assert says in render(finished, facts)


@pytest.mark.parametrize(
    ("p", "says"),
    [
        (0.25, "p = 0.25)"),
        (0.04979, "p = 0.0498)"),
        (0.049996, "p = 0.049996)"),
        (0.05021, "p = 0.0502)"),
        (0.05, "p = 0.05)"),
        (0.00012, "p = 0.00012)"),
        (0.00009, "p < 0.0001)"),
    ],
)
def test_a_p_value_shows_on_which_side_of_the_level_it_is(
    p: float, says: str, finished: tuple[Path, str]
) -> None:
    assert says in write_model_card(load_facts(finished, mcnemar_p_value=p))


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (1.0, "100.0%"),
        (1 - 1e-9, "&gt; 99.9999%"),
        (0.99999, "99.999%"),
        (0.9996, "99.96%"),
        (0.91, "91.0%"),
        (1e-9, "&lt; 0.0001%"),
        (0.0, "0.0%"),
    ],
)
def test_only_a_whole_is_all(share: float, says: str, finished: tuple[Path, str]) -> None:
    page = render(finished, load_facts(finished, majority_test_accuracy=share))
    assert f'<span class="big">{says}</span>' in page


@pytest.mark.parametrize(
    ("threshold", "says"),
    [(0.5, "0.5"), (0.3125, "0.312"), (0.0004, "0.0004"), (0.9997, "0.9997"), (0.0, "0")],
)
def test_a_threshold_is_never_rounded_to_0_or_1(
    threshold: float, says: str, finished: tuple[Path, str]
) -> None:
    facts = load_facts(finished)
    weights = {"negative": 0.5, "positive": 1.5}
    facts["decision"] |= {"threshold": threshold, "label_weights": weights}
    said = f"positive is predicted if its probability exceeds {says}"
    assert re.search(rf"{re.escape(said)}(?![\d])", write_model_card(facts))


@pytest.fixture(scope="module")
def report_file(finished: tuple[Path, str]) -> Path:
    return finished[0] / "data/08_reporting/report.html"


@pytest.fixture(
    scope="module", params=[(1366, "light"), (1366, "dark"), (390, "light"), (390, "dark")]
)
def page(browser: Browser, report_file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open the report of a run with three labels, offline."""
    width, scheme = request.param
    context = open_context(
        browser, viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda asked: trouble.append(asked.url))
    page.goto(report_file.as_uri())
    page.wait_for_selector("html[data-drawn=all]")
    yield page
    assert not trouble
    context.close()


def test_every_figure_is_drawn_inside_the_page(page: Page) -> None:
    figures = page.locator(".figure")
    assert figures.count() == 14  # not those of earlier models: there are none
    assert figures.locator(".plot-container").count() == 14
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0
    for figure in figures.all():
        assert figure.locator("svg").first.bounding_box()
    cut = page.evaluate(
        """[...document.querySelectorAll(".figure")].flatMap((figure) => {
          const edge = figure.getBoundingClientRect();
          return [...figure.querySelectorAll(".xtitle, .ytitle, .legendtext, .annotation-text")]
            .filter((text) => {
              const box = text.getBoundingClientRect();
              return box.left < edge.left - 1 || box.right > edge.right + 1;
            })
            .map((text) => figure.id + ": " + text.textContent);
        })"""
    )
    assert not cut


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as rgb(1, 2, 3) (WCAG 2.2)."""
    shares = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("selector", "of"), [("body", "color"), (".faint", "color"), (".xtitle", "fill")]
)
def test_texts_have_contrast(page: Page, selector: str, of: str) -> None:
    ink = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{of}")
    paper = page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
    dark, light = sorted([luminance(ink), luminance(paper)])
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_report_says_what_the_metrics_say(page: Page, finished: tuple[Path, str]) -> None:
    metrics = json.loads((finished[0] / "data/08_reporting/metrics.json").read_text())
    big = page.locator(".big")
    expect(big.nth(0)).to_have_text(f"{100 * metrics['test_accuracy']:.1f}%")
    expect(big.nth(1)).to_have_text(f"{100 * metrics['baseline_test_accuracy']:.1f}%")
    expect(page.locator("#own article")).to_have_count(10)
    expect(page.locator("#made pre")).to_contain_text("n_trials: 2")


def test_the_model_can_be_tried(page: Page, finished: tuple[Path, str]) -> None:
    predictor = Predictor.load(finished[0] / "data/06_models/model.onnx")
    typed = page.get_by_label("Type or paste a review")
    text = "A lovely, brilliant <b>film</b> <img src=x onerror=\"document.title = 'taken'\"> & more"
    typed.fill(text)
    prediction, segments = explain(predictor, text)
    assert prediction.probability is not None
    says = f"{prediction.label}, {100 * prediction.probability:.1f}%"
    expect(page.locator("#said")).to_have_text(says)
    expect(page.locator("#chances li")).to_have_count(3)
    expect(page.locator("#strongest")).to_contain_text("The strongest effects")
    expect(page.locator("#read")).to_have_text("".join(part.text for part in segments))
    words = mark_words([(part.text, part.effect) for part in segments], prediction.probability)
    expected = [word for word in words if word["strength"]]
    strongest = sorted(expected, key=lambda word: -abs(word["effect"]))[:5]
    named = [word["text"] for word in strongest]
    expect(page.locator("#strongest bdi")).to_have_text(named)  # in any script
    marks = page.locator("#read mark")
    expect(marks).to_have_text([word["text"] for word in expected])
    for mark, word in zip(marks.all(), expected, strict=True):
        expect(mark).to_have_class("for" if word["effect"] > 0 else "against")
    assert page.locator("#read img").count() == 0
    typed.fill("unheard of")
    expect(page.locator("#said")).to_have_text("No prediction: no word that the model knows")
    expect(marks).to_have_count(0)
    expect(page.locator("#marks")).to_be_hidden()
    typed.fill("סרט טוב!")
    for shown in (typed, page.locator("#read")):
        expect(shown).to_have_css("direction", "rtl")
    typed.fill("  ")
    expect(page.locator("#said")).to_be_hidden()
    assert "taken" not in page.title()


def test_only_the_last_text_is_shown(page: Page) -> None:
    typed = page.get_by_label("Type or paste a review")
    # Observed in the page: `expect` looks only now and then, and may find nothing but the end.
    typed.evaluate(
        """(typed, text) => new Promise((resolve) => {
          const place = document.getElementById("strongest");
          new MutationObserver(() => {
            if (place.textContent.startsWith("Measuring the effect of each word")) resolve();
          }).observe(place, { childList: true, characterData: true, subtree: true });
          typed.value = text;
          typed.dispatchEvent(new Event("input", { bubbles: true }));
        })""",
        "lovely brilliant film " * 300,  # takes a while
    )
    typed.fill("awful")
    expect(page.locator("#read")).to_have_text("awful")
    expect(page.locator("#strongest")).to_contain_text("The strongest effects")
    page.wait_for_timeout(300)
    expect(page.locator("#read")).to_have_text("awful")


def test_nothing_leaves_the_page(page: Page) -> None:
    """Scripts that got into the page could not send what is typed."""
    forbidden = page.evaluate(
        """new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => {
            resolve(event.effectiveDirective);
          });
          fetch("https://example.org").catch(() => setTimeout(() => resolve("nothing"), 1000));
        })"""
    )
    assert forbidden == "connect-src"


def test_the_page_is_accessible(page: Page) -> None:
    """WCAG 2.2 AA and good practice, as far as axe-core can tell."""
    page.get_by_label("Type or paste a review").fill("A lovely, brilliant film, but tedious")
    expect(page.locator("#strongest")).to_contain_text("The strongest effects")
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    levels = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": list(levels)}})
    assert found.violations_count == 0, found.generate_report()


def test_a_long_review_opens_at_its_strongest_word(
    browser: Browser, finished: tuple[Path, str], tmp_path: Path
) -> None:
    facts = load_facts(finished)
    segments = [(f"word{n} ", 0.2 if n == 700 else 0.01) for n in range(900)]
    long = {"row": 1, "sentiment": "negative", "predicted_sentiment": "positive"}
    long |= {"probability": 0.5, "segments": segments}
    path = tmp_path / "report.html"
    html = render_report(
        facts=facts,
        embedded_model={},
        mistakes=[long, long | {"segments": segments[:9]}],
        disagreements=[],
        custom_examples=[],
        doubtful_examples={},
        run_changes=[],
        **load_figures(finished[0] / "data/08_reporting"),
    )
    path.write_text(html)
    page = open_page(browser, viewport={"width": 700, "height": 900})
    page.goto(path.as_uri())
    box = page.get_by_role("group", name="Text of the review")
    expect(box).to_have_count(1)  # the short one needs none
    expect(page.locator("#mistakes .excerpt").first).to_have_class("excerpt above below")
    word = page.locator("mark", has_text="word700")

    def is_in_sight() -> bool:
        inner, outer = word.bounding_box(), box.bounding_box()
        assert inner
        assert outer
        bottom = outer["y"] + outer["height"]
        return outer["y"] <= inner["y"] and inner["y"] + inner["height"] <= bottom

    assert is_in_sight()
    box.press("Home")
    expect(page.locator("#mistakes .excerpt").first).to_have_class("excerpt below")
    assert not is_in_sight()
    folded = box.bounding_box()
    page.get_by_role("button", name="Show all").click()
    assert is_in_sight()
    whole = box.bounding_box()
    assert folded
    assert whole
    assert whole["height"] > 2 * folded["height"]
    expect(page.locator("#mistakes .excerpt").first).to_have_class("excerpt whole")
    page.get_by_role("button", name="Show less").click()
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    page.close()


@pytest.mark.browser
def test_the_benchmark_measures_each_step(report_file: Path) -> None:
    table = run_benchmark("report_in_browser.py", str(report_file), "--runs", "1")
    rows = re.findall(r"^\| ([^|]+) \| ([0-9.]+) \|$", table, re.M)
    assert [name for name, _ in rows] == [
        *("text", "figures", "busy", "10 words: verdict", "10 words: words"),
        *("231 words: verdict", "231 words: words"),
    ]
    assert all(float(seconds) > 0 for _, seconds in rows)


def test_the_report_is_one_small_file(report_file: Path) -> None:
    assert report_file.stat().st_size < MAX_BYTES
    text = report_file.read_text()
    assert text.count("plotly.js v") == 1
    own = text[: text.index("plotly.js v")] + text[text.rindex("<script>") :]
    assert "src=" not in own
    assert not re.search("https?:", own)


def test_a_review_with_a_script_stays_text(
    browser: Browser,
    finished: tuple[Path, str],
    exported: bytes,
    tmp_path: Path,
) -> None:
    folder = finished[0] / "data/08_reporting"
    facts = json.loads((folder / "facts.json").read_text())
    facts["metrics"]["file"] = "</title><script>document.title = 'taken'</script>.csv"
    nasty = {"row": 1, "sentiment": NASTY, "predicted_sentiment": NASTY, "probability": 0.5}
    nasty["segments"] = [[NASTY, 0.5], [NASTY, None]]
    nasty["expected_sentiment"] = NASTY + "!"
    *others, last = facts["data"]["labels"]
    facts["data"]["labels"] = [*others, NASTY]
    facts["metrics"]["test_by_label"][NASTY] = facts["metrics"]["test_by_label"].pop(last)
    facts["decision"]["label_weights"] = {**dict.fromkeys(others, 1.0), NASTY: 0.5}
    facts["decision"] |= {"aim": NASTY, "before": 0.5, "after": 0.6}
    figures = {name: go.Figure(figure) for name, figure in load_figures(folder).items()}
    for figure in figures.values():
        figure.update_layout(title=NASTY)
        figure.update_traces(name=NASTY, selector={"type": "scatter"})
    other = nasty | {"baseline_sentiment": NASTY, "baseline_probability": 0.4}
    html = render_report(
        facts=facts,
        embedded_model={"reason": NASTY},
        mistakes=[nasty],
        disagreements=[other],
        custom_examples=[nasty | {"explained_probability": 0.5}],
        doubtful_examples={
            "checked": 9,
            "doubtful": 1,
            "first": [
                {
                    "row": 1,
                    "text": NASTY,
                    "given_label": NASTY,
                    "likely_label": NASTY,
                    "probability": 0.9,
                    "score": 0.1,
                }
            ],
        },
        run_changes=[{"name": NASTY, "before": NASTY, "now": None, "gain": None}],
        **figures,
    )
    path = tmp_path / "report.html"
    path.write_text(html)
    page = open_page(browser)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn=all]")
    assert "How good is the model trained on" in page.title()
    assert page.locator("main script:not([type])").count() == 0
    said = f"{NASTY} 0.5, chosen on held-out reviews for the {NASTY}: 0.6000"
    assert page.get_by_text(said).count() == 1
    expect(page.locator("#mistakes article").first).to_contain_text(NASTY)
    expect(page.locator("#labels article")).to_contain_text(NASTY)
    expect(page.locator("#try")).to_contain_text(f"can't be tried here: {NASTY}")
    page.close()


def test_a_long_label_does_not_make_the_page_wider(
    browser: Browser, finished: tuple[Path, str], tmp_path: Path
) -> None:
    facts = load_facts(finished)
    long = "customer_service_and_support_after_the_purchase_of_a_product_in_a_shop"
    by_label = facts["metrics"]["test_by_label"]
    last = facts["data"]["labels"].pop()
    facts["data"]["labels"].append(long)
    by_label[long] = by_label.pop(last) | {"confused_with": long}
    facts["neglected_labels"] = [long]
    path = tmp_path / "report.html"
    path.write_text(render(finished, facts))
    page = open_page(browser, viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn=all]")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.close()


def test_labels_and_texts_from_right_to_left_keep_their_order(
    browser: Browser, finished: tuple[Path, str], tmp_path: Path
) -> None:
    good, bad, middling = "חיובי", "שלילי", "סביר"
    facts = load_facts(finished)
    facts["data"]["labels"] = [bad, good, middling]
    weights = {bad: 0.5, good: 1.5, middling: 1.0}
    facts["decision"] |= {"label_weights": weights, "threshold": None, "aim": None}
    segments = [["הסרט", 0.2], [" היה טוב!", None]]
    example = {"row": 1, "sentiment": bad, "predicted_sentiment": good, "probability": 0.9}
    example |= {"segments": segments, "baseline_sentiment": bad, "baseline_probability": 0.8}
    without_marks = [["הסרט", 0.0], [" היה טוב!", None]]
    html = render_report(
        facts=facts,
        embedded_model={},
        mistakes=[example, example | {"segments": without_marks}],
        disagreements=[example],
        custom_examples=[],
        doubtful_examples={},
        run_changes=[],
        **load_figures(finished[0] / "data/08_reporting"),
    )
    path = tmp_path / "report.html"
    path.write_text(html)
    page = open_page(browser, viewport={"width": 1366, "height": 900})
    page.goto(path.as_uri())
    for place, words in (
        (page.locator("h1 + p"), [bad, good, middling]),
        (page.get_by_text("The label with the largest product"), [bad, "0.5", good, "1.5"]),
        (page.locator("#mistakes .said").first, [good, "0.900", "but labelled", bad]),
        (page.locator("#mistakes .said").last, ["Model", good, "0.900", "baseline", bad, "0.800"]),
        (page.locator("#mistakes .text").first, ["!", "טוב", "הסרט"]),
    ):
        assert sort_from_left(place, words) == words
    for text in page.locator("#mistakes .text").all():
        expect(text).to_have_css("direction", "rtl")
    page.close()


def test_the_card_shows_the_marks_of_labels(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished)
    facts["data"]["labels"] = ["*urgent*", "a_b_c"]
    facts["decision"]["label_weights"] = {"*urgent*": 0.5, "a_b_c": 1.5}
    facts["decision"] |= {"threshold": None, "aim": "recall of *urgent*", "before": 0, "after": 1}
    card = write_model_card(facts)
    assert r"the weights are \*urgent\* 0.5, a\_b\_c 1.5" in card
    assert r"for the recall of \*urgent\*: 1.0000" in card


@pytest.mark.parametrize("label", ["+", "-", "- -", "1.", "2) b", "+1", "-1.5", "#1", "* a", "--"])
def test_a_label_at_the_beginning_of_a_line_keeps_its_name(label: str) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(Markdown(f"{escape_markdown(label)} is never predicted."))
    assert console.export_text().strip() == f"{label} is never predicted."


def test_the_card_has_the_headings_of_the_paper(finished: tuple[Path, str]) -> None:
    card = (finished[0] / "data/06_models/model_card.md").read_text()
    metrics = json.loads((finished[0] / "data/08_reporting/metrics.json").read_text())
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert f"| accuracy | {metrics['test_accuracy']:.4f} |" in card
    assert "IMDB Dataset.csv" in card
    assert "1 were rejected and 1 left out" in card


def test_the_card_shows_names_as_they_are(finished: tuple[Path, str]) -> None:
    facts = json.loads((finished[0] / "data/08_reporting/facts.json").read_text())
    facts["metrics"]["file"] = "*my* <b>file</b>.csv"
    assert r"\*my\* \<b\>file\</b\>.csv" in write_model_card(facts)


def summarise(
    review: str,
    *,
    expected: str | None = None,
    unseen: bool = True,
    known: bool = True,
    ngram_share: float = 0.0,
    label: str = "good",
    file: str = "f",
    neglected: tuple[str, ...] = (),
    more: int = 0,
) -> str:
    """Return the summary of a run with a custom review, and with others that are not shown."""
    scores = {"": 0.9, "lstm_": 0.8, "ngrams_": 0.85, "baseline_": 0.87654}
    metrics = {
        "file": file,
        "test_rows": 1234,
        "ngram_share": ngram_share,
        **{f"{prefix}test_accuracy": score for prefix, score in scores.items()},
        **{f"{prefix}test_accuracy_low": score - 0.02 for prefix, score in scores.items()},
        **{f"{prefix}test_accuracy_high": score + 0.02 for prefix, score in scores.items()},
        **{f"{prefix}test_f1_macro": score + 0.01 for prefix, score in scores.items()},
        "mcnemar_p_value": 0.25,
        "test_by_label": {
            "bad": {"rows": 60, "predicted": 10, "recall": 1 / 6},
            "good": {"rows": 9, "predicted": 0, "recall": 0.0},
        },
        "majority_test_accuracy": 0.5,
        "better_than_majority": True,
        "compared_without_thresholds": False,
        "has_thresholds": False,
        "has_enough_groups": True,
        "tuning_metric": "accuracy",
        "test_set_unseen_in_tuning": unseen,
    }
    is_right = expected == label and known
    facts = {
        "metrics": metrics,
        "may_be_constant": False,
        "best_hyperparameters": {"units": 60, "dropout_rate": 0.123456, "epochs": 5},
        "searched": ["dropout_rate", "units"],
        "model": {"classifier": "LSTM"},
        "verdict": "neither",
        "neglected_labels": list(neglected),
        "custom_reviews": {
            "reviews": 1,
            "are_test_reviews": False,
            "judged": int(expected is not None and known),
            "right": int(is_right),
            "unpredicted": int(not known),
        },
    }
    frame = make_predictions(1 + more, ("bad", "good")).assign(review=review, probability=0.98765)
    frame["predicted_sentiment"] = label if known else None
    custom = CustomReviews(frame, [review] * len(frame), [expected] * len(frame), False)
    reason = None if known else "no word that the model knows"
    return summarise_run(facts, custom, frame, [{"reason": reason}])


def test_the_summary_has_two_parts() -> None:
    assert summarise("w " * 40) == (
        "## Custom reviews\n"
        "\n"
        "| review | predicted | probability |\n"
        "| --- | --- | ---: |\n"
        f"| {'w ' * 23}w… | good | 0.988 |\n"
        "\n"
        "## Result\n"
        "\n"
        "**The model and the linear baseline do not differ significantly** "
        "(McNemar's exact test, p = 0.25).\n"
        "\n"
        "| 1,234 test reviews of f | accuracy | 95% CI | macro F1 |\n"
        "| --- | ---: | --- | ---: |\n"
        "| LSTM | 0.9000 | 0.8800 to 0.9200 | 0.9100 |\n"
        "| TF-IDF and logistic regression | 0.8765 | 0.8565 to 0.8965 | 0.8865 |\n"
        "| always the most frequent label | 0.5000 | | |\n"
        "\n"
        "Best hyperparameters: dropout_rate 0.1235, units 60.\n"
    )


def test_a_custom_review_without_a_prediction_is_not_called_wrong() -> None:
    summary = summarise("w", expected="bad", known=False)
    assert "| w | no prediction: no word that the model knows |  |" in summary
    assert "expected" not in summary
    assert "✗" not in summary


@pytest.mark.parametrize(
    ("expected", "known", "row", "sentence"),
    [
        (
            "good",
            True,
            "| ✓ | w | good | 0.988 |",
            "1 of 1 predictions matches the expected label.",
        ),
        (
            "bad",
            True,
            "| ✗ | w | good, not bad | 0.988 |",
            "0 of 1 predictions match the expected label.",
        ),
    ],
)
def test_the_summary_marks_what_is_right(
    expected: str, known: bool, row: str, sentence: str
) -> None:
    summary = summarise("w", expected=expected, known=known)
    assert f"| | review | predicted | probability |\n| --- | --- | --- | ---: |\n{row}\n" in summary
    assert sentence in summary


def test_the_summary_has_as_many_custom_reviews_as_the_report() -> None:
    assert summarise("w", more=1200).count("| w |") == 1
    says = "1,200 more are in data/07_model_output/custom_reviews_with_predictions.csv."
    assert says in summarise("w", more=1200)
    assert "more" not in summarise("w")


def test_labels_and_files_do_not_change_the_summary() -> None:
    summary = summarise("text", label="\x1b[31m| **bad** |", file="<b>f</b>\r\n# g")
    assert r"| text | \\x1b\[31m\| \*\*bad\*\* \| | 0.988 |" in summary
    assert r"test reviews of \<b\>f\</b\> \# g" in summary
    assert "\x1b" not in summary


def test_the_summary_has_the_parts_of_an_average() -> None:
    parts = "The LSTM alone reaches 0.8000, the n-grams alone 0.8500.\n"
    assert parts in summarise("text", ngram_share=0.25)
    assert "hyperparameters" not in summarise("text", ngram_share=1)  # which are those of an LSTM


def test_it_is_said_that_thresholds_play_no_part(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished, compared_without_thresholds=True, has_thresholds=True)
    facts["metrics"]["ngram_share"] = 0.5
    page, card = (
        " ".join(text.split()) for text in (render(finished, facts), write_model_card(facts))
    )
    verdict = "(McNemar's exact test of the most probable labels, without thresholds, p ="
    parts = "The parts alone predict the most probable label, without thresholds such as those"
    for text in (page, card):
        assert verdict in text
        assert parts in text
    usual = load_facts(finished)
    for text in (render(finished, usual), write_model_card(usual)):
        assert "without thresholds" not in text


def test_it_is_said_what_the_baseline_would_have_without_thresholds(
    finished: tuple[Path, str],
) -> None:
    worse = "its most probable label would be no better (macro F1 0.8965 on the test reviews)"
    better = "is better (macro F1 0.8965 on the test reviews), so the model is compared"
    changes = {"tuning_metric": "macro F1", "metric_gain": 0.02, "metric_gain_low": 0.01}
    changes |= {"metric_gain_high": 0.05, "baseline_without_thresholds": 0.89651}
    for is_compared in (True, False):
        facts = load_facts(finished, **changes, is_most_probable_compared=is_compared)
        for text in (render(finished, facts), write_model_card(facts)):
            assert (better if is_compared else worse) in " ".join(text.split())
    for text in (render(finished, load_facts(finished)), write_model_card(load_facts(finished))):
        assert "most probable labels" not in text
        assert "its most probable label" not in text


def test_the_metric_of_the_search_stands_beside_the_accuracy(finished: tuple[Path, str]) -> None:
    usual = load_facts(finished)
    metrics = usual["metrics"]
    card = "; 95% confidence interval .*; {}</span>"
    value = f"{metrics['test_roc_auc']:.3f}"
    other = usual | {"metrics": metrics | {"tuning_metric": "ROC AUC"}}
    for facts, said in (
        (usual, f"macro F1 {100 * metrics['test_f1_macro']:.1f}%"),
        (other, f"ROC AUC {value}"),
        (usual | {"metrics": metrics | {"tuning_metric": "F1 of good"}}, "macro F1 .*%"),
    ):
        assert re.search(card.format(said), " ".join(render(finished, facts).split()))
    (line,) = re.findall(r"\| log loss \|(.*)\|", write_model_card(usual))
    assert f"{metrics['test_log_loss']:.4f}" in line


def test_importances_are_left_out_where_trials_are_few(finished: tuple[Path, str]) -> None:
    html = render(finished, load_facts(finished))
    assert "Importance of the hyperparameters" not in html
    assert "Values of the trials" in html


def test_too_few_groups_are_said_to_be_the_reason_for_no_verdict(
    finished: tuple[Path, str],
) -> None:
    for changes in ({"metric_gain": 0.02, "test_groups": 4}, {}):
        facts = load_facts(finished, **changes, has_enough_groups=False)
        facts["verdict"] = "too few groups"
        for text in (render(finished, facts), write_model_card(facts)):
            assert "The test reviews belong to too few groups" in text
            assert "differ significantly" not in text
            assert "not shown to be better than always" not in text
            assert ("of reviews of one group" in text) == (not changes)
            assert ("0.0200 better)" in text) == bool(changes)  # without an interval


def test_a_model_that_may_be_a_constant_is_said_to_be_one(finished: tuple[Path, str]) -> None:
    facts = load_facts(finished)
    said = "not shown to be better than always predicting the most frequent label"
    for is_said in (False, True):
        facts["may_be_constant"] = is_said
        assert (said in " ".join(render(finished, facts).split())) == is_said
        assert (said in write_model_card(facts)) == is_said
    facts["next_steps"] = [{"says": "Do not use the model yet.", "commands": []}]
    assert "Do not use the model yet." in render(finished, facts)


def test_the_summary_names_labels_that_the_accuracy_hides() -> None:
    summary = summarise("text", neglected=("good", "bad"))
    bad = "The label bad is predicted for only 10 of its 60 reviews."
    assert f".\nThe label good is never predicted.\n{bad}\n\n" in summary


def test_the_summary_warns_of_tuning_on_the_test_set() -> None:
    warning = (
        "**The hyperparameters were chosen on the test set: this accuracy is too optimistic.**"
    )
    assert "too optimistic" not in summarise("text")
    assert warning in summarise("text", unseen=False)


def test_the_summary_names_reviews_without_a_known_word() -> None:
    assert "| ? | no prediction: no word that the model knows |  |\n" in summarise("?", known=False)


def test_the_summary_shows_reviews_as_they_are() -> None:
    summary = summarise("2*3*4 | <b> [x](y) `z`")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(Markdown(summary))
    assert "2*3*4 | <b> [x](y) `z`" in console.export_text()
