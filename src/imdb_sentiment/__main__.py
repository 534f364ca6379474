"""`imdb-sentiment` and `python -m imdb_sentiment`: run the project's pipelines, or serve."""

import sys
from pathlib import Path
from typing import Any


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project as `kedro run` does, with the same options; after `serve`, the service."""
    if sys.argv[1:2] == ["serve"]:
        from imdb_sentiment.serving.command import serve

        return serve(sys.argv[2:], prog_name="imdb-sentiment serve")
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
