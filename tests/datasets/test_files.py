import errno
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import Version
from pydantic import BaseModel
from tokenizers import Tokenizer

from helpers import make_encoded, make_network
from imdb_sentiment.datasets import (
    AtomicDataset,
    DownloadedTarDataset,
    EncodedReviewsDataset,
    KerasModelDataset,
    LineageDataset,
    LinesDataset,
    OnnxModelDataset,
    OptionalJSONDataset,
    OptunaStorageDataset,
    PickleStreamDataset,
    RunFactsDataset,
    TableDataset,
    TokenizerDataset,
    TypedJSONDataset,
)
from imdb_sentiment.datasets.base import FileDataset, Stream
from imdb_sentiment.errors import InputError, find_input_error
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from services import make_tokenizer

URL = "s3://bucket/file"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DownloadedTarDataset(filepath=URL, url="", sha256=""),
        lambda: LineageDataset(filepath=URL),
        lambda: OptunaStorageDataset(filepath=URL),
    ],
)
def test_what_must_lie_on_this_machine_refuses_another_place(make: Callable[[], Any]) -> None:
    with pytest.raises(
        (InputError, DatasetError), match="s3://bucket/file is not a local path: use a path"
    ) as caught:
        make()
    assert find_input_error(caught.value)


class Settings(BaseModel):
    """Something to save as JSON."""

    text: str


def make_typed_json(**options: Any) -> TypedJSONDataset:
    return TypedJSONDataset(model=f"{__name__}.Settings", made_by="tuning", **options)


DATASETS: list[tuple[Callable[..., AbstractDataset[Any, Any]], str, Any]] = [
    (OnnxModelDataset, "model.onnx", b"bytes"),
    (KerasModelDataset, "model.keras", make_network()),
    (TokenizerDataset, "tokenizer.json", make_tokenizer()),
    (EncodedReviewsDataset, "train.npy", make_encoded(5)),
    (LinesDataset, "words.txt", ["a", "", "\u2028 \xfc\r"]),
    (PickleStreamDataset, "stream.pkl", [pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2, 3]})]),
    (make_typed_json, "settings.json", Settings(text="ü")),
    (TableDataset, "table.csv", [pd.DataFrame({"a": ["1"]}), pd.DataFrame({"a": ["ü"]})]),
]


def unpack(content: Any) -> Any:
    """Return what a dataset has loaded as values that can be compared."""
    if isinstance(content, Stream | list) and isinstance(next(iter(content)), pd.DataFrame):
        return pd.concat(content)["a"].tolist()
    if isinstance(content, EncodedReviews):
        return content.fingerprint(), content.rows.tolist(), content.groups.tolist()
    if isinstance(content, Tokenizer):
        return content.to_str()
    if hasattr(content, "get_weights"):
        return [array.tolist() for array in content.get_weights()]
    return content


@pytest.mark.parametrize(
    ("make", "name", "content"), DATASETS, ids=[name for _, name, _ in DATASETS]
)
@pytest.mark.parametrize("is_versioned", [False, True])
def test_a_file_may_lie_elsewhere(
    *,
    make: Callable[..., AbstractDataset[Any, Any]],
    name: str,
    content: Any,
    is_versioned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    version = Version("one", "one") if is_versioned else None
    options = {"filepath": f"memory://{is_versioned}/{name}", "version": version}
    dataset = make(**options, credentials={}, fs_args={})
    assert not dataset.exists()
    assert str(options["filepath"]) in str(dataset)
    dataset.save(content)
    assert unpack(make(**options).load()) == unpack(content)
    assert dataset.exists()
    path = f"/{is_versioned}/{name}" + (f"/one/{name}" if is_versioned else "")
    assert fsspec.filesystem("memory").isfile(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("protocol", "path"),
    [("gs", "bucket/out/a.csv"), ("abfs", "container@account.dfs.core.windows.net/out/a.csv")],
)
def test_other_clouds_get_the_path_as_their_file_systems_expect_it(
    protocol: str, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without an account, only what the project hands over can be tested, not the cloud."""

    class Cloud(MemoryFileSystem):
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

    Cloud.protocol = protocol
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "fsspec.filesystem", lambda name, **_: {protocol: Cloud}[name](skip_instance_cache=True)
    )
    table = TableDataset(filepath=f"{protocol}://{path}")
    table.save([pd.DataFrame({"a": ["ü"]})])
    assert list(Cloud.store) == [f"/{path}"]
    assert unpack(table.load()) == ["ü"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://host/get?url=https://other/a.csv",
        "https://host/a//b.csv",
        "https://host/reviews/",
        "https://host/a.csv?signature=b/./c",
        "s3://bucket/a//b.csv",
    ],
)
def test_an_address_is_fetched_as_it_is_given(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: set[str] = set()

    class Web(MemoryFileSystem):
        _strip_protocol = classmethod(lambda _, path: path)  # as that of the web

        def isfile(self, _: Any) -> bool:
            return True

        def size(self, _: Any) -> int:
            return 0

        def _open(self, path: str, *_: Any, **options: Any) -> Any:
            opened.add(path)
            return io.BytesIO(b"a\nfine\n")

    monkeypatch.setattr("fsspec.filesystem", lambda *_, **options: Web(skip_instance_cache=True))
    table = TableDataset(filepath=address)
    assert unpack(table.load()) == ["fine"]
    assert opened == {address.removeprefix("s3://")}


@pytest.mark.parametrize("protocol", ["file", "local"])
def test_an_address_may_be_that_of_a_local_file(protocol: str, tmp_path: Path) -> None:
    address = f"{protocol}://{tmp_path}/folder"
    table = TableDataset(filepath=f"{address}/1/a.csv")
    table.save([pd.DataFrame({"a": ["fine"]})])
    assert unpack(table.load()) == ["fine"]
    value = AtomicDataset(filepath=f"{address}/2/a.pkl", dataset="pickle.PickleDataset")
    value.save([1])
    assert value.load() == [1]
    assert LineageDataset(filepath=f"{address}/lineage.json").load() == {}
    assert "://" not in f"{table} {value}"


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(protocol: str, **options: Any) -> Any:
        raise ImportError(f"Install {protocol}fs")

    monkeypatch.setattr("fsspec.filesystem", fail)
    with pytest.raises(DatasetError) as caught:
        OnnxModelDataset(filepath=URL).save(b"")
    assert str(find_input_error(caught.value)) == (
        "s3://bucket/file can't be reached (Install s3fs): install that package, for S3 with "
        'pip install -e ".[s3]"'
    )


@pytest.mark.parametrize("address", ["webhdfs://host/a.csv", "unknown://a.csv"])
def test_an_address_that_says_too_little_is_refused_in_one_line(address: str) -> None:
    for dataset in (TableDataset(filepath=address), OnnxModelDataset(filepath=address)):
        with pytest.raises(DatasetError) as caught:
            dataset.load()
        message = str(find_input_error(caught.value))
        assert message.startswith(f"{address} can't be reached (")
        assert message.endswith("which belong in conf/local/credentials.yml")


def test_the_host_of_a_file_may_be_among_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server(MemoryFileSystem):
        protocol = "ftp"
        store: ClassVar[dict[str, Any]] = {"/folder/a.csv": MemoryFile(data=b"a\nfine\n")}

        def __init__(self, host: str) -> None:
            super().__init__(host=host)

    monkeypatch.setattr("fsspec.filesystem", lambda _, **options: Server(**options))
    for address in ("ftp:///folder", "ftp:///folder/a.csv", "ftp:///folder/*.csv"):
        table = TableDataset(filepath=address, credentials={"host": "example.org"})
        assert unpack(table.load()) == ["fine"]


@pytest.mark.parametrize("protocol", ["ftp", "sftp", "ssh"])
def test_an_upload_that_breaks_off_keeps_the_old_file(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server(MemoryFileSystem):
        store: ClassVar[dict[str, Any]] = {}
        breaks_off = renames_over_files = False

        def mv(self, path1: str, path2: str, **options: Any) -> None:
            if self.exists(path2) and not self.renames_over_files:
                raise OSError("550 the file exists")
            super().mv(path1, path2, **options)

        def put_file(self, lpath: str, rpath: str, *_: Any, **options: Any) -> None:
            self.pipe_file(rpath, Path(lpath).read_bytes()[:1])
            if self.breaks_off:
                raise OSError("the connection was lost")
            super().put_file(lpath, rpath, **options)

    monkeypatch.setattr("fsspec.filesystem", lambda name, **_: Server())
    dataset = OnnxModelDataset(filepath=f"{protocol}://host/folder/model.onnx")
    for renames in (False, True):
        monkeypatch.setattr(Server, "renames_over_files", renames)
        for content in (b"first model", b"old model"):
            dataset.save(content)
            assert [file.getvalue() for file in Server.store.values()] == [content]
    old = dict(Server.store)
    monkeypatch.setattr(Server, "breaks_off", True)
    with pytest.raises(DatasetError, match="lost"):
        dataset.save(b"new model")
    assert Server.store == old


@pytest.mark.parametrize("error", [KeyError("code"), AttributeError("code"), MemoryError()])
def test_a_fault_of_the_program_is_not_blamed_on_the_place(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(MemoryFileSystem):
        def put_file(self, *_: Any, **options: Any) -> None:
            raise error

    monkeypatch.setattr("fsspec.filesystem", lambda name, **_: Faulty())
    with pytest.raises(DatasetError) as caught:
        OnnxModelDataset(filepath=URL).save(b"")
    assert caught.value.__cause__ is error
    assert find_input_error(caught.value) is None


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "/folder/copy can't be used: the disk is full. "),
        (errno.EACCES, "s3://bucket/file can't be reached "),
    ],
)
@pytest.mark.parametrize(
    "make", [OnnxModelDataset, partial(AtomicDataset, dataset="pickle.PickleDataset")]
)
def test_a_full_disk_is_not_blamed_on_the_place(
    make: Callable[..., FileDataset], number: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(MemoryFileSystem):
        def get_file(self, *_: Any, **options: Any) -> None:
            raise OSError(number, "reason", "/folder/copy")

    monkeypatch.setattr("fsspec.filesystem", lambda name, **_: Faulty())
    with pytest.raises(DatasetError) as caught:
        make(filepath=URL).load()
    assert str(find_input_error(caught.value)).startswith(message)


def test_credentials_reach_the_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def note(protocol: str, **options: Any) -> Any:
        given.update(options, protocol=protocol)
        return MemoryFileSystem()

    monkeypatch.setattr("fsspec.filesystem", note)
    dataset = OnnxModelDataset(filepath=URL, credentials={"key": "a"}, fs_args={"anon": False})
    dataset.save(b"x")
    assert given == {"protocol": "s3", "key": "a", "anon": False}
    assert "key" not in str(dataset)


def test_a_remote_csv_is_loaded() -> None:
    with fsspec.open("memory://reviews.csv", "w") as file:
        file.write("review,sentiment\nfine,positive\n")
    dataset = TableDataset(filepath="memory://reviews.csv")
    assert dataset.exists()
    [chunk] = dataset.load()
    assert chunk.drop(columns="_malformed").to_dict("index") == {
        1: {"review": "fine", "sentiment": "positive"}
    }
    assert not TableDataset(filepath="memory://other.csv").exists()


@pytest.mark.parametrize(
    "dataset",
    [
        DownloadedTarDataset(filepath="a.tar.gz", url="", sha256=""),
        OptunaStorageDataset(filepath="study.db"),
        RunFactsDataset(),
        OptionalJSONDataset(filepath="none.json"),
        LineageDataset(filepath="lineage.json"),
    ],
)
def test_what_can_only_be_loaded_refuses_to_be_saved(dataset: AbstractDataset[Any, Any]) -> None:
    assert dataset.exists()
    with pytest.raises(DatasetError, match="can only be loaded"):
        dataset.save("anything")


def test_a_file_that_need_not_be_there_is_empty_then(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    dataset = OptionalJSONDataset(filepath=str(path))
    assert dataset.load() == {}
    path.write_text('{"first": ["größer"]}', encoding="utf-8")
    assert dataset.load() == {"first": ["größer"]}
