"""Datasets that are one file: models, a tokenizer, streams, settings, documents."""

import contextlib
import json
import pickle
import pkgutil
from collections.abc import Generator, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePath
from typing import Any, NewType

import pandas as pd
from kedro.io import DatasetError
from kedro.io.core import VERSION_KEY, Version, parse_dataset_definition
from kedro_datasets._typing import JSONPreview, TablePreview
from pydantic import BaseModel, ValidationError
from tokenizers import Tokenizer

from imdb_sentiment.datasets.base import (
    MEGABYTE,
    FileDataset,
    LoadOnlyDataset,
    Stream,
    require_local,
)
from imdb_sentiment.engine.mapping import PickledResult
from imdb_sentiment.errors import InputError
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.progress import Task

# Kedro-Viz draws a preview by the name of its type; kedro-datasets has none for texts.
TextPreview = NewType("TextPreview", str)


class AtomicDataset(FileDataset):
    """Saves through another dataset, under the final name only when the file is complete.

    The nested dataset reads and writes files on this machine, so that of another file system is
    copied. What it loads must not need the copy any more.

    Args:
        filepath: Path or URL of the file.
        dataset: Type of the nested dataset, or its catalog entry without `filepath`.
        version: Version to load and to save; Kedro makes it from `versioned: true`.
        metadata: Metadata for plugins; ignored by Kedro.

    Raises:
        ValueError: If the nested dataset is versioned, instead of this one.

    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: str | dict[str, Any],
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        entry = {"type": dataset} if isinstance(dataset, str) else dataset
        self._type, self._options = parse_dataset_definition(entry)
        if VERSION_KEY in self._options:
            raise ValueError("set `versioned` next to `dataset`, not inside it")
        fs_args = self._options.get("fs_args") or {}
        super().__init__(
            filepath=filepath,
            credentials=self._options.get("credentials"),
            fs_args={k: v for k, v in fs_args.items() if not k.startswith("open_args")},
            version=version,
            metadata=metadata,
        )
        # Wrong options are reported now, not after the node has run.
        self._nest(self._locate(self._filepath))

    def load(self) -> Any:
        """Return what the nested dataset loads."""
        with self._reading() as path, _unwrapping():
            return self._nest(path).load()

    @property
    def preview(self) -> Any:
        """The nested dataset's `preview`; Kedro-Viz chooses how to draw it by its signature.

        Raises:
            AttributeError: If the nested dataset has none.

        """
        path = self._get_load_path() if self.exists() else self._filepath
        return self._nest(self._locate(path)).preview

    def _nest(self, path: PurePath | str) -> Any:
        return self._type(**{"filepath": str(path), **self._options})

    def _write(self, path: Path, data: Any) -> None:
        with _unwrapping():
            self._nest(path).save(data)

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "dataset": self._type.__name__}


@contextlib.contextmanager
def _unwrapping() -> Iterator[None]:
    """Raise the cause of a nested dataset's error, which names a temporary file."""
    try:
        yield
    except DatasetError as error:  # Kedro will name the file itself
        raise error.__cause__ or error from None


class KerasModelDataset(FileDataset):
    """A `keras.Model` in Keras's own format. The name of the file ends with `.keras`."""

    def load(self) -> Any:
        """Read the model, which may have this project's layers."""
        with tensorflow_setup():
            import keras

            import imdb_sentiment.network.layers  # noqa: F401  (registers the layers by name)
        with self._reading() as path:
            return keras.models.load_model(path)

    def _write(self, path: Path, data: Any) -> None:
        data.save(path)


class OnnxModelDataset(FileDataset):
    """A serialised ONNX model, as bytes, for `imdb_sentiment.serving.Predictor`."""

    def load(self) -> bytes:
        """Read the model."""
        with self._reading() as path:
            return path.read_bytes()

    def _write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)


class TokenizerDataset(FileDataset):
    """A `tokenizers.Tokenizer` in its own JSON format, which is safe to load from any source."""

    def load(self) -> Tokenizer:
        """Read the tokenizer."""
        with self._reading() as path:
            return Tokenizer.from_file(str(path))

    def preview(self) -> JSONPreview:
        """Return the tokenizer without its vocabulary, which is too long to look at."""
        with self._reading() as path:
            content = json.loads(path.read_text(encoding="utf-8"))
        content["model"]["vocab"] = f"{len(content['model']['vocab'])} entries"
        return JSONPreview(json.dumps(content))

    def _write(self, path: Path, data: Tokenizer) -> None:
        # Not `data.save`, whose error on a full disk has no number.
        path.write_text(data.to_str(pretty=True), encoding="utf-8")


class LinesDataset(FileDataset):
    r"""Strings without line breaks (`\n`), as the lines of a text file in UTF-8."""

    def load(self) -> list[str]:
        """Read the strings."""
        with self._reading() as path:
            return path.read_bytes().decode().split("\n")[:-1]

    def _write(self, path: Path, data: Iterable[str]) -> None:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in data)


class PickleStreamDataset(FileDataset):
    """An iterable with one pickle per chunk, of which one at a time is in memory.

    A stream that raises while it is saved leaves the previous file as it was.
    """

    def save(self, data: Iterable[Any]) -> None:
        """Write the chunks; if that fails, a generator of chunks ends with the same exception."""
        try:
            super().save(data)
        except BaseException as error:
            if isinstance(data, Generator):
                with contextlib.suppress(BaseException):
                    data.throw(error)
            raise

    def load(self) -> Stream[Any]:
        """Return the chunks as an object that can be iterated any number of times.

        Raises:
            DatasetError: If the file does not exist.

        """
        if not self._exists():
            raise FileNotFoundError(f"{self._name(self._filepath)} does not exist")
        return Stream(self._chunks)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows of a stream of data frames, for Kedro-Viz.

        Columns of bytes, which JSON can't have, are left out.
        """
        first = next(self._chunks(), pd.DataFrame()).head(nrows)
        readable = [name for name, cells in first.items() if not _are_bytes(cells)]
        return TablePreview(first[readable].to_dict(orient="split"))

    def _chunks(self) -> Iterator[Any]:
        with self._reading() as path, path.open("rb") as file:
            size = path.stat().st_size / MEGABYTE
            with Task(f"Reading {self._filepath.name}", size, "MB") as task:
                while file.peek(1):
                    task.update(file.tell() / MEGABYTE)
                    yield pickle.load(file)

    def _write(self, path: Path, data: Iterable[Any]) -> None:
        with path.open("wb") as file:
            for chunk in data:
                if isinstance(chunk, PickledResult):
                    chunk.move_to(file)
                else:
                    pickle.dump(chunk, file, protocol=pickle.HIGHEST_PROTOCOL)


def _are_bytes(cells: pd.Series) -> bool:
    return any(isinstance(cell, bytes) for cell in cells)


class OptionalJSONDataset(LoadOnlyDataset[dict[str, Any]]):
    """A JSON file of an optional pipeline; nodes decide whether its content is up to date.

    Args:
        filepath: Local path of the file.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = require_local(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return the content of the file; nothing without a file."""
        if not self._filepath.is_file():
            return {}
        content: dict[str, Any] = json.loads(self._filepath.read_text(encoding="utf-8"))
        return content

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class TypedJSONDataset(FileDataset):
    """An instance of a pydantic model as JSON, validated when it is loaded.

    Args:
        filepath: Path or URL of the file.
        model: Full name of the model's class, as in `package.module.Class`.
        made_by: Name of the pipeline that saves the file, for the error message.
        options: Further arguments of every dataset that is a file.

    """

    def __init__(self, *, filepath: str, model: str, made_by: str, **options: Any) -> None:
        super().__init__(filepath=filepath, **options)
        self._model: type[BaseModel] = pkgutil.resolve_name(model)
        self._made_by = made_by

    def load(self) -> BaseModel:
        """Read and validate the instance.

        Raises:
            InputError: If the file does not fit the model, for instance because another version
                of the project has made it.

        """
        try:
            with self._reading() as path:
                return self._model.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problems = "; ".join(
                ": ".join([*map(str, problem["loc"]), problem["msg"]]) for problem in error.errors()
            )
            raise InputError(
                f"{self._name(self._filepath)} does not contain valid {self._model.__name__} "
                f"({problems}): recreate it with kedro run --pipelines {self._made_by}"
            ) from error

    def preview(self) -> JSONPreview:
        """Return the content of the file, for Kedro-Viz."""
        with self._reading() as path:
            return JSONPreview(path.read_text(encoding="utf-8"))

    def _write(self, path: Path, data: BaseModel) -> None:
        path.write_text(json.dumps(data.model_dump(mode="json"), indent=2), encoding="utf-8")


class DocumentDataset(FileDataset):
    """A document for people, in Markdown or HTML, as a string in UTF-8."""

    def load(self) -> str:
        """Read the document."""
        with self._reading() as path:
            return path.read_text(encoding="utf-8")

    def preview(self) -> TextPreview:
        """Return the document for Kedro-Viz: Markdown as it is, the text of a page."""
        document = self.load()
        is_page = self._filepath.suffix == ".html"
        return TextPreview(_PageText(document).text if is_page else document)

    def _write(self, path: Path, data: str) -> None:
        path.write_text(data, encoding="utf-8")


class _PageText(HTMLParser):
    """The text of a page that people read: no script, style or menu, and a line per block."""

    _SKIPPED = frozenset({"button", "head", "nav", "script", "style", "svg", "textarea"})
    _WORDS = frozenset({"a", "b", "code", "em", "i", "mark", "strong"})
    _CELLS = frozenset({"span", "td", "th"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._open: list[str] = []  # elements that are skipped or preformatted
        self.feed(page)
        self.close()
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        self.text = "\n".join(filter(None, lines))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        if tag == "pre" or tag in self._SKIPPED:
            self._open.append(tag)
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        if tag in self._open:
            self._open.remove(tag)
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        """Keep a text; its line breaks mean nothing unless it is preformatted."""
        if self._SKIPPED.isdisjoint(self._open):
            self._parts.append(data if self._open else data.replace("\n", " "))

    def _separate(self, tag: str) -> None:
        if tag not in self._WORDS:
            self._parts.append(" " if tag in self._CELLS else "\n")
