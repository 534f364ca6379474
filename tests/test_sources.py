"""Tables of all kinds as the source of data_processing and inference, as docs/data.md has them."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pandas as pd
import pytest
import sqlalchemy
import yaml
from click import ClickException

from helpers import PROJECT, find_free_port, make_project, make_reviews, run_session, write_csv
from imdb_sentiment.framework.lineage import Lineage
from postgres import run_postgres


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


STARS = ("1", "2", "3")
ENTRIES = {
    entry["raw_reviews"]["type"]: entry
    for block in re.findall(
        r"```yaml\n(raw_reviews:.*?)```", (PROJECT / "docs/data.md").read_text("utf-8"), re.S
    )
    for entry in [yaml.safe_load(block)]
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [(text, int(stars)) for text, stars in make_reviews(150, STARS)]
    return pd.DataFrame(rows, columns=["body", "stars"]).rename_axis("id").reset_index()


def configure(project: Path, name: str, content: Any) -> None:
    (project / f"conf/local/{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")


def process(project: Path, **parameters: str) -> dict[str, Any]:
    """Process the data; return the audit and the settings that were found."""
    run_session(project, "data_processing", **parameters)
    folder = project / "data/02_intermediate"
    found: dict[str, Any] = json.loads((folder / "audit.json").read_text("utf-8"))
    settings = json.loads((folder / "review_settings.json").read_text("utf-8"))
    return found | {"columns": (settings["text_column"], settings["label_column"])}


def expect_all(found: dict[str, Any]) -> None:
    assert found["columns"] == ("body", "stars")
    assert found["accepted_by_label"] == dict.fromkeys(STARS, 50)
    assert (found["rows_read"], found["rejected"]) == (150, 0)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("t.csv", lambda table, path: table.to_csv(path, sep=";", encoding="utf-16", index=False)),
        ("t.jsonl.gz", lambda table, path: table.to_json(path, orient="records", lines=True)),
        ("t.parquet", lambda table, path: table.to_parquet(path)),
    ],
)
def test_the_name_is_enough(
    project: Path, table: pd.DataFrame, name: str, save: Callable[[pd.DataFrame, Path], None]
) -> None:
    save(table, project / "data/01_raw" / name)
    expect_all(process(project, reviews_file=name))


def test_a_url_is_enough(project: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    table.to_json(tmp_path / "www/t.jsonl.gz", orient="records", lines=True)
    handler = partial(QuietHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", find_free_port()), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        expect_all(process(project, reviews_file=f"{url}/t.jsonl.gz?version=1"))
        with pytest.raises(ClickException, match=r"/none\.csv does not exist: check the address"):
            process(project, reviews_file=f"{url}/none.csv")
        server.shutdown()


@pytest.mark.parametrize("kind", ["pandas.JSONDataset", "pandas.ParquetDataset"])
def test_datasets_of_kedro_are_sources(project: Path, table: pd.DataFrame, kind: str) -> None:
    table.to_json(project / "data/01_raw/reviews.json", orient="records", lines=True)
    table.to_parquet(project / "data/01_raw/reviews.parquet")
    configure(project, "catalog", ENTRIES[kind])
    expect_all(process(project))


def run_query(project: Path, table: pd.DataFrame, address: str) -> None:
    engine = sqlalchemy.create_engine(address)
    table.loc[len(table)] = [len(table), None, 1]
    table.to_sql("reviews", engine, index=False)
    engine.dispose()
    configure(project, "catalog", ENTRIES["pandas.SQLQueryDataset"])
    configure(project, "credentials", {"reviews_database": {"con": address}})
    found = process(project)
    assert found["accepted_by_label"] == dict.fromkeys(STARS, 50)
    assert found["rejected_examples"] == ["row 151: no text"]
    assert address not in (project / "data/lineage.json").read_text("utf-8")


def test_a_query_is_a_source(project: Path, table: pd.DataFrame) -> None:
    run_query(project, table, f"sqlite:///{project}/reviews.db")
    before = Lineage(project).read()["review_settings"].inputs["raw_reviews"]
    entry = ENTRIES["pandas.SQLQueryDataset"]
    entry = {"raw_reviews": {**entry["raw_reviews"], "sql": "select body, stars from reviews"}}
    configure(project, "catalog", entry)
    process(project)
    after = Lineage(project).read()["review_settings"].inputs["raw_reviews"]
    assert before.options != after.options  # another query is another source


@pytest.mark.postgres
def test_a_query_in_postgresql_is_a_source(project: Path, table: pd.DataFrame) -> None:
    with run_postgres() as server:
        url = sqlalchemy.make_url(server.url)
        url = url.set(username=server.username, password=server.password)
        run_query(project, table, url.render_as_string(hide_password=False))


@pytest.mark.parametrize(
    ("source", "target"),
    [("in.csv", "out.jsonl"), ("in.jsonl", "out.csv.gz"), ("in.parquet", "out.parquet")],
)
def test_inference_reads_and_writes_each_format(
    copy_of_finished: Path, source: str, target: str
) -> None:
    table = pd.DataFrame({"n": [7, 8, 9], "review": ["a superb film", "", "unknownword"]})
    {
        "in.csv": lambda: table.to_csv(copy_of_finished / source, sep=";", index=False),
        "in.jsonl": lambda: table.to_json(copy_of_finished / source, orient="records", lines=True),
        "in.parquet": lambda: table.to_parquet(copy_of_finished / source),
    }[source]()
    files = {"input_file": str(copy_of_finished / source)}
    run_session(copy_of_finished, "inference", **files, output_file=str(copy_of_finished / target))
    read: dict[str, Callable[[Path], pd.DataFrame]] = {
        "out.jsonl": lambda path: pd.read_json(path, lines=True),
        "out.csv.gz": pd.read_csv,
        "out.parquet": pd.read_parquet,
    }
    scored = read[target](copy_of_finished / target)
    assert scored["n"].astype(int).tolist() == [7, 8, 9]
    assert scored["predicted_sentiment"].notna().tolist() == [True, False, False]
    assert scored["not_predicted_because"].fillna("").tolist() == [
        "",
        "no text",
        "no word that the model knows",
    ]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Return the options of a bucket in a server of its own."""
    from moto.server import ThreadedMotoServer  # only now: it takes seconds

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unknown")
    server = ThreadedMotoServer("127.0.0.1", find_free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "key": "a",
        "secret": "b",
        "client_kwargs": {"endpoint_url": f"http://{host}:{port}"},
    }
    store = fsspec.filesystem("s3", **options)
    try:
        store.mkdir("bucket")
        yield options
        store.rm("bucket", recursive=True)
    finally:
        server.stop()
        store.clear_instance_cache()


@pytest.mark.slow
def test_a_bucket_is_a_source(project: Path, table: pd.DataFrame, bucket: dict[str, Any]) -> None:
    table.to_json(
        "s3://bucket/reviews.jsonl.gz", orient="records", lines=True, storage_options=bucket
    )
    configure(project, "catalog", ENTRIES["imdb_sentiment.datasets.TableDataset"])
    configure(project, "credentials", {"bucket": bucket})
    expect_all(process(project))

    table.to_parquet("s3://bucket/parts/1.parquet", storage_options=bucket)
    entry = {"type": "imdb_sentiment.datasets.TableDataset", "credentials": "bucket"}
    configure(project, "catalog", {"raw_reviews": {**entry, "filepath": "s3://bucket/parts"}})
    expect_all(process(project))

    configure(project, "catalog", {"raw_reviews": {**entry, "filepath": "s3://bucket/none.csv"}})
    with pytest.raises(ClickException, match=r"s3://bucket/none\.csv does not exist"):
        process(project)


@pytest.mark.slow
def test_inference_reads_from_and_writes_to_a_bucket(
    copy_of_finished: Path, bucket: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket["client_kwargs"]["endpoint_url"])
    store = fsspec.filesystem("s3", **bucket)
    local = write_csv(copy_of_finished / "in.csv", [("a superb film",), ("",)], ("review",))
    store.put_file(str(local), "bucket/in.csv")
    files = {"input_file": "s3://bucket/in.csv", "output_file": "s3://bucket/out/scored.parquet"}
    run_session(copy_of_finished, "inference", **files)
    scored = pd.read_parquet("s3://bucket/out/scored.parquet", storage_options=bucket)
    assert scored["predicted_sentiment"].notna().tolist() == [True, False]
    assert not list(copy_of_finished.rglob("scored.parquet"))  # nothing of that name lies here

    files["output_file"] = "s3://nowhere/failed.csv"
    with pytest.raises(
        ClickException,
        match=r"s3://nowhere/failed\.csv does not exist: check the address and the folder",
    ):
        run_session(copy_of_finished, "inference", **files)

    # What fails on the way leaves nothing under the final name.
    local.write_text('review\nfine\n"never closed\n')
    store.put_file(str(local), "bucket/in.csv")
    files["output_file"] = "s3://bucket/out/failed.csv"
    with pytest.raises(ClickException, match="is never closed"):
        run_session(copy_of_finished, "inference", **files)
    assert not store.exists("bucket/out/failed.csv")


def test_what_was_meant_for_elsewhere_is_not_written_here(
    copy_of_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy_of_finished)
    shutil.copy(copy_of_finished / "data/01_raw/custom_reviews.csv", "in.csv")
    before = sorted(copy_of_finished.iterdir())
    run_session(
        copy_of_finished, "inference", input_file="in.csv", output_file="memory://folder/out.csv"
    )
    with fsspec.open("memory://folder/out.csv") as file:
        assert len(pd.read_csv(file)) == 10
    assert sorted(copy_of_finished.iterdir()) == before
