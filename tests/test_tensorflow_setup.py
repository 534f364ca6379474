import os

import pytest

from imdb_sentiment.tensorflow_setup import tensorflow_setup


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("3", "3")])
def test_an_operation_has_one_thread_unless_told_otherwise(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    if given:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", given)
    with tensorflow_setup():
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == expected


def test_what_a_library_writes_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    with tensorflow_setup():
        os.write(2, b"no GPU")
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"
