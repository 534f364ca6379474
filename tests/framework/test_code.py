"""Which changes of the code make a node run again."""

import importlib
import shutil
from pathlib import Path

import pytest

from helpers import PROJECT
from imdb_sentiment.framework.code import PackageCode
from imdb_sentiment.pipeline_registry import DEFAULT

FILES = {
    "__init__.py": "__version__ = '1'\n",
    "errors.py": "class InputError(ValueError):\n    x = 1\n\n\ndef unused():\n    return 2\n",
    "text/__init__.py": "",
    "text/words.py": '''"""Words."""
import re
from package.errors import InputError

PATTERN = "a"
FIRST, SECOND = 1, 2
NAMES: dict[str, int] = {}


@property
def split(text):
    """Split."""
    return re.split(PATTERN, text, FIRST)


def other(text):
    return SECOND


class Rule:
    """A rule."""

    def check(self):
        """Check."""
        raise InputError
''',
    "text/scripts.py": "SCRIPT = 1\n\n\ndef find():\n    return SCRIPT\n",
    "parameters/__init__.py": "from package.parameters.base import Base\nfrom .own import Own\n",
    "parameters/base.py": "class Base:\n    base = 1\n",
    "parameters/own.py": "from ..parameters import Base\n\n\nclass Own(Base):\n    own = 1\n",
    "parameters/others.py": "class Other:\n    other = 1\n",
    "registered.py": "print('on import')\n\n\ndef in_it():\n    return 3\n",
    "pipelines/__init__.py": "",
    "pipelines/report/nodes.py": """from collections.abc import Iterable

from package.parameters import Own
from package.text import scripts
from package.text.words import other as renamed, split


def plain(values: Iterable) -> list:
    return list(values)


def cut(text):
    return [split(text), len(text)]


def check(own: Own):
    from package.text.words import Rule

    return Rule().check()


def use_module():
    import package.registered

    return scripts.find()


def render(name):
    return renamed(f"templates/{name}")
""",
    "pipelines/report/templates/page.jinja": "a page",
    "pipelines/train/nodes.py": "def plain():\n    return 1\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "package"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


NODES = ("plain", "cut", "check", "use_module", "render")


def digest_all(root: Path) -> dict[str, str]:
    code = PackageCode(root)
    return {name: code.digest("package.pipelines.report.nodes", name) for name in NODES}


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("pipelines/report/nodes.py", "list(values)", "sorted(values)", {"plain"}),
        ("pipelines/report/nodes.py", "len(text)]", "9]", {"cut"}),
        ("pipelines/report/nodes.py", "\n\ndef cut", "\n\nNEW = 1\n\n\ndef cut", set()),
        ("pipelines/report/nodes.py", "from collections.abc", "from typing", set()),
        (
            "pipelines/report/nodes.py",
            "def plain",
            "print('a side effect')\n\n\ndef plain",
            set(NODES),
        ),
        ("text/words.py", '"a"', '"b"', {"cut"}),
        ("text/words.py", "1, 2", "1, 3", {"cut", "render"}),
        ("text/words.py", "return SECOND", "return 7", {"render"}),
        ("text/words.py", "raise InputError", "return InputError", {"check"}),
        ("text/words.py", "@property", "@staticmethod", {"cut"}),
        ("text/words.py", '"""Split."""', '"""Split a text."""', set()),
        ("text/words.py", '"""A rule."""', '"""One rule."""', set()),
        ("text/words.py", '"""Check."""', '"""Check it."""', set()),
        ("text/words.py", '"""Words."""', '"""All words."""', set()),
        ("text/words.py", "NAMES: dict[str, int] = {}", "NAMES: dict[str, int] = {'a': 1}", set()),
        ("text/scripts.py", "SCRIPT = 1", "SCRIPT = 2", {"use_module"}),
        ("errors.py", "x = 1", "x = 2", {"check"}),
        ("errors.py", "return 2", "return 3", set()),
        ("parameters/own.py", "own = 1", "own = 2", {"check"}),
        ("parameters/base.py", "base = 1", "base = 2", {"check"}),
        ("parameters/others.py", "other = 1", "other = 2", set()),
        ("parameters/__init__.py", "from .own import Own", "from .others import Own", {"check"}),
        ("registered.py", "on import", "when imported", {"use_module"}),
        ("registered.py", "return 3", "return 4", {"use_module"}),
        ("pipelines/report/templates/page.jinja", "a page", "the page", {"render"}),
        ("pipelines/train/nodes.py", "return 1", "return 2", set()),
        ("__init__.py", "'1'", "'2'", set()),
    ],
)
def test_a_change_concerns_the_nodes_that_use_the_code(
    file: str, old: str, new: str, stale: set[str], package: Path
) -> None:
    before = digest_all(package)
    assert digest_all(package) == before
    content = (package / file).read_text()
    assert content.count(old) == 1
    (package / file).write_text(content.replace(old, new))
    after = digest_all(package)
    assert {name for name in NODES if after[name] != before[name]} == stale


def test_what_cannot_be_found_by_its_name_is_the_whole_module(package: Path) -> None:
    module = "package.pipelines.report.nodes"
    before = PackageCode(package).digest(module, "<lambda>")
    (package / "text/words.py").write_text(FILES["text/words.py"].replace("return SECOND", "pass"))
    assert PackageCode(package).digest(module, "<lambda>") != before


def test_another_package_has_no_digest_of_its_own(package: Path) -> None:
    code = PackageCode(package)
    assert code.digest("pandas", "DataFrame") == code.digest("json", "dumps")


def test_the_code_of_a_pickled_model_counts(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(PROJECT / "src/imdb_sentiment", tmp_path / "imdb_sentiment"))
    nodes = "imdb_sentiment.pipelines.reporting.nodes.scoring"

    def digest() -> str:
        return PackageCode(copy).digest(nodes, "score_baseline")

    before, module = digest(), copy / "text/term_counts.py"
    source = module.read_text(encoding="utf-8")
    module.write_text(source.replace("learn=False)", "learn=bool(0))"), encoding="utf-8")
    assert digest() != before


def test_the_nodes_of_this_project_do_not_share_all_their_code() -> None:
    code = PackageCode(PROJECT / "src/imdb_sentiment")
    digests: dict[str, str] = {}
    for name in DEFAULT:
        pipeline = importlib.import_module(f"imdb_sentiment.pipelines.{name}").create_pipeline()
        digests |= {n.name: code.digest(n.func.__module__, n.func.__name__) for n in pipeline.nodes}
    nothing = code.digest("pandas", "DataFrame")
    assert nothing not in digests.values()
    assert len(set(digests.values())) == len(digests)
