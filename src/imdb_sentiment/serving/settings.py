"""Settings of the service."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from imdb_sentiment.cores import count_cores


class ServiceSettings(BaseModel):
    """Limits of the service, and the clients that may use it.

    Attributes:
        max_texts: Maximum number of texts per request.
        max_characters: Maximum number of characters per text.
        max_upload: Maximum size of a CSV in bytes.
        threads: Number of requests that are processed in parallel. Uploads have a
            separate process.
        queue_size: Maximum number of requests that wait for a thread; beyond that, the response is
            503.
        timeout: Maximum time for a request to arrive, and again for its response, in seconds.
        upload_timeout: The same for the upload of a CSV, in seconds.
        allowed_origins: Other sites whose pages may use the service, such as `https://example.org`.
        allowed_hosts: Names under which clients may call the service, except `localhost` and IP
            addresses, which are always accepted; `*` for any.
        api_key: Key that clients must send in the header `X-API-Key`; None to require no key.
        api_keys_file: File with further keys and the names of their owners; see `ApiKeys`.
        rate: Maximum number of requests per second and client, on average; None for no limit. A
            client is the owner of a key in that file, or otherwise an IP address; see
            `find_network`.
        burst: Number of requests that a client may send at once after a pause.
        records: Folder with the records of evaluated models; the record of this model, if there is
            one, has its test scores.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_texts: Annotated[int, Field(ge=1)] = 64
    max_characters: Annotated[int, Field(ge=1)] = 20_000
    max_upload: Annotated[int, Field(ge=1)] = 50_000_000
    threads: Annotated[int, Field(ge=1)] = count_cores()
    queue_size: Annotated[int, Field(ge=0)] = 256
    timeout: Annotated[float, Field(gt=0)] = 10
    upload_timeout: Annotated[float, Field(gt=0)] = 300
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    api_keys_file: Path | None = None
    rate: Annotated[float, Field(gt=0)] | None = None
    burst: Annotated[int, Field(ge=1)] = 20
    records: Path = Path("data/08_reporting/runs")

    @property
    def max_text_body(self) -> int:
        """Maximum size in bytes of the JSON of one text.

        A character takes up to twelve bytes, as an escaped surrogate pair.
        """
        return 12 * self.max_characters + 1000

    @property
    def max_body(self) -> int:
        """Maximum size in bytes of the JSON of a request."""
        return self.max_texts * self.max_text_body
