"""A Kedro session that tells users what they can mend in plain words, not in a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from click import ClickException
from kedro.framework.session import KedroSession
from kedro.validation.exceptions import ParameterValidationError

from imdb_sentiment.errors import InputError, find_input_error

# Read by the catalog through `runtime_params` or `globals`, so they are no parameters of a node.
CATALOG_PARAMETERS = (
    "imdb_archive",
    "input_encoding",
    "input_file",
    "output_file",
    "reviews_encoding",
    "reviews_file",
    "unlabelled_file",
)


class PlainErrorsSession(KedroSession):
    """`KedroSession` that ends on bad input or settings with a message and exit code 1.

    Any other error keeps its traceback. Parameters that conf/base does not know are refused: Kedro
    would otherwise take a misspelt name without a word.
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
        given = set(self.store.get("runtime_params") or {})
        loader: Any = self._get_config_loader()
        loader.runtime_params = {}
        configured = set(loader["parameters"])
        loader.env = loader.base_env
        known = set(loader["parameters"])
        _require_known(given, known | set(CATALOG_PARAMETERS), "in --params")
        _require_known(configured, known, "in conf/ (reviews_file and its like go to globals.yml)")


def _require_known(names: Iterable[str], known: set[str], place: str) -> None:
    for name in sorted(set(names) - known):
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
        raise InputError(f"there is no parameter {name!r} {place}: {hint}")
