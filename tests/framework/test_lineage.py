"""Which datasets are stale, by their records."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import nest
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.lineage import (
    FILE,
    Input,
    Lineage,
    Record,
    Staleness,
    digest_value,
    flatten,
)

# raw.csv → clean → train, test → model
INPUTS: dict[str, list[str]] = {
    "clean": ["raw"],
    "train": ["clean"],
    "test": ["clean"],
    "model": ["train"],
}
OUTPUTS = {"train": ("test", "train"), "test": ("test", "train")}
PARAMETERS = {"clean": {"split": {"seed": 1}}, "model": {"training": {"rate": 0.1, "layers": []}}}
NAMES = ("raw", *INPUTS)


def make_record(name: str, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "path": f"data/{name}",
        "digest": name,
        "node": f"make_{name}",
        "outputs": OUTPUTS.get(name, (name,)),
        "inputs": {i: Input(path=f"data/{i}", digest=i) for i in INPUTS[name]},
        "parameters": PARAMETERS.get(name, {}),
        "given": (),
        "env": "local",
        "code": "",
        "run": "1",
        "time": "2026-11-27T03:04:05.678+00:00",
    }
    return Record(**values | changes)


GONE = object()  # a parameter that conf/ no longer has


def judge(
    records: dict[str, Record] | None = None,
    files: dict[str, str | None] | None = None,
    parameters: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Return the reason of each stale dataset."""
    present = {f"data/{name}": name for name in NAMES} | (files or {})
    given = {"split.seed": 1, "training.rate": 0.1, "training.layers": []} | (parameters or {})
    nested = nest({key: value for key, value in given.items() if value is not GONE})
    records = {name: make_record(name) for name in INPUTS} | (records or {})

    def digest(path: str | None) -> str | None:
        return present.get(str(path))

    def get(name: str) -> Any:
        value: Any = nested
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    staleness = Staleness(records, digest, digest, get)
    reasons = {name: staleness.explain(name) for name in records}
    return {name: reason.text for name, reason in reasons.items() if reason}


def test_nothing_is_stale_if_nothing_has_changed() -> None:
    assert judge() == {}


def test_a_file_of_the_user_that_has_changed_makes_all_stale() -> None:
    stale = judge(files={"data/raw": "other"})
    assert stale.keys() == INPUTS.keys()
    assert set(stale.values()) == {
        "data/raw has changed since clean (2026-11-27 03:04:05 UTC) was made from it"
    }


def test_a_missing_file_of_an_earlier_step_changes_nothing() -> None:
    assert judge(files={"data/raw": None, "data/clean": None}) == {}


def test_a_file_that_was_changed_by_hand_is_stale_with_what_was_made_from_it() -> None:
    stale = judge(files={"data/train": "other"})
    assert stale.keys() == {"train", "model"}
    assert "data/train has changed since it was made" in stale["model"]


def test_an_input_that_was_made_again_makes_what_it_was_made_of_stale() -> None:
    new = {"digest": "new", "run": "2"}
    again = {name: make_record(name, **new) for name in ("train", "test")}
    stale = judge(again, {"data/train": "new", "data/test": "new"})
    assert stale.keys() == {"model"}
    says = "was made from a version of train other than the current one (2026-11-27"
    assert says in stale["model"]


def test_an_input_that_was_made_again_with_the_same_content_changes_nothing() -> None:
    again = {name: make_record(name, run="2") for name in ("train", "test")}
    assert judge(again) == {}


def test_outputs_of_one_node_belong_to_one_run() -> None:
    stale = judge({"train": make_record("train", run="2")})
    assert stale.keys() == {"train", "test", "model"}
    assert "in a different run from test" in stale["train"]


def test_a_parameter_that_is_new_or_gone_makes_stale_what_depends_on_it() -> None:
    new = judge(parameters={"training.momentum": 3})
    assert "without training.momentum, which is 3 now" in new["model"]
    gone = judge(parameters={"split.seed": GONE})
    assert "with split.seed=1, which is missing now" in gone["clean"]
    assert judge(parameters={"training.rate": None})["model"].endswith("0.1, which is null now")


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"split.seed": 2}, {"clean", "train", "test", "model"}),
        ({"training.rate": 0.2}, {"model"}),
        ({"training.layers": [1]}, {"model"}),
        ({"other.rate": 3}, set()),
    ],
)
def test_another_parameter_makes_stale_what_depends_on_it(
    change: dict[str, Any], stale: set[str]
) -> None:
    found = judge(parameters=change)
    assert found.keys() == stale
    ((key, now),) = change.items()
    assert all(f"with {key}=" in text and f"is {now} now" in text for text in found.values())


VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3),
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES))
def test_flat_parameters_differ_if_and_only_if_the_nested_ones_do(value: dict[str, Any]) -> None:
    assert nest(dict(flatten(value))) == value


def test_labels_are_no_part_of_a_name() -> None:
    for label in ("Node.js", "4.5", "[x]", "Food, drink", "a=b"):
        weights = {"good": 2, label: 5}
        found = dict(flatten({"training": {"seed": 1, "class_weight": weights}}))
        assert found == {"training.seed": 1, "training.class_weight": weights}
    plain = ("not bad", "1", "Q&A", "C++", "don't", "नमस्ते")
    weights = dict.fromkeys(plain, 2)
    names = [name for name, _ in flatten({"training": {"class_weight": weights}})]
    assert names == [f"training.class_weight.{label}" for label in plain]


def test_a_local_file_may_be_given_by_its_url(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    file = tmp_path / "data/a b.csv"
    file.parent.mkdir()
    file.write_text("a", encoding="utf-8")
    for url in (f"file://{file}", f"local://{file}"):
        assert lineage.name_path(url) == "data/a b.csv"
    assert lineage.digest(lineage.name_path(f"file://{file}")) == lineage.digest("data/a b.csv")
    assert lineage.name_path("s3://bucket/a.csv") == "s3://bucket/a.csv"


def test_a_value_that_is_a_group_now_is_not_missing() -> None:
    model = make_record("model", parameters={"training": {"layers": None}})
    now = {"training.rate": GONE, "training.layers": {"first": 1}}
    (text,) = judge({"model": model}, parameters=now).values()
    assert 'with training.layers=null, which is {"first": 1} now' in text


def test_records_survive_and_unused_ones_go(tmp_path: Path) -> None:
    first = Lineage(tmp_path)
    first.add("train", make_record("train", run="1"), {"keras": "3"})
    first.add("test", make_record("test", run="2"), {"keras": "3"})
    first.add("train", make_record("train", run="2"), {"keras": "3"})
    assert Lineage(tmp_path).read() == {
        "test": make_record("test", run="2"),
        "train": make_record("train", run="2"),
    }
    assert '"1"' not in (tmp_path / FILE).read_text(encoding="utf-8")


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    path = tmp_path / "a"
    assert lineage.digest("a") is None
    path.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert lineage.digest("a") == abc
    path.write_bytes(b"abcd")
    assert lineage.digest("a") != abc
    path.write_bytes(b"abc")
    assert lineage.digest("a") == abc
    assert lineage.digest(None) == lineage.digest(None) != lineage.digest("a")


def test_a_digest_is_kept_with_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/test").write_bytes(b"abc")
    lineage = Lineage(tmp_path)
    digest = lineage.digest("data/test")
    lineage.add("test", make_record("test"), {})
    again = Lineage(tmp_path)
    again.read()
    monkeypatch.setattr("hashlib.file_digest", None)
    assert again.digest("data/test") == digest


def test_the_digest_of_a_pattern_is_that_of_its_files(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    (tmp_path / "parts").mkdir()
    for name in ("1.csv", "2.csv", "notes.txt"):
        (tmp_path / "parts" / name).write_text(name)
    one = lineage.digest("parts/*.csv")
    (tmp_path / "parts/notes.txt").write_text("other")
    assert lineage.digest("parts/*.csv") == one
    (tmp_path / "parts/2.csv").write_text("another")  # another size: the time may be the same
    changed = lineage.digest("parts/*.csv")
    (tmp_path / "parts/2.csv").rename(tmp_path / "parts/3.csv")
    assert len({one, changed, lineage.digest("parts/*.csv")}) == 3
    (tmp_path / "a[1].csv").write_text("a file of that name")
    assert lineage.digest("a[1].csv") == lineage.digest_output("a[1].csv")


def test_the_digest_of_a_folder_leaves_out_temporary_files(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    (tmp_path / "runs/1").mkdir(parents=True)
    (tmp_path / "runs/1/record.json").write_text("1")
    one = lineage.digest("runs")
    (tmp_path / "runs/.record.partial.json").write_text("1")
    assert lineage.digest("runs") == one
    (tmp_path / "runs/2").mkdir()
    (tmp_path / "runs/2/record.json").write_text("1")
    changed = lineage.digest("runs")
    assert changed not in (one, None)
    (tmp_path / "runs/_SUCCESS").write_text("")  # neither a table reads
    for hidden in (".ipynb_checkpoints", "_temporary"):
        (tmp_path / "runs" / hidden).mkdir()
        (tmp_path / "runs" / hidden / "record.json").write_text("2")
    assert lineage.digest("runs") == changed
    assert lineage.digest_output("runs") is None
    assert lineage.digest("runs/*.csv") is None


def test_the_digest_of_a_folder_follows_links(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    for folder in ("parts", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "other/1.csv").write_text("1")
    (tmp_path / "parts/more").symlink_to(tmp_path / "other")
    one = [lineage.digest(place) for place in ("parts", "parts/*/*.csv")]
    (tmp_path / "other/1.csv").write_text("other")
    two = [lineage.digest(place) for place in ("parts", "parts/*/*.csv")]
    assert len({None, *one, *two}) == 5


def test_files_in_a_folder_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/1.csv").write_text("1")
    (tmp_path / "data/clean").write_text("1")
    lineage = Lineage(tmp_path)
    digest = lineage.digest("data/raw")
    inputs = {"raw": Input(path="data/raw", digest=str(digest))}
    lineage.add("clean", make_record("clean", inputs=inputs), {})
    again = Lineage(tmp_path)
    again.read()
    monkeypatch.setattr("hashlib.file_digest", None)
    assert again.digest("data/raw") == digest


def test_a_damaged_file_of_records_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text("{")
    with pytest.raises(InputError, match=r"lineage\.json is damaged.*delete it"):
        Lineage(tmp_path).read()


def test_digests_of_values_do_not_depend_on_the_order_of_keys() -> None:
    assert digest_value({"a": 1, "b": [1, 2]}) == digest_value({"b": [1, 2], "a": 1})
    assert digest_value({"a": 1}) != digest_value({"a": 2})


def test_runs_that_write_at_once_lose_no_records(tmp_path: Path) -> None:
    names = [f"set{number}" for number in range(20)]

    def add(name: str) -> None:
        Lineage(tmp_path).add(name, make_record("train", path=f"data/{name}"), {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, names))
    assert Lineage(tmp_path).read().keys() == set(names)


def test_records_that_are_not_written_whole_leave_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lineage(tmp_path).add("train", make_record("train"), {})
    write = Path.write_text

    def write_half(self: Path, text: str, **options: Any) -> None:
        write(self, text[: len(text) // 2], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(KeyboardInterrupt):
        Lineage(tmp_path).add("test", make_record("test"), {})
    assert Lineage(tmp_path).read().keys() == {"train"}


def test_a_change_that_keeps_the_size_is_noticed(tmp_path: Path) -> None:
    lineage, path = Lineage(tmp_path), tmp_path / "a"
    digests = []
    for seconds, label in enumerate(("1", "0")):
        path.write_text(label)
        os.utime(path, (seconds, seconds))
        digests.append(lineage.digest("a"))
    assert digests[0] != digests[1]
