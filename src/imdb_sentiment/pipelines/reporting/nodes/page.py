"""Documents for people: the page, the model card and the summary, each from a template."""

import json
import math
import re
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import yaml
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from imdb_sentiment.errors import make_printable
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews
from imdb_sentiment.pipelines.reporting.nodes.embedding import Embedded
from imdb_sentiment.pipelines.reporting.nodes.examples import Example
from imdb_sentiment.pipelines.reporting.nodes.facts import Facts
from imdb_sentiment.pipelines.reporting.nodes.verdict import SIGNIFICANCE_LEVEL
from imdb_sentiment.progress import format_seconds

MIN_EFFECT = 0.01  # in log-odds; words with a smaller effect are not marked,
MIN_RELATIVE_EFFECT = 0.1  # nor words with a smaller share of the strongest effect
MAX_CONTEXT = 1000  # characters shown at each end of a long segment
MIN_P_VALUE = 0.0001  # smaller ones are only said to be so
MAX_DECIMALS = 4  # of a percentage
PROBABILITY_STEP = 1e-7  # about the resolution near 1 of the exported model's probabilities


def render_report(
    *,
    facts: Facts,
    embedded_model: Embedded,
    mistakes: list[Example],
    disagreements: list[Example],
    custom_examples: list[Example],
    doubtful_examples: dict[str, Any],
    run_changes: list[dict[str, Any]],
    **figures: go.Figure,
) -> str:
    """Write the report as one page, which needs no network and no other file.

    Args:
        facts: Output of `collect_facts`.
        embedded_model: Output of `embed_model`.
        mistakes: Output of `explain_mistakes`.
        disagreements: Output of `explain_disagreements`.
        custom_examples: Output of `explain_custom_reviews`.
        doubtful_examples: Output of `select_doubtful_labels`.
        run_changes: Output of `compare_runs`.
        **figures: The figures, by the names that the template uses.

    Returns:
        HTML.

    """
    return _render(
        "report.html.jinja",
        facts=facts,
        embedded=embedded_model,
        mistakes=mistakes,
        disagreements=disagreements,
        custom_examples=custom_examples,
        doubtful=doubtful_examples,
        changes=run_changes,
        figures={name: _embed(figure) for name, figure in figures.items()},
        plotlyjs=Markup(get_plotlyjs()),  # the library's own script
    )


def write_model_card(facts: Facts) -> str:
    """Describe the model for readers who consider using it.

    The headings are those of Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.

    Args:
        facts: Output of `collect_facts`.

    Returns:
        Markdown.

    """
    return _render("model_card.md.jinja", facts=facts)


def summarise_run(
    facts: Facts,
    custom_reviews: CustomReviews,
    custom_predictions: pd.DataFrame,
    custom_examples: list[Example],
) -> str:
    """Write the summary that ends a run: predictions, best hyperparameters, test accuracy.

    Args:
        facts: Output of `collect_facts`.
        custom_reviews: Output of `choose_custom_reviews`.
        custom_predictions: Output of `score_custom_reviews`.
        custom_examples: Output of `explain_custom_reviews`: the reviews that are shown, with the
            reasons why there is no prediction.

    Returns:
        Markdown.

    """
    columns = custom_predictions[["predicted_sentiment", "probability"]]
    n = len(custom_examples)
    predicted = zip(
        custom_reviews.texts[:n],
        custom_reviews.expected[:n],
        columns.to_numpy()[:n],
        custom_examples,
        strict=True,
    )
    return _render(
        "summary.md.jinja",
        facts=facts,
        predictions=[
            {
                "review": text,
                "expected": expected,
                "label": None if pd.isna(label) else label,
                "probability": probability,
                "reason": example["reason"],
            }
            for text, expected, (label, probability), example in predicted
        ],
        more=len(custom_predictions) - n,
    )


def mark_words(
    segments: list[tuple[str, float | None]], probability: float | None
) -> list[dict[str, Any]]:
    """Return segments with the strength of their marks, from 0 to 1 for the strongest effect.

    Args:
        segments: Pairs of a text and its effect: the drop in the probability of a label without
            this text, or None.
        probability: Probability of that label; None if the model knows nothing of the text.

    Returns:
        `text`, `effect` and `strength` of each segment. Effects are in log-odds, since no single
        word changes a probability that is almost 1.

    """
    from scipy.special import logit

    before = np.array(np.nan if probability is None else probability)
    after = before - np.array([effect for _, effect in segments], float)  # None becomes NaN
    log_odds = [logit(p.clip(PROBABILITY_STEP, 1 - PROBABILITY_STEP)) for p in (before, after)]
    effects = (log_odds[0] - log_odds[1]).tolist()
    strongest = float(np.nanmax([MIN_EFFECT, *map(abs, effects)]))
    weakest = max(MIN_EFFECT, MIN_RELATIVE_EFFECT * strongest)
    return [
        {
            "text": _shorten(text),
            "effect": None if np.isnan(effect) else effect,
            "strength": round(abs(effect) / strongest, 2) if abs(effect) >= weakest else 0,
        }
        for (text, _), effect in zip(segments, effects, strict=True)
    ]


def escape_markdown(text: str) -> str:
    """Return one line of Markdown that shows `text` literally."""
    line = make_printable(" ".join(text.split()))
    line = re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", line)
    return re.sub(r"^(\d*)([-+.)])(?= |$)", r"\1\\\2", line)  # would begin an item of a list


def isolate(name: str) -> Markup:
    """Return HTML of a name that may be written from right to left, apart from what is around it.

    Otherwise, a number or another name beside it would change its place.
    """
    return Markup("<bdi>{}</bdi>").format(name)


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("imdb_sentiment.pipelines.reporting", "templates"),
        autoescape=template.endswith(".html.jinja"),  # also what it imports
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": _format_share,
        "p_value": _format_p_value,
        "threshold": _format_threshold,
        "short": lambda value: f"{value:.4g}" if isinstance(value, float) else value,
        "duration": format_seconds,
        "marks": mark_words,
        "yaml": lambda values: yaml.safe_dump(values, sort_keys=False, allow_unicode=True),
        "line": escape_markdown,
        "isolate": isolate,
        "shorten": _shorten,
        "json": lambda values: Markup(json.dumps(values).replace("<", "\\u003c")),
    }
    return environment.get_template(template).render(values)


def _format_share(share: float) -> str:
    """Return a percentage; only all is 100%, and only nothing 0%."""
    if share in (0, 1):
        return f"{100 * share:.1f}%"
    for decimals in range(1, MAX_DECIMALS + 1):
        if round(share, decimals + 2) not in (0, 1):
            return f"{100 * share:.{decimals}f}%"
    return "< 0.0001%" if round(share) == 0 else "> 99.9999%"


def _format_p_value(p: float) -> str:
    """Return a p-value with as many digits as show on which side of 5% it is."""
    if p < MIN_P_VALUE:
        return f"p < {MIN_P_VALUE}"
    digits = 2
    while float(f"{p:.{digits}g}") == SIGNIFICANCE_LEVEL != p:
        digits += 1
    return f"p = {p:.{digits}g}"


def _format_threshold(threshold: float) -> str:
    """Return a probability with three significant digits of its distance to 0 or to 1."""
    distance = min(threshold, 1 - threshold)
    decimals = 2 - math.floor(math.log10(distance)) if distance > 0 else 0
    return f"{threshold:.{max(3, decimals)}f}".rstrip("0").rstrip(".")


def _embed(figure: go.Figure) -> dict[str, Any]:
    """Return a figure's title, size and JSON, safe inside a script element."""
    meta = figure.layout.meta or {}
    return {
        "is_message": "is_message" in meta,
        "title": figure.layout.title.text,
        "height": figure.layout.height or 400,
        "min_width": meta.get("min_width", 0),
        "json": Markup(figure.to_json().replace("<", "\\u003c")),  # no markup is left
    }


def _shorten(text: str) -> str:
    if len(text) <= 2 * MAX_CONTEXT:
        return text
    return f"{text[:MAX_CONTEXT]} … {text[-MAX_CONTEXT:]}"
