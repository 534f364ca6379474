"""The outcome of a node in one line, for the console."""

from collections.abc import Callable
from typing import Any

from imdb_sentiment.errors import format_count

Values = dict[str, Any]  # outputs of a node, by the name of the dataset

N_SPECIAL = 2  # tokens of a vocabulary that are no words: the padding and the unknown word


def describe_outcome(node: str, outputs: Values) -> str | None:
    """Describe the outputs of a node, or return None if they are not worth a line.

    Args:
        node: Name of the node, without its namespace.
        outputs: Outputs of the node, by the name of the dataset.

    """
    describe = DESCRIPTIONS.get(node)
    return describe(outputs) if describe else None


def _describe_audit(made: Values) -> str:
    audit = made["audit"]
    scripts = ", ".join(f"{name} {share:.0%}" for name, share in audit["scripts"].items())
    empty, conflicts = audit["empty_rows"], audit["duplicates_with_another_label"]
    return (
        f"{format_count(audit['accepted'], 'review')}, "
        f"{format_count(audit['duplicates'], 'duplicate')}"
        + (f" ({conflicts:,} of them with a conflicting label)" if conflicts else "")
        + f", {audit['rejected'] - empty:,} rejected"
        + (f", {format_count(empty, 'empty row')}" if empty else "")
        + (f"; scripts: {scripts}" if scripts else "")
    )


def _describe_vocabulary(made: Values) -> str:
    from tokenizers.models import WordLevel

    tokenizer = made["tokenizer"]
    kind = "words" if isinstance(tokenizer.model, WordLevel) else "words and parts of words"
    return f"Vocabulary: {tokenizer.get_vocab_size() - N_SPECIAL:,} {kind}"


def _describe_known_words(made: Values) -> str:
    unknown = made["data_description"]["splits"]["test"]["share_unknown"]
    return f"{1 - unknown:.1%} of the words of the test reviews are in the vocabulary"


def _describe_vectors(made: Values) -> str | None:
    words, size = made["word_vectors"].shape
    return f"Word vectors: {words - N_SPECIAL:,} of length {size}" if words else None


def _describe_pretraining(made: Values) -> str | None:
    return "The LSTM is pretrained as a language model" if made["pretrained_weights"] else None


def _describe_baseline(made: Values) -> str:
    terms = made["baseline"][-1].n_features_in_
    return f"Baseline: TF-IDF of {terms:,} terms and logistic regression"


def _describe_first_ngrams(made: Values) -> str | None:
    return _describe_ngrams(made["first_ngram_model"])


def _describe_taught_ngrams(made: Values) -> str | None:
    model = made["ngram_model"]
    is_first = model.latent_weight or not model.unlabelled_reviews
    return None if is_first else _describe_ngrams(model, "N-grams after co-training")


def _describe_ngrams(model: Any, name: str = "N-grams") -> str | None:
    if not len(model.hashes):
        return None
    n_characters = int(model.is_character_ngram.sum())
    parts = [f"{name}: {len(model.hashes) - n_characters:,} of up to {model.max_ngram} words"]
    if n_characters:
        length, weight = model.character_ngram, model.character_weight
        parts.append(f"{n_characters:,} of {length} characters, with a weight of {weight:g}")
    if model.unlabelled_reviews:
        learnt = f"learnt from {model.unlabelled_reviews:,} unlabelled reviews as well"
        weight = f"a weight of {model.latent_weight:g}" if model.latent_weight else "pseudo-labels"
        parts.append(f"{learnt}, with {weight}")
    return "; ".join(parts)


def _describe_training(made: Values) -> str:
    history = made["history"]
    epochs = len(history["loss"])
    words = f"Final training: {format_count(epochs, 'epoch')}"
    if "val_accuracy" in history:  # early stopping may keep the weights of an earlier one
        return f"{words}, validation accuracy of the last one {history['val_accuracy'][-1]:.4f}"
    return f"{words}, training accuracy {history['accuracy'][-1]:.4f}"


def _describe_average(made: Values) -> str:
    found = made["calibration"]
    words = f"Average: {1 - found['ngram_share']:.0%} LSTM, {found['ngram_share']:.0%} n-grams"
    if found["uncalibrated_reason"]:
        return f"{words}; the probabilities are not calibrated (see the model card)"
    return (
        f"{words}; temperature {found['temperature']:.2f}, "
        f"fitted to {found['held_out_rows']:,} held-out reviews"
    )


def _describe_decision(made: Values) -> str | None:
    found = made["decision"]
    if found["unfitted_reason"] == "no_gain":
        return f"Decision: no thresholds, since they do not improve the {found['aim']}"
    if found["unfitted_reason"]:
        aim = f" for the {found['aim']}" if found["aim"] else ""
        return f"Decision: no thresholds{aim} (see the model card)"
    if found["before"] is None:
        return None
    with_rule, without = " with the median", "without it"
    if not found["is_median"]:
        with_rule, without = "", "without thresholds"
    return (
        f"Decision for the {found['aim']}: {found['after']:.4f} on held-out reviews{with_rule}, "
        f"{found['before']:.4f} {without}"
    )


def _describe_export(made: Values) -> str:
    difference = made["export_check"]["largest_probability_difference"]
    return (
        f"Export: {len(made['onnx_model']) / 1e6:.1f} MB; "
        f"its probabilities differ from the original model's by at most {difference:.0e}"
    )


def _describe_scores(made: Values) -> str:
    scores = made["scores"]
    reviews = format_count(scores["test_rows"], "review")
    return f"Test: {reviews} scored, accuracy {scores['test_accuracy']:.4f}"


def _describe_explained(made: Values) -> str:
    (examples,) = made.values()
    kinds = {"custom_examples": "custom reviews", "mistakes": "mistakes"}
    kind = kinds.get(next(iter(made)), "disagreements with the baseline")
    return f"Explained {kind}: {len(examples)}"


# By the name of the node, without its namespace.
DESCRIPTIONS: dict[str, Callable[[Values], str | None]] = {
    "audit_reviews": _describe_audit,
    "fit_tokenizer": _describe_vocabulary,
    "describe_data": _describe_known_words,
    "fit_word_vectors": _describe_vectors,
    "pretrain_network": _describe_pretraining,
    "fit_baseline": _describe_baseline,
    "fit_ngrams": _describe_first_ngrams,
    "teach_ngrams": _describe_taught_ngrams,
    "fit_best_model": _describe_training,
    "fit_average": _describe_average,
    "fit_decision": _describe_decision,
    "export_model": _describe_export,
    "measure_models": _describe_scores,
    "explain_mistakes": _describe_explained,
    "explain_disagreements": _describe_explained,
    "explain_custom_reviews": _describe_explained,
}
