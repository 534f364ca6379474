"""A pydantic model as a JSON file."""

import json
import pkgutil
from typing import Any

from kedro_datasets._typing import JSONPreview
from pydantic import BaseModel, ValidationError

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.local_file import LocalFileDataset
from imdb_sentiment.errors import InputError


class TypedJSONDataset(LocalFileDataset[BaseModel, BaseModel]):
    """An instance of a pydantic model; what is loaded is validated.

    Args:
        filepath: The file.
        model: Full name of the class of the model, as in `package.module.Class`.
        made_by: Name of the pipeline that saves the file, for the error message.
        metadata: For plugins; Kedro ignores it.

    """

    def __init__(
        self, *, filepath: str, model: str, made_by: str, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self._model: type[BaseModel] = pkgutil.resolve_name(model)
        self._made_by = made_by

    def save(self, data: BaseModel) -> None:
        """Write the fields of the model."""
        with atomic_write(self._filepath) as partial:
            text = json.dumps(data.model_dump(mode="json"), indent=2)
            partial.write_text(text, encoding="utf-8")

    def load(self) -> BaseModel:
        """Read and validate the model.

        Raises:
            InputError: The file does not fit the model, for instance because another version of
                the project has made it.

        """
        try:
            return self._model.model_validate_json(self._filepath.read_bytes())
        except ValidationError as error:
            problems = "; ".join(
                ": ".join([*map(str, problem["loc"]), problem["msg"]]) for problem in error.errors()
            )
            raise InputError(
                f"{self._filepath} has no valid {self._model.__name__} ({problems}): make it again "
                f"with kedro run --pipelines {self._made_by}"
            ) from error

    def preview(self) -> JSONPreview:
        """Return the content of the file, for Kedro-Viz."""
        return JSONPreview(self._filepath.read_text(encoding="utf-8"))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "model": self._model.__name__}
