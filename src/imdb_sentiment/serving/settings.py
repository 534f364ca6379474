"""What a service may be told."""

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ServiceSettings(BaseModel):
    """Limits of the service, and who may use it.

    Attributes:
        max_texts: Texts in one request.
        max_characters: Characters of one text.
        max_upload: Bytes of a CSV.
        threads: Requests worked on at a time; uploads have one thread of their own.
        queue_size: Requests that may wait for one of these; beyond that the answer is 503.
        timeout: Seconds that a request may take to arrive, and again to be answered.
        upload_timeout: The same of an upload.
        allowed_origins: Other sites whose pages may ask, such as `https://example.org`.
        api_key: What clients must send as `X-API-Key`; anyone may ask if None.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_texts: Annotated[int, Field(ge=1)] = 64
    max_characters: Annotated[int, Field(ge=1)] = 20_000
    max_upload: Annotated[int, Field(ge=1)] = 50_000_000
    threads: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    queue_size: Annotated[int, Field(ge=0)] = 256
    timeout: Annotated[float, Field(gt=0)] = 10
    upload_timeout: Annotated[float, Field(gt=0)] = 300
    allowed_origins: tuple[str, ...] = ()
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None

    @property
    def max_body(self) -> int:
        """Bytes of the JSON of as many texts as may be."""
        return self.max_texts * self.max_text_body

    @property
    def max_text_body(self) -> int:
        """Bytes of the JSON of one text: a character may take twelve, as an escaped pair."""
        return 12 * self.max_characters + 1000
