"""What of a URL is shown."""

import pytest

from imdb_sentiment.urls import hide_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://example.org/a.csv?X-Amz-Signature=secret", "https://example.org/a.csv"),
        ("https://me:secret@example.org/a.csv", "https://example.org/a.csv"),
        ("best http://example.org/a.csv?key=secret", "best http://example.org/a.csv"),
        ("postgresql://me:secret@db/trials", "postgresql://db/trials"),
        (
            "http://a.example/x#secret and http://b.example/y",
            "http://a.example/x and http://b.example/y",
        ),
        ("s3://bucket/part-?.csv", "s3://bucket/part-?.csv"),
        ("abfs://box@account.example/a.csv", "abfs://box@account.example/a.csv"),
        ("postgresql://me:p@ss@db/trials?password=secret", "postgresql://db/trials"),
        ("postgresql://me:s/e?c#ret@db/trials", "postgresql://db/trials"),
        ("postgresql://me:p/a@ss@db/trials", "postgresql://db/trials"),
        ("postgresql+psycopg://db:5432/x?password=a@b", "postgresql+psycopg://db:5432/x"),
        ("hdfs://namenode:8020/user/me@corp/a.csv", "hdfs://namenode:8020/user/me@corp/a.csv"),
        ("https://example.org:80/a@b", "https://example.org:80/a@b"),
        ("HTTPS://example.org/a.csv?key=secret", "HTTPS://example.org/a.csv"),
        ("what? me@example.org", "what? me@example.org"),
    ],
)
def test_secrets_of_a_url_are_hidden(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown
    assert hide_secrets({"a": [text, 1, None], "b": {"c": text}}) == {
        "a": [shown, 1, None],
        "b": {"c": shown},
    }
