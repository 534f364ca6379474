import pickle
import re
import sys
import unicodedata
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.words import Rule, Script, get_rule

SCRIPTS: list[Script] = list(get_args(Script))
AUTO = get_rule("auto")

# Letters, marks and signs of many scripts, and what is special about them.
ALPHABET = (
    "aZ09_' .!-éßİIıΣςσ’“”…¿—™½ﬁＡ！ʼ´\u00ad\u0301\u0307\u200c\u200d\u200f"
    "жЙאבָ״דاَـﻃﷺ؟ हिन्दी।่าไทำ၊中。〇かガｶﾞー한ㅋ👍🏽❤️☆🇩🇪🤷♀5⃣𝐀𒑰"
)
TEXTS = st.one_of(st.text(ALPHABET), st.text()).map(clean_text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A “great” film—truly great… ¿no?", "a great film truly great no"),
        ("don’t, don't ‘l’été’", "don't don't l'été"),
        ("STRAßE İYİ iyi ΚΑΛΟΣ καλος", "straße iyi iyi καλοσ καλοσ"),
        ("ＧＯＯＤ！ ﬁlm", "good film"),
        ("Плохо; очень-очень!", "плохо очень очень"),
        ("مَرْحَبًا، مرحبا؟ الـعـربية ﻃﻔﻞ", "مرحبا مرحبا العربية طفل"),
        ("שָׁלוֹם־עולם", "שלום עולם"),
        ("می\u200cخواهم", "میخواهم"),
        ("अच्छी फ़िल्म है।", "अच्छी फ़िल्म है"),
        ("好看。很好看！", "好 看 很 好 看"),
        ("ひどい映画 ｶﾞ", "ひ ど い 映 画 ガ"),
        ("좋아요", "좋 아 요"),
        ("ดีที่น้ำ", "ดี ที่ น้ำ"),
        ("iPhone手机 5星", "iphone 手 机 5 星"),
        ("👍🏽👍 ❤️ ❤ 🇩🇪🇫🇷 5\ufe0f\u20e3", "👍 👍 ❤ ❤ 🇩🇪 🇫🇷 5"),
        ("👩\u200d👧 ★★☆", "👩 👧 ★ ★ ☆"),
        ("\u200fטוב\u200f", "טוב"),
        ("won\u00adderful ـ \u200d", "wonderful"),
    ],
)
def test_words_of_any_script(text: str, words: str) -> None:
    assert AUTO.split(text) == words.split()


def test_letters_of_every_script_can_be_parts_of_words() -> None:
    assert get_rule("spaces").split("好看。很好看！ ดี좋아 👍") == ["好看", "很好看", "ดี좋아", "👍"]


def test_models_of_before_know_only_marks_of_ascii() -> None:
    rule = get_rule("ascii")
    assert rule.split("“Great” film—good, ΟΣ 好看。") == ["“great”", "film—good", "οσ", "好看。"]
    assert rule.split_tokens("L’Été, 好看。 है") == ["l’été", ",", "好看", "。", "ह", "ै"]
    assert rule.split_tokens("ΟΔΟΣ") == ["οδος"]  # unlike the words of the LSTM


@given(TEXTS)
@example("ΟΔΟΣ Ο’ΣΣ ΣΑΣ!")
def test_the_tokens_of_models_of_before_are_in_pythons_lower_case(text: str) -> None:
    pattern = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")  # that of the code that made them
    assert get_rule("ascii").split_tokens(text) == [t.lower() for t in pattern.findall(text)]


def test_every_mark_and_symbol_of_unicode_separates_words() -> None:
    """Except apostrophes, and signs that are left out of words, such as a colour of skin."""
    ignored, emoji = [], []
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character)[0] not in "PS":
            continue
        words = AUTO.split(f"a{character}é")
        if len(words) == 1 and character not in "'\u2019":
            ignored.append(character)
        elif len(words) == 3:
            emoji.append(character)
    assert ignored == [*map(chr, range(0x1F3FB, 0x1F400))]
    assert {*"❤☺★👍😡💔"} <= set(emoji)
    assert not {*"+<=>|~^`$£€°©®™§¶•…·¡¿«»„、。،؟।"} & set(emoji)


@pytest.mark.parametrize("script", SCRIPTS)
@given(TEXTS)
@example("İ ΟΣ ½ ﷺ")
def test_the_fast_ways_find_what_the_patterns_find(script: Script, text: str) -> None:
    rule = get_rule(script)
    for pattern, found in (
        (rule.words, rule.split(text)),
        (rule.tokens, rule.split_tokens(text)),
    ):
        fold = str.lower if script == "ascii" and pattern is rule.tokens else rule.fold
        expected = [fold(match[0]) for match in pattern.finditer(text)]
        if pattern is rule.words:
            expected = [word for word in expected if word]
        assert found == expected


@given(st.text(st.characters(max_codepoint=0x24F, categories=["L", "Nd", "Zs", "Po"])))
def test_terms_are_those_of_scikit_learn(text: str) -> None:
    """In scripts with spaces, without apostrophes and what folding changes."""
    text = clean_text(text)
    if not unicodedata.is_normalized("NFKC", text) or "İ" in text:
        return
    analyse = CountVectorizer().build_analyzer()
    for script in SCRIPTS:
        assert get_rule(script).split_terms(text) == analyse(text)


def test_terms_can_be_single_letters_where_these_are_words() -> None:
    segmented = "这 部 电影 很 好 , 不 差 film a é"
    found = get_rule("spaces").split_terms(segmented)
    assert found == ["这", "部", "电影", "很", "好", "不", "差", "film"]
    assert AUTO.split_terms("A 好 film 👍 à ของ अच्छा") == ["好", "film", "👍", *"ของ", "अच्छा"]


def test_words_and_emoji_among_tokens() -> None:
    tokens = ["a", "_so_", "’", "'", "—", "_", "好", "👍🏽", "🇩🇪", "है", "。"]
    assert [token for token in tokens if AUTO.has_word(token)] == ["a", "_so_", *tokens[6:10]]
    assert [token for token in tokens if get_rule("ascii").has_word(token)] == [
        *("a", "_so_", "好", "है")
    ]


def test_a_rule_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(AUTO)) is AUTO
    assert len(pickle.dumps(AUTO)) < 200


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule 'syllables'"):
        Rule("syllables")  # type: ignore[arg-type]
