"""The wiring of label_check."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.label_check.nodes import (
    choose_rows_to_label,
    find_doubtful_labels,
    score_held_out,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from clean reviews to the rows that a person should look at."""
    return Pipeline(
        [
            Node(
                func=score_held_out,
                inputs={
                    "clean_reviews": "clean_reviews",
                    "reviews": "review_settings",
                    "split": "params:split",
                    "label_check": "params:label_check",
                    "training": "params:training",
                    "script": "params:tokenizer.script",
                },
                outputs="label_check_logits",
                name="score_held_out",
            ),
            Node(
                func=find_doubtful_labels,
                inputs=["clean_reviews", "label_check_logits", "review_settings"],
                outputs=["doubtful_labels", "label_check"],
                name="find_doubtful_labels",
            ),
            Node(
                func=choose_rows_to_label,
                inputs={
                    "clean_unlabelled_reviews": "clean_unlabelled_reviews",
                    "clean_reviews": "clean_reviews",
                    "reviews": "review_settings",
                    "label_check": "params:label_check",
                    "training": "params:training",
                    "script": "params:tokenizer.script",
                },
                outputs="rows_to_label",
                name="choose_rows_to_label",
            ),
        ],
        namespace="label_check",
        prefix_datasets_with_namespace=False,
    )
