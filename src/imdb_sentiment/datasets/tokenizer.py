"""A tokenizer as a JSON file."""

import json

from kedro_datasets._typing import JSONPreview
from tokenizers import Tokenizer

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.local_file import LocalFileDataset


class TokenizerDataset(LocalFileDataset[Tokenizer, Tokenizer]):
    """A `tokenizers.Tokenizer` in its own JSON format, which is safe to load from anyone.

    Args:
        filepath: Local path of the file.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def save(self, data: Tokenizer) -> None:
        """Write the tokenizer."""
        with atomic_write(self._filepath) as partial:
            data.save(str(partial))

    def load(self) -> Tokenizer:
        """Read the tokenizer."""
        return Tokenizer.from_file(str(self._filepath))

    def preview(self) -> JSONPreview:
        """Return the tokenizer without its vocabulary, which is too long to look at."""
        content = json.loads(self._filepath.read_text(encoding="utf-8"))
        content["model"]["vocab"] = f"{len(content['model']['vocab'])} entries"
        return JSONPreview(json.dumps(content))
