"""A digest of the package's code, by which a run compares that of its workers with its own."""

import hashlib
from pathlib import Path


def _digest_package() -> str:
    """Return a digest of the names and contents of all modules."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


PACKAGE_DIGEST = _digest_package()
