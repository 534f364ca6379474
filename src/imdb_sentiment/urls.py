"""What of a URL may be shown in documents that are passed on."""

import re
from typing import Any

# URLs of buckets have no secrets; `@` is part of a name, and `?` of a pattern.
_SCHEME = r"\b(?!(?:s3a?|gc?s|abfss?|wasbs?|az)://)[a-z][a-z0-9+.-]*://"
# A password of a database may contain any character except @.
_USER = re.compile(
    rf"({_SCHEME})(?:[^/?#\s]*|(?<!https://)(?<!http://)[^/:@\s]*:[^@\s]*)@", re.IGNORECASE
)
_QUERY = re.compile(rf"({_SCHEME}[^?#\s]*)[?#]\S*", re.IGNORECASE)


def hide_secrets(value: Any) -> Any:
    """Return JSON values whose URLs have no user, password and query, which may be secret."""
    if isinstance(value, dict):
        return {name: hide_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hide_secrets(item) for item in value]
    return _QUERY.sub(r"\1", _USER.sub(r"\1", value)) if isinstance(value, str) else value
