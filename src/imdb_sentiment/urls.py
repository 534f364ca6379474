"""What of a URL may be shown in documents that are passed on."""

import re
from typing import Any

_USER = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"(https?://[^\s?#]*)\S*")  # of a bucket, `?` is part of a pattern


def hide_secrets(value: Any) -> Any:
    """Return JSON values whose URLs have no user, password and query, which may be secret."""
    if isinstance(value, dict):
        return {name: hide_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hide_secrets(item) for item in value]
    return _QUERY.sub(r"\1", _USER.sub("", value)) if isinstance(value, str) else value
