"""The Kedro session of the project: it reports errors that users can fix in one line."""

from typing import Any

from click import ClickException
from kedro.framework.session import KedroSession
from kedro.runner import SequentialRunner
from kedro.validation.exceptions import ParameterValidationError

from imdb_sentiment.errors import find_input_error
from imdb_sentiment.framework.runner import IncrementalSequentialRunner


class PlainErrorsSession(KedroSession):
    """`KedroSession` that ends with a message and exit code 1 on bad input or settings.

    Any other error keeps its traceback. With `--only-missing-outputs`, nodes run as
    `IncrementalSequentialRunner` says, unless another runner than Kedro's default is asked for.
    """

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline; see `KedroSession.run`."""
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
