"""A Kedro session that tells users what they can mend in a line, not in a traceback."""

from difflib import get_close_matches
from typing import Any

from click import ClickException
from kedro.framework.session import KedroSession
from kedro.validation.exceptions import ParameterValidationError

from imdb_sentiment.errors import InputError, find_input_error


class PlainErrorsSession(KedroSession):
    """`KedroSession` that ends on bad input or settings with one line and exit code 1.

    Any other error keeps its traceback. A runtime parameter that conf/ does not know is refused:
    `--params` would otherwise take a misspelt name without a word.
    """

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline; see `KedroSession.run`."""
        try:
            self._require_known_parameters()
            return super().run(*args, **kwargs)
        except ParameterValidationError as error:
            raise ClickException(str(error)) from error
        except Exception as error:
            mendable = find_input_error(error)
            if mendable is None:
                raise
            raise ClickException(str(mendable)) from error

    def _require_known_parameters(self) -> None:
        given = self.store.get("runtime_params") or {}
        if not given:
            return
        loader = self._get_config_loader()
        loader.runtime_params = {}
        known = set(loader["parameters"])
        for name in given:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"
                )
                raise InputError(f"--params: there is no parameter {name!r}; {hint}")
