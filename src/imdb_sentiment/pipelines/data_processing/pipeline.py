"""The wiring of data_processing."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.data_processing.nodes import (
    audit_reviews,
    check_reviews,
    clean_unlabelled_reviews,
    encode_reviews,
    find_columns,
    fit_tokenizer,
    fit_word_vectors,
    pretrain_network,
    split_reviews,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the raw table to the encoded sets and the pretrained weights."""
    return Pipeline(
        [
            Node(
                func=find_columns,
                inputs=["raw_reviews", "params:reviews", "params:split"],
                outputs="review_settings",
                name="find_columns",
            ),
            Node(
                func=check_reviews,
                inputs=[
                    "raw_reviews",
                    "review_settings",
                    "params:split",
                    "params:tokenizer.script",
                    "params:processing",
                ],
                # In this order: the words are complete when the reviews have been saved.
                outputs=["checked_reviews", "words"],
                name="check_reviews",
            ),
            Node(
                func=audit_reviews,
                inputs=["checked_reviews", "review_settings"],
                outputs=["audit", "rejected_reviews"],
                name="audit_reviews",
            ),
            Node(
                func=split_reviews,
                inputs=["checked_reviews", "audit", "review_settings", "params:split"],
                outputs="clean_reviews",
                name="split_reviews",
            ),
            Node(
                func=fit_tokenizer,
                inputs=["clean_reviews", "words", "params:tokenizer"],
                outputs="tokenizer",
                name="fit_tokenizer",
            ),
            Node(
                func=clean_unlabelled_reviews,
                inputs={
                    "unlabelled_reviews": "unlabelled_reviews",
                    "clean_reviews": "clean_reviews",
                    "words": "words",
                    "reviews": "review_settings",
                    "script": "params:tokenizer.script",
                    "processing": "params:processing",
                },
                outputs="clean_unlabelled_reviews",
                name="clean_unlabelled_reviews",
            ),
            Node(
                func=fit_word_vectors,
                inputs=[
                    "clean_reviews",
                    "clean_unlabelled_reviews",
                    "tokenizer",
                    "words",
                    "params:word_vectors",
                ],
                outputs="word_vectors",
                name="fit_word_vectors",
            ),
            Node(
                func=encode_reviews,
                inputs=[
                    "clean_reviews",
                    "tokenizer",
                    "words",
                    "review_settings",
                    "params:tokenizer",
                ],
                outputs=["train", "validation", "test"],
                name="encode_reviews",
            ),
            Node(
                func=pretrain_network,
                inputs={
                    "train": "train",
                    "clean_unlabelled_reviews": "clean_unlabelled_reviews",
                    "tokenizer": "tokenizer",
                    "words": "words",
                    "word_vectors": "word_vectors",
                    "tokenization": "params:tokenizer",
                    "language_model": "params:language_model",
                    # Only these, since a change of another one leaves the weights as they are.
                    "pretrained_embedding": "params:hyperparameters.pretrained_embedding",
                    "units": "params:hyperparameters.units",
                    "bidirectional": "params:hyperparameters.bidirectional",
                    "chrono_initialization": "params:hyperparameters.chrono_initialization",
                },
                outputs="pretrained_weights",
                name="pretrain_network",
            ),
        ],
        namespace="data_processing",
        prefix_datasets_with_namespace=False,
    )
