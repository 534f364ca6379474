"""A Kedro session that reports errors that users can fix in one line, without a traceback."""

from typing import Any

from click import ClickException
from kedro.framework.session import KedroSession
from kedro.validation.exceptions import ParameterValidationError

from imdb_sentiment.errors import find_input_error


class PlainErrorsSession(KedroSession):
    """`KedroSession` that ends with a message and exit code 1 on bad input or settings.

    Any other error keeps its traceback.
    """

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline; see `KedroSession.run`."""
        try:
            return super().run(*args, **kwargs)
        except Exception as error:
            invalid = isinstance(error, ParameterValidationError)
            fixable = error if invalid else find_input_error(error)
            if fixable is None:
                raise
            raise ClickException(str(fixable)) from error
