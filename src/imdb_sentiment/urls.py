"""What of a URL may be shown in documents that are passed on."""

import re
from typing import Any

# URLs of buckets have no secrets; `@` is part of a name, and `?` of a pattern.
_SCHEME = r"\b(?!(?:s3a?|gc?s|abfss?|wasbs?|az)://)[a-z][a-z0-9+.-]*://"
_USER = re.compile(rf"({_SCHEME})[^/?#\s]*@", re.IGNORECASE)
# The password of a database may contain any character.
_USER_OF_DATABASE = re.compile(
    r"\b((?:postgres|mysql|mariadb|oracle|mssql|redis)[a-z0-9+.-]*://)"
    r"(?:[^?#\s]*|[^/:?#@\s]*:(?!\d+[/?#])[^@\s]*)@",
    re.IGNORECASE,
)
_QUERY = re.compile(rf"({_SCHEME}[^?#\s]*)[?#]\S*", re.IGNORECASE)


def hide_secrets(value: Any) -> Any:
    """Return JSON values whose URLs have no user, password and query, which may be secret."""
    if isinstance(value, dict):
        return {name: hide_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hide_secrets(item) for item in value]
    if isinstance(value, str):
        for pattern in (_USER_OF_DATABASE, _USER, _QUERY):
            value = pattern.sub(r"\1", value)
    return value
