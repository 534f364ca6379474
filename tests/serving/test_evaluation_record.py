import json
from pathlib import Path

from imdb_sentiment.serving.evaluation_record import find_test_scores
from services import write_record


def test_the_scores_are_those_of_the_model(finished: tuple[Path, str]) -> None:
    """A run has evaluated it."""
    data = finished[0] / "data"
    model = (data / "06_models/model.onnx").read_bytes()
    scores = find_test_scores(data / "08_reporting/runs", model)
    assert scores is not None
    assert scores.accuracy_low <= scores.accuracy <= scores.accuracy_high
    assert scores.reviews > 0
    assert len(scores.recall) == 3
    assert find_test_scores(data / "08_reporting/runs", model + b"\0") is None


def test_of_several_records_the_latest_counts(tmp_path: Path) -> None:
    assert find_test_scores(tmp_path, b"model") is None
    write_record(tmp_path, b"model", "2026-01-01")
    latest = tmp_path / "record.json/2026-01-01/record.json"
    latest.write_text(latest.read_text().replace("0.8", "0.7"))
    write_record(tmp_path, b"model", "2026-01-02")
    write_record(tmp_path, b"another model", "2026-01-03")
    for name, content in (("4", b"\xff"), ("5", b"{"), ("6", b"[]"), ("7", b"{}")):
        path = tmp_path / f"record.json/2026-01-0{name}/record.json"
        path.parent.mkdir()
        path.write_bytes(content)
    scores = find_test_scores(tmp_path, b"model")
    assert scores is not None
    assert (scores.accuracy, scores.recall) == (0.8, {"negative": 0.7, "positive": 0.9})


def test_it_is_told_whether_the_search_had_seen_the_test_reviews(tmp_path: Path) -> None:
    write_record(tmp_path, b"model")
    unseen = find_test_scores(tmp_path, b"model")
    path = tmp_path / "record.json/2026-01-02/record.json"
    path.write_text(path.read_text().replace("true", "false"))
    seen = find_test_scores(tmp_path, b"model")
    assert unseen is not None
    assert seen is not None
    assert (unseen.is_unseen, seen.is_unseen) == (True, False)


def test_the_share_of_answers_is_told_if_there_may_be_none(tmp_path: Path) -> None:
    write_record(tmp_path, b"model")
    path = tmp_path / "record.json/2026-01-02/record.json"
    always = find_test_scores(tmp_path, b"model")
    record = json.loads(path.read_text())
    answers = {"min_confidence": 0.0, "test_coverage": 0.3, "test_accuracy_answered": 0.95}
    path.write_text(json.dumps(record | {"metrics": record["metrics"] | answers}))
    scores = find_test_scores(tmp_path, b"model")
    assert always is not None
    assert scores is not None
    assert (always.coverage, always.accuracy_answered) == (None, None)
    assert (scores.coverage, scores.accuracy_answered) == (0.3, 0.95)


def test_a_record_of_an_earlier_version_tells_nothing(tmp_path: Path) -> None:
    write_record(tmp_path, b"model")
    path = tmp_path / "record.json/2026-01-02/record.json"
    path.write_text(path.read_text().replace("majority_test_accuracy", "majority"))
    assert find_test_scores(tmp_path, b"model") is None
