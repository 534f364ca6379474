import hashlib
import http.server
import io
import resource
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from imdb_sentiment.datasets import DownloadedTarDataset, TableDataset
from imdb_sentiment.errors import find_input_error
from imdb_sentiment.pipelines.imdb_download import create_pipeline
from imdb_sentiment.pipelines.imdb_download.nodes import collect_reviews
from imdb_sentiment.progress import get_progress


def make_archive(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        folder = tarfile.TarInfo("aclImdb")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("aclImdb/train/pos/9_9.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


REVIEWS = {
    f"aclImdb/{split}/{folder}/{number}_{rating}.txt": f"A {folder} review,\nnumber {number} é."
    for split in ("test", "train")
    for folder, rating in (("neg", 2), ("pos", 9))
    for number in range(0, 900, 3)
}
OTHERS = {
    "aclImdb/README": "read me",
    "aclImdb/train/unsup/0_0.txt": "no label",
    "aclImdb/train/pos/../../../../escaped/0_9.txt": "outside",
    "/aclImdb/train/pos/1_9.txt": "absolute",
}
ARCHIVE = make_archive(REVIEWS | OTHERS)


def number_of(name: str) -> int:
    return int(name.rsplit("/", maxsplit=1)[-1].split("_", maxsplit=1)[0])


class Server:
    """Serves ARCHIVE; the first `breaks` responses end half-way."""

    def __init__(self, breaks: int) -> None:
        self.requests = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(ARCHIVE)))
                self.end_headers()
                broken = outer.requests <= breaks
                self.wfile.write(ARCHIVE[: len(ARCHIVE) // 2] if broken else ARCHIVE)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/aclImdb_v1.tar.gz"


@pytest.fixture
def serve() -> Iterator[type[Server]]:
    servers: list[Server] = []

    class Kept(Server):
        def __init__(self, breaks: int) -> None:
            super().__init__(breaks)
            servers.append(self)

    yield Kept
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without pooch's growing delays."""
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)


def archive_dataset(folder: Path, url: str, content: bytes = ARCHIVE) -> DownloadedTarDataset:
    return DownloadedTarDataset(
        filepath=str(folder / "raw/aclImdb_v1.tar.gz"),
        url=url,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def run(folder: Path, dataset: DownloadedTarDataset) -> Path:
    path = folder / "imdb_reviews.csv"
    catalog = DataCatalog(
        {
            "imdb_archive": dataset,
            "imdb_reviews": TableDataset(filepath=str(path)),
            "imdb_unlabelled_reviews": TableDataset(
                filepath=str(folder / "imdb_unlabelled_reviews.csv")
            ),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return path


@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_a_broken_transfer_is_begun_again(
    breaks: int, serve: type[Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    server = serve(breaks)
    frame = pd.read_csv(run(tmp_path, archive_dataset(tmp_path, server.url)))
    assert server.requests == breaks + 1
    assert frame.columns.tolist() == ["review", "sentiment", "split", "block"]
    assert frame.to_dict("records") == [
        {
            "review": text,
            "sentiment": "positive" if "/pos/" in name else "negative",
            "split": name.split("/")[1],
            "block": f"{name.split('/')[1]}/{name.split('/')[2]}/{number_of(name) // 500}",
        }
        for name, text in REVIEWS.items()
    ]
    reported = [found for record in caplog.records if (found := get_progress(record))]
    first, *_ = (found for found in reported if found["ended"])
    assert first["task"] == "Downloading aclImdb_v1.tar.gz"
    assert first["done"] == first["total"] == pytest.approx(len(ARCHIVE) / 1e6)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "aclImdb_v1.tar.gz",
        "imdb_reviews.csv",
        "imdb_unlabelled_reviews.csv",
        "raw",
    ]
    unlabelled = pd.read_csv(tmp_path / "imdb_unlabelled_reviews.csv")
    assert unlabelled.to_dict("list") == {"review": ["no label"]}


def test_a_download_is_kept(serve: type[Server], tmp_path: Path) -> None:
    server = serve(0)
    for _ in range(2):
        run(tmp_path, archive_dataset(tmp_path, server.url))
    assert server.requests == 1


def refusal(folder: Path, dataset: DownloadedTarDataset) -> str:
    with pytest.raises(Exception, match=r".") as caught:
        run(folder, dataset)
    error = find_input_error(caught.value)
    assert error is not None
    assert not (folder / "imdb_reviews.csv").exists()
    return str(error)


def test_a_transfer_that_always_breaks_is_explained(serve: type[Server], tmp_path: Path) -> None:
    server = serve(100)
    message = refusal(tmp_path, archive_dataset(tmp_path, server.url))
    assert server.url in message
    assert "--params imdb_archive=PATH" in message
    assert server.requests == 3
    assert not list((tmp_path / "raw").iterdir())


def test_without_a_network_the_way_out_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, archive_dataset(tmp_path, "http://127.0.0.1:9/a.tar.gz"))
    assert "could not fetch http://127.0.0.1:9/a.tar.gz" in message
    assert "--params imdb_archive=PATH" in message


def test_another_file_than_the_official_one_is_refused(serve: type[Server], tmp_path: Path) -> None:
    dataset = archive_dataset(tmp_path, serve(0).url, content=b"official")
    assert "hash" in refusal(tmp_path, dataset)
    assert not list((tmp_path / "raw").iterdir())


def test_a_disk_that_takes_no_more_is_no_broken_connection(
    serve: type[Server], tmp_path: Path
) -> None:
    """A limit of the size of files stands for the full disk: writing fails half-way, too."""
    server = serve(0)
    before, highest = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(ARCHIVE) // 2, highest))
    try:
        message = refusal(tmp_path, archive_dataset(tmp_path, server.url))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, highest))
    assert "can't be used: the file exceeds the size limit" in message
    assert server.url not in message
    assert server.requests == 1
    assert not list((tmp_path / "raw").iterdir())


def own(path: Path) -> DownloadedTarDataset:
    return DownloadedTarDataset(
        filepath=str(path.parent / "raw/none.tar.gz"),
        url="http://127.0.0.1:9/none",
        sha256="0" * 64,
        own_archive=str(path),
    )


def test_an_archive_of_ones_own_needs_no_network(tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(ARCHIVE)
    assert len(pd.read_csv(run(tmp_path, own(path)))) == len(REVIEWS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ARCHIVE[: len(ARCHIVE) // 2], "is damaged"),
        (ARCHIVE[:2000] + b"\x00" * 50 + ARCHIVE[2050:], "is damaged"),
        (b"not an archive", "is damaged"),
        (make_archive({"elsewhere/0_1.txt": "x"}), "not the Large Movie Review Dataset"),
        (None, "does not exist"),
    ],
)
def test_an_unusable_archive_is_explained(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.tar.gz"
    if content is not None:
        path.write_bytes(content)
    assert message in refusal(tmp_path, own(path))


def test_members_are_read_one_by_one() -> None:
    taken = 0

    def members() -> Iterator[tuple[str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield f"aclImdb/train/pos/{taken}_9.txt", "text"

    chunk = next(collect_reviews(members()))
    assert len(chunk) == taken == 5000
