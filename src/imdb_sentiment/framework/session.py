"""The Kedro session of the project: it reports errors that users can fix in one line."""

from collections.abc import Iterable
from typing import Any

from click import ClickException
from kedro.framework.session import KedroSession
from kedro.runner import SequentialRunner
from kedro.validation.exceptions import ParameterValidationError

from imdb_sentiment.errors import find_input_error, propose
from imdb_sentiment.framework.runner import IncrementalSequentialRunner
from imdb_sentiment.pipeline_registry import list_pipelines


class PlainErrorsSession(KedroSession):
    """`KedroSession` that ends with a message and exit code 1 on bad input or settings.

    Any other error keeps its traceback. With `--only-missing-outputs`, nodes run as
    `IncrementalSequentialRunner` says, unless another runner than Kedro's default is asked for.
    """

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline; see `KedroSession.run`."""
        _require_pipelines(kwargs.get("pipeline_names") or ())
        if kwargs.get("only_missing_outputs"):
            runner = kwargs.get("runner") or SequentialRunner()
            if type(runner) is SequentialRunner:
                kwargs["runner"] = IncrementalSequentialRunner(is_async=runner._is_async)
        try:
            return super().run(*args, **kwargs)
        except Exception as error:
            invalid = isinstance(error, ParameterValidationError)
            fixable = error if invalid else find_input_error(error)
            if fixable is None:
                raise
            raise ClickException(str(fixable)) from error


def _require_pipelines(names: Iterable[str]) -> None:
    """Refuse a name that is none of a pipeline, which Kedro would try to import."""
    known = list_pipelines()
    for name in names:
        if name not in known:
            raise ClickException(f"there is no pipeline {name!r}: {propose(name, known)}")
