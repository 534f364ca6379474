"""The commands `imdb-sentiment` and `python -m imdb_sentiment`: run pipelines or the service."""

import sys
from pathlib import Path
from typing import Any


def main(*args: Any, **kwargs: Any) -> Any:
    """Run pipelines as `kedro run` does, or the service if the first argument is `serve`."""
    if sys.argv[1:2] == ["serve"]:
        from imdb_sentiment.serving.command import serve

        return serve(sys.argv[2:], prog_name="imdb-sentiment serve")
    try:
        from kedro.framework.cli.utils import find_run_command
        from kedro.framework.project import configure_project
    except ModuleNotFoundError as error:
        sys.exit(
            f"Error: {error}: only `imdb-sentiment serve` works with the packages of the service; "
            "to run pipelines, install the whole project"
        )

    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    run: Any = find_run_command(package_name)
    run.help = (
        "Run pipelines; by default, the four of the main job.\n\n`imdb-sentiment serve` serves the "
        "trained model over HTTP instead, with a page; see imdb-sentiment serve --help."
    )
    return run(*args, **kwargs)


if __name__ == "__main__":
    main()
