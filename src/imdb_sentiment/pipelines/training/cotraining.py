"""Co-training: n-grams learn the labels that the network predicts for unlabelled reviews.

After Blum and Mitchell, "Combining Labeled and Unlabeled Data with Co-Training" (COLT 1998): two
models that see different sides of a text teach each other on unlabelled texts. The network has
learnt what n-grams predict (`tuning/pseudo_labels.py`); now n-grams learn what the network and
n-grams predict together.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import starmap

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import Logits
from imdb_sentiment.evaluation.objectives import measure_log_loss
from imdb_sentiment.evaluation.stacking import (
    MIN_HELD_OUT_ROWS,
    HeldOutLogits,
    Weights,
    fit_factor,
    fit_weights,
)
from imdb_sentiment.network.model import KerasModel, score_logits
from imdb_sentiment.network.ngram_regression import (
    NgramRegression,
    NgramWeights,
    PseudoLabelled,
    regress_on,
)
from imdb_sentiment.network.ngrams import NgramModel, hash_labelled, hash_rows
from imdb_sentiment.network.training import PseudoLabels
from imdb_sentiment.parameters import TrainingParameters
from imdb_sentiment.pipelines.training.sets import find_rows, list_learnable, weigh_labels
from imdb_sentiment.pipelines.tuning.protocol import (
    MAX_LABELLED_ROWS,
    Folds,
    choose_evenly,
    pair_reviews,
)
from imdb_sentiment.progress import track
from imdb_sentiment.text.encoded_reviews import EncodedReviews, join_codes
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)

# Character n-grams of a long text take several times the memory of its word n-grams.
MAX_UNLABELLED_WITH_CHARACTERS = 20_000


def teach_ngrams(
    *,
    first_ngram_model: NgramModel,
    first_ngrams_held_out: HeldOutLogits,
    model: KerasModel,
    network_held_out: HeldOutLogits,
    pseudo_labels: Sequence[PseudoLabels],
    clean_reviews: Iterable[pd.DataFrame],
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    train: EncodedReviews,
    validation: EncodedReviews,
    folds: Folds,
    training: TrainingParameters,
    script: Script,
) -> tuple[NgramModel, HeldOutLogits]:
    """Let n-grams learn labels that the network and n-grams predict, if that is better.

    They are taught only if that lowers the log loss of the average on held-out reviews. These are
    scored by n-grams whose pseudo-labels come from a network and from n-grams that have not learnt
    the labels of these reviews.

    Args:
        first_ngram_model: N-grams from `fit_ngrams`.
        first_ngrams_held_out: Their logits of held-out reviews.
        model: The final network, which labels reviews for the final n-grams.
        network_held_out: Logits of the best trial for the held-out and for unlabelled reviews.
        pseudo_labels: Labels from `label_unlabelled_reviews`: the unlabelled reviews that the
            networks have learnt; empty for none.
        clean_reviews: Chunks with the columns `row`, `text` and `split`: the texts.
        clean_unlabelled_reviews: Chunks with the columns `row` and `text`; possibly none.
        train: Reviews to learn from.
        validation: Further reviews, which are learnt from if `training` says so.
        folds: The fold in which each review is held out, from `assign_folds`.
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
    if not (training.ngrams.share and pseudo_labels):
        return first
    if not network_held_out.unlabelled:
        _say_without(
            f"more than {MAX_LABELLED_ROWS:,} reviews are labelled, fewer than "
            f"{MIN_HELD_OUT_ROWS} are held out, trials are scored on the test reviews, or the best "
            "trial is one of an earlier version"
        )
        return first
    places = find_rows(network_held_out.rows, first_ngrams_held_out.rows)
    sets = pair_reviews(train, validation, folds)
    codes = join_codes(scored for _, scored in sets)
    learnable = list_learnable(train, validation, training)
    label_weights = weigh_labels(train, validation, training)
    labels = pseudo_labels[-1]
    character_ngram = first_ngram_model.character_ngram  # 0 if they do not help
    used, chosen = _choose_unlabelled(
        len(labels.rows), len(network_held_out.unlabelled[0]), has_characters=character_ngram > 0
    )
    ngrams = training.ngrams.model_copy(update={"character_ngram": character_ngram})
    weights = NgramWeights(first_ngram_model.character_weight)
    hashes = hash_labelled(clean_reviews, ngrams, script)
    unlabelled = hash_rows(clean_unlabelled_reviews, labels.rows[chosen], ngrams, script)

    def regress(
        learnt: Sequence[EncodedReviews], probabilities: npt.NDArray[np.float64] | None = None
    ) -> NgramRegression:
        """Return a regression on labelled reviews, and on unlabelled ones with probable labels."""
        return regress_on(
            learnt,
            hashes=hashes,
            parameters=ngrams,
            class_weight=training.class_weight,
            script=script,
            pseudo_labelled=(
                None if probabilities is None else PseudoLabelled(unlabelled, probabilities)
            ),
        )

    def score(fitted: NgramModel, reviews: EncodedReviews) -> Logits:
        return fitted.score([hashes[row] for row in reviews.rows])

    def fit_average(logits: Logits, share: float | None) -> Weights:
        return fit_weights(
            network_held_out.logits, logits[places], codes[places], share, label_weights
        )

    def measure(logits: Logits) -> float:
        share = None if training.ngrams.share == "auto" else training.ngrams.share
        average = fit_average(logits, share).average(network_held_out.logits, logits[places])
        return measure_log_loss(codes[places], average)

    untaught: list[Logits] = []
    of_unlabelled: list[Logits] = []
    try:
        for learnt, scored in track(sets, "N-grams that predict pseudo-labels", "models"):
            fitted = regress([learnt]).fit(weights)
            untaught.append(score(fitted, scored))
            of_unlabelled.append(fitted.score(unlabelled))
        teachers = fit_average(np.concatenate(untaught), None)
        of_networks = (logits[used] for logits in network_held_out.unlabelled)
        probable = starmap(teachers.average, zip(of_networks, of_unlabelled, strict=True))
        followed = track(sets, "N-grams that learn pseudo-labels", "models")
        taught = [
            score(regress([learnt], probabilities).fit(weights), scored)
            for (learnt, scored), probabilities in zip(followed, probable, strict=True)
        ]
        logits = np.concatenate(taught)
        factor = fit_factor(logits, codes, label_weights)
        before, after = measure(first_ngrams_held_out.logits), measure(factor * logits)
        logger.debug("Log loss of the average %.4f, with taught n-grams %.4f", before, after)
        if after >= before:
            _say_without("the average would be no better")
            return first
        own = regress(learnable).fit(weights).score(unlabelled)
        network = score_logits(model, labels.sequences[chosen])
        regression = regress(learnable, teachers.average(network, own))
        hashes.clear()  # of long reviews, hundreds of MB that the fit does not need
        unlabelled.clear()
        fitted = regression.fit(weights)
    except InputError as error:  # as when both kinds of reviews have too many n-grams
        _say_without(str(error).partition(":")[0])
        return first
    rows = np.concatenate([scored.rows for _, scored in sets])
    return fitted.scale(factor), HeldOutLogits(rows, factor * logits, factor=factor)


def _choose_unlabelled(
    n_reviews: int, n_scored: int, *, has_characters: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Choose the unlabelled reviews that the n-grams learn from.

    Args:
        n_reviews: Number of reviews whose pseudo-labels the networks have learnt.
        n_scored: How many of these the networks of the best trial have scored, evenly spaced.
        has_characters: Whether the n-grams include those of characters.

    Returns:
        Places of the chosen reviews among the scored ones, and among all.

    """
    n_used = min(n_scored, MAX_UNLABELLED_WITH_CHARACTERS) if has_characters else n_scored
    used = choose_evenly(n_scored, n_used)
    return used, choose_evenly(n_reviews, n_scored)[used]


def _say_without(reason: str) -> None:
    logger.info("The n-grams are not trained on predictions of the network: %s", reason)
