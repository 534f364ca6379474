"""The Kedro session of the project: it reports errors that users can fix in one line."""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from click import ClickException, get_current_context
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from kedro.validation.exceptions import ParameterValidationError

from imdb_sentiment.command_line import join_words, quote_value, spell_out
from imdb_sentiment.errors import InputError, find_input_error, make_printable, suggest_name
from imdb_sentiment.framework.console import RUN, name_command
from imdb_sentiment.framework.lineage import flatten
from imdb_sentiment.framework.runner import IncrementalSequentialRunner
from imdb_sentiment.framework.track_lineage import OTHER_RUN
from imdb_sentiment.pipeline_registry import DEFAULT, list_pipelines

logger = logging.getLogger(__name__)

_running = threading.Lock()  # held during a run


class PlainErrorsSession(KedroSession):
    """`KedroSession` that ends with a message and exit code 1 on bad input or settings.

    Any other error keeps its traceback. With `--only-missing-outputs`, nodes run as
    `IncrementalSequentialRunner` says, unless another runner than Kedro's default is asked for.
    """

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline; see `KedroSession.run`."""
        _require_pipelines(kwargs.get("pipeline_names") or ())
        if get_current_context(silent=True):
            _require_one_option(sys.argv)
        if kwargs.get("only_missing_outputs"):
            runner = kwargs.get("runner") or SequentialRunner()
            if type(runner) is SequentialRunner:
                kwargs["runner"] = IncrementalSequentialRunner(is_async=runner._is_async)
        if not _running.acquire(blocking=False):  # before the hooks, which the runs share
            raise ClickException(OTHER_RUN)
        try:
            return super().run(*args, **kwargs)
        except KeyboardInterrupt:
            if not set(kwargs.get("pipeline_names") or ()) - {*DEFAULT, "__default__"}:
                tuning = self._get_config_loader()["parameters"].get("tuning", {})
                limit = " (which does not continue a search that tuning.timeout has ended before)"
                logger.warning(
                    "To go on, repeat the command with --only-missing-outputs%s",
                    limit if tuning.get("timeout") else "",
                )
            raise
        except Exception as error:
            is_plain = isinstance(error, ParameterValidationError) or _is_selection(error)
            fixable = error if is_plain else find_input_error(error) or _find_credentials(error)
            if fixable is None:
                raise
            message = str(fixable).replace(RUN, name_command(self._project_path))
            if isinstance(fixable, InputError) and fixable.parameters:
                message += self._explain_parameters(fixable.parameters)
            raise ClickException(message) from error
        finally:
            try:
                _close_hooks()  # Kedro calls none after Ctrl-C, or if the run may not begin
            finally:
                _running.release()

    def _explain_parameters(self, parameters: Mapping[str, Any]) -> str:
        """Return the files that set parameters, and a command that overrides them, as lines."""
        loader: Any = self._get_config_loader()
        found = loader.find_files()
        files: dict[str, list[str]] = {}
        for name in parameters:
            if path := found.get(name):
                files.setdefault(_name(path, self._project_path), []).append(name)
        lines = [f"{file} sets {', '.join(names)}." for file, names in files.items()]
        context = get_current_context(silent=True)  # there is none in a notebook
        # `--params` replaces all parameters of a file that `--config` names.
        of_file = flatten(loader.runtime_params) if context and context.params.get("config") else ()
        command = repeat_command(sys.argv[1:], {**dict(of_file), **parameters})
        if command and context:
            start = "kedro" if "run" in sys.argv else "imdb-sentiment"
            why = "To override this for one run" if lines else "Command"
            lines.append(f"{why}: {start} {command}")
        return "".join(f"\n{make_printable(line)}" for line in lines)


def _find_credentials(error: Exception) -> InputError | None:
    """Return the error of credentials that the catalog names but nobody gives, if it is one."""
    found = re.search("Unable to find credentials '(.+?)'", str(error))
    if not (found and isinstance(error, KeyError)):
        return None
    return InputError(
        f"the catalog names the credentials {found[1]!r}: add them to conf/local/credentials.yml"
    )


def _require_one_option(words: Sequence[str]) -> None:
    """Refuse a second `--params`, since Kedro would ignore the first."""
    if sum(word.partition("=")[0] == "--params" for word in words) > 1:
        raise ClickException("--params is given twice: join the parameters with commas")


def _close_hooks() -> None:
    """Close all hooks; an error of one hides neither that of the run nor the other hooks."""
    for hook in settings.HOOKS:
        try:
            if hasattr(hook, "close"):
                hook.close()
        except Exception:
            logger.warning("%s could not be closed", type(hook).__name__, exc_info=True)


def _name(path: Path, project: Path) -> str:
    path = path.resolve()
    return (path.relative_to(project) if path.is_relative_to(project) else path).as_posix()


def repeat_command(words: Sequence[str], parameters: Mapping[str, Any]) -> str | None:
    """Return the words of a command with other values of some parameters.

    Args:
        words: Words that were typed after the name of the program.
        parameters: The values, by dotted name.

    Returns:
        The words, quoted for a shell; None if `--params` can't express the values.

    Example:
        >>> repeat_command(["run", "--params", "split.seed=1"], {"reviews_encoding": "cp1252"})
        'run --params split.seed=1,reviews_encoding=cp1252'

    """
    values = {name: quote_value(value) for name, value in spell_out(parameters).items()}
    if not all(values.values()):
        return None
    others: list[str] = []
    given: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, is_one_word, value = word.partition("=")
        if option == "--params":
            given += (value if is_one_word else next(remaining, "")).split(",")
        else:
            others.append(word)
    kept = [part for part in given if part and part.partition("=")[0].strip() not in values]
    listed = ",".join([*kept, *(f"{name}={value}" for name, value in values.items())])
    return join_words([*others, "--params", listed])


def _is_selection(error: Exception) -> bool:
    """Return whether Kedro does not find the nodes, tags or datasets that a command names."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return isinstance(error, ValueError) and any(
        frame.f_code is Pipeline.filter.__code__ for frame in frames
    )


def _require_pipelines(names: Iterable[str]) -> None:
    """Refuse a name that is none of a pipeline, which Kedro would try to import."""
    known = list_pipelines()
    for name in names:
        if name not in known:
            raise ClickException(f"there is no pipeline {name!r}: {suggest_name(name, known)}")
