"""Co-training: n-grams learn the labels that the network predicts for unlabelled reviews.

After Blum and Mitchell, "Combining Labeled and Unlabeled Data with Co-Training" (COLT 1998): two
models that see different sides of a text teach each other on unlabelled texts. The network has
learnt what n-grams predict (`tuning/ngram_labels.py`); now n-grams learn what the network and
n-grams predict together.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.evaluation.logits import Logits
from imdb_sentiment.evaluation.stacking import (
    MIN_HELD_OUT_ROWS,
    HeldOutLogits,
    Weights,
    fit_weights,
)
from imdb_sentiment.network.model import KerasModel, score_logits
from imdb_sentiment.network.ngrams import (
    MAX_LABELLED,
    NgramModel,
    NgramRegression,
    NgramWeights,
    PseudoLabelled,
    hash_labelled,
    hash_rows,
)
from imdb_sentiment.network.training import NgramLabels
from imdb_sentiment.parameters import (
    ClassWeight,
    NgramsParameters,
    SplitParameters,
    TrainingParameters,
    TuningParameters,
)
from imdb_sentiment.pipelines.training.sets import find_rows, join_codes, list_learnable
from imdb_sentiment.pipelines.tuning.protocol import choose_evenly, divide_reviews
from imdb_sentiment.progress import Task
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.ngrams import Hashes
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)


def teach_ngrams(
    *,
    first_ngram_model: NgramModel,
    first_ngrams_held_out: HeldOutLogits,
    model: KerasModel,
    network_held_out: HeldOutLogits,
    ngram_labels: Sequence[NgramLabels],
    clean_reviews: Iterable[pd.DataFrame],
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    train: EncodedReviews,
    validation: EncodedReviews,
    tuning: TuningParameters,
    split: SplitParameters,
    audit: dict[str, Any],
    training: TrainingParameters,
    script: Script,
) -> tuple[NgramModel, HeldOutLogits]:
    """Let n-grams learn labels that the network and n-grams predict, if that is better.

    It is if the log loss of the average on held-out reviews is lower. These are scored by n-grams
    whose pseudo-labels come from a network and from n-grams that have not learnt their labels.

    Args:
        first_ngram_model: N-grams from `fit_ngrams`.
        first_ngrams_held_out: Their logits of held-out reviews.
        model: The final network, which labels reviews for the final n-grams.
        network_held_out: Logits of the best trial for the held-out and for unlabelled reviews.
        ngram_labels: Labels from `label_unlabelled_reviews`: the unlabelled reviews that the
            networks have learnt; empty for none.
        clean_reviews: Chunks with the columns `row`, `text` and `split`: the texts.
        clean_unlabelled_reviews: Chunks with the columns `row` and `text`; possibly none.
        train: Reviews to learn from.
        validation: Further reviews, which are learnt from if `training` says so.
        tuning: Settings of the search: the reviews that trials were scored on.
        split: Settings of the division of the reviews.
        audit: Output of `audit_reviews`, which says whether the table names validation rows.
        training: Says whether to learn from the validation reviews, describes the n-grams, and has
            their share.
        script: Rule for cutting texts into words.

    Returns:
        The fitted model, and logits of the held-out reviews, both scaled as those of `fit_ngrams`.
        They are the first ones if these are as good, or if there is nothing to learn.

    Raises:
        InputError: The best trial was scored on reviews that have changed.

    """
    first = first_ngram_model, first_ngrams_held_out
    if not (training.ngrams.share and ngram_labels):
        return first
    if not network_held_out.unlabelled:
        _say_without(
            f"more than {MAX_LABELLED:,} reviews are labelled, fewer than {MIN_HELD_OUT_ROWS} are "
            "held out, or trials are scored on the test reviews"
        )
        return first
    places = find_rows(network_held_out.rows, first_ngrams_held_out.rows)
    sets = divide_reviews(train, validation, tuning, split, audit)
    codes = join_codes(scored for _, scored in sets)
    learnable = list_learnable(train, validation, training)
    label_weights = compute_label_weights(
        training.class_weight, join_codes(learnable), train.labels
    )
    labels = ngram_labels[-1]
    chosen = choose_evenly(len(labels.rows), len(network_held_out.unlabelled[0]))
    character_ngram = first_ngram_model.character_ngram  # 0 if they do not help
    ngrams = training.ngrams.model_copy(update={"character_ngram": character_ngram})
    learner = _Learner(
        hash_labelled(clean_reviews, ngrams, script),
        hash_rows(clean_unlabelled_reviews, labels.rows[chosen], ngrams, script),
        ngrams,
        NgramWeights(first_ngram_model.character_weight),
        training.class_weight,
        script,
    )

    def fit_average(logits: Logits, share: float | None) -> Weights:
        return fit_weights(
            network_held_out.logits, logits[places], codes[places], share, label_weights
        )

    def measure(logits: Logits) -> float:
        from sklearn.metrics import log_loss

        share = None if training.ngrams.share == "auto" else training.ngrams.share
        average = fit_average(logits, share).average(network_held_out.logits, logits[places])
        return float(log_loss(codes[places], average, labels=np.arange(average.shape[1])))

    with Task("N-grams that learn pseudo-labels", 2 * len(sets) + 2, "models") as progress:
        done = count(1)
        untaught: list[tuple[Logits, Logits]] = []
        taught: list[Logits] = []
        try:
            for learnt, scored in sets:
                fitted = learner.prepare([learnt]).fit(learner.weights)
                untaught.append((learner.score(fitted, scored), fitted.score(learner.unlabelled)))
                progress.update(next(done))
            teachers = fit_average(np.concatenate([logits for logits, _ in untaught]), None)
            for (learnt, scored), network, (_, own) in zip(
                sets, network_held_out.unlabelled, untaught, strict=True
            ):
                regression = learner.prepare([learnt], teachers.average(network, own))
                taught.append(learner.score(regression.fit(learner.weights), scored))
                progress.update(next(done))
            logits = np.concatenate(taught)
            factor = fit_weights(logits, None, codes, None, label_weights).network
            before, after = measure(first_ngrams_held_out.logits), measure(factor * logits)
            logger.debug("Log loss of the average %.4f, with taught n-grams %.4f", before, after)
            if after >= before:
                _say_without("the average would be no better")
                return first
            own = learner.prepare(learnable).fit(learner.weights).score(learner.unlabelled)
            network = score_logits(model, labels.sequences[chosen])
            progress.update(next(done))
            regression = learner.prepare(learnable, teachers.average(network, own))
            learner.hashes.clear()  # of long reviews, hundreds of MB that the fit does not need
            learner.unlabelled.clear()
            fitted = regression.fit(learner.weights)
        except InputError as error:  # as when both kinds of reviews have too many n-grams
            _say_without(str(error).partition(":")[0])
            return first
    rows = np.concatenate([scored.rows for _, scored in sets])
    return fitted.scale(factor), HeldOutLogits(rows, factor * logits)


@dataclass(frozen=True)
class _Learner:
    """N-grams that learn labelled reviews and, if there are teachers, unlabelled ones.

    Attributes:
        hashes: Hashes of the n-grams of each labelled review, by its row.
        unlabelled: Hashes of the n-grams of each unlabelled review.
        ngrams: Length, frequency and number of the n-grams, and the regularisation.
        weights: Weight of the character n-grams.
        class_weight: Weight of each label in the loss.
        script: Rule for cutting texts into words.

    """

    hashes: dict[int, Hashes]
    unlabelled: list[Hashes]
    ngrams: NgramsParameters
    weights: NgramWeights
    class_weight: ClassWeight
    script: Script

    def prepare(
        self,
        learnt: Sequence[EncodedReviews],
        probabilities: npt.NDArray[np.float64] | None = None,
    ) -> NgramRegression:
        """Return a regression on labelled reviews, and on unlabelled ones with probable labels."""
        codes, names = join_codes(learnt), learnt[0].labels
        pseudo_labelled = None
        if probabilities is not None:
            pseudo_labelled = PseudoLabelled(self.unlabelled, probabilities)
        return NgramRegression(
            [self.hashes[row] for reviews in learnt for row in reviews.rows],
            codes,
            len(names),
            self.ngrams,
            pseudo_labelled=pseudo_labelled,
            script=self.script,
            label_weights=compute_label_weights(self.class_weight, codes, names),
        )

    def score(self, model: NgramModel, reviews: EncodedReviews) -> Logits:
        return model.score([self.hashes[row] for row in reviews.rows])


def _say_without(reason: str) -> None:
    logger.info("The n-grams do not learn what the network predicts: %s", reason)
