"""A digest of the package's code, by which a run compares that of its workers with its own."""

import hashlib
from pathlib import Path


def _digest_package() -> str:
    """Return a digest of the names and contents of all modules."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if not any(part.startswith(".") for part in name.parts):  # copies that editors keep
            content = path.read_bytes().replace(b"\r\n", b"\n")  # as git may write them
            digest.update(name.as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


PACKAGE_DIGEST = _digest_package()
