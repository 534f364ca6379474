"""The typed parameters of the project: one pydantic model per top-level key of conf/.

Nodes name these models in their signatures, so Kedro builds and validates them before anything
runs. Default values are in conf/base, and an unknown key is an error.
"""

from imdb_sentiment.parameters.base import Parameters
from imdb_sentiment.parameters.data_processing import (
    AUTO,
    LanguageModelParameters,
    ProcessingParameters,
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    WordVectorsParameters,
)
from imdb_sentiment.parameters.inference import InferenceParameters
from imdb_sentiment.parameters.label_check import LabelCheckParameters
from imdb_sentiment.parameters.reporting import CustomReviewsParameters, ReportParameters
from imdb_sentiment.parameters.training import (
    BaselineParameters,
    ClassWeight,
    DecisionTarget,
    NgramsParameters,
    Quantity,
    TrainingParameters,
    parse_class_weight,
)
from imdb_sentiment.parameters.tuning import (
    NO_ROWS_TO_WATCH,
    Hyperparameters,
    MetricName,
    MetricParameters,
    ProtocolParameters,
    PseudoLabelsParameters,
    TuningParameters,
)

__all__ = [
    "AUTO",
    "NO_ROWS_TO_WATCH",
    "BaselineParameters",
    "ClassWeight",
    "CustomReviewsParameters",
    "DecisionTarget",
    "Hyperparameters",
    "InferenceParameters",
    "LabelCheckParameters",
    "LanguageModelParameters",
    "MetricName",
    "MetricParameters",
    "NgramsParameters",
    "Parameters",
    "ProcessingParameters",
    "ProtocolParameters",
    "PseudoLabelsParameters",
    "Quantity",
    "ReportParameters",
    "ReviewsOptions",
    "ReviewsParameters",
    "SplitParameters",
    "TokenizerParameters",
    "TrainingParameters",
    "TuningParameters",
    "WordVectorsParameters",
    "parse_class_weight",
]
