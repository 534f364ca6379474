"""The page of the service in a browser."""

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from browser import open_page, run_browser, sort_from_left
from services import EXAMPLES, Service, run_service, write_record


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """Open the page; fail on requests to other hosts and on errors in scripts."""
    page = open_page(browser)
    trouble: list[str] = []

    def stay_at_home(route: Route) -> None:
        if route.request.url.startswith((service.url, "data:", "blob:")):
            route.continue_()
        else:
            trouble.append(route.request.url)
            route.abort()

    page.route("**/*", stay_at_home)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(service.url)
    yield page
    page.close()
    assert not trouble


def test_the_verdict_comes_as_one_types(page: Page) -> None:
    page.keyboard.type("w1 and w2", delay=5)  # the field has the focus
    said = page.locator("#said")
    expect(page.locator("#text")).to_have_text("w1 and w2")  # not the verdict on its beginning
    expect(said).to_have_text(re.compile(r"(negative|positive),? \d+\.\d%"))
    expect(page.locator("#spoken")).to_have_text(said.text_content() or "")
    expect(page.locator("#read")).to_be_hidden()
    expect(page.locator("#probabilities li")).to_have_count(2)
    page.get_by_label("Type or paste a review").fill("unheard qqq zzz")
    expect(page.locator("#read")).to_have_text(
        "The LSTM knows no word of this text, so the prediction may well be wrong."
    )
    page.get_by_label("Type or paste a review").fill("qqq zzz")
    expect(page.locator("#read")).to_be_hidden()
    expect(page.locator("#said")).to_have_text("No prediction: no word that the model knows.")
    page.get_by_label("Type or paste a review").fill("")
    expect(page.locator("#verdict")).to_be_hidden()
    expect(page.get_by_label("API key")).to_be_hidden()


def test_words_are_marked_as_the_service_says(page: Page) -> None:
    with page.expect_response("**/explain") as response:
        page.get_by_label("Type or paste a review").fill("w1 w2 w3 w4 w5 w6")
    effects = {
        segment["text"]: segment["effect"]
        for segment in response.value.json()["segments"]
        if segment["effect"] is not None and abs(segment["effect"]) >= 0.001
    }
    assert effects
    expect(page.locator("#text mark")).to_have_count(len(effects))
    for word, effect in effects.items():
        mark = page.locator("#text mark", has_text=word)
        expect(mark).to_have_class("for" if effect > 0 else "against")
    label = response.value.json()["prediction"]["label"]
    heading = page.get_by_role("heading", name=f"Words for and against {label}", exact=True)
    expect(heading).to_be_visible()
    strongest = max(effects, key=lambda word: abs(effects[word]))
    sign = "+" if effects[strongest] > 0 else "−"  # noqa: RUF001  # a minus sign
    expected = f"points: {strongest} ({sign}{100 * abs(effects[strongest]):.1f})"
    expect(page.locator("#strongest")).to_contain_text(expected)


def test_only_the_last_answer_is_shown(page: Page, service: Service) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/explain", hold)
    review = page.get_by_label("Type or paste a review")
    review.fill("w1 w2")
    while not held:
        page.wait_for_timeout(50)
    page.unroute("**/explain")
    with page.expect_response("**/explain"):
        review.fill("w3")
    expect(page.locator("#text")).to_have_text("w3")
    with contextlib.suppress(Error):  # the page has released it
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#text")).to_have_text("w3")


def test_examples_can_be_clicked_or_reached_by_keyboard(page: Page) -> None:
    buttons = page.locator("#examples li button")
    expect(buttons).to_have_text(list(EXAMPLES))
    expect(page.get_by_role("button", name="More")).to_be_hidden()  # there are only two
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_text(EXAMPLES[0])
    buttons.nth(1).click()
    expect(page.locator("#text")).to_have_text("w4 and w5")


def test_labels_and_words_from_right_to_left_keep_their_order(page: Page) -> None:
    good, bad, film, again = "חיובי", "שלילי", "סרט", "שוב"
    prediction = {"label": good, "probability": 0.55, "probabilities": {good: 0.55, bad: 0.45}}
    segments = [{"text": film, "effect": 0.3}, {"text": " ", "effect": None}]
    answer = {
        "prediction": prediction | {"reason": None},
        "explained_label": good,
        "words": {"total": 2, "known": 2, "read": 2},
        "segments": [*segments, {"text": again, "effect": -0.2}, {"text": "!", "effect": None}],
    }
    page.route("**/explain", lambda route: route.fulfill(json=answer))
    review = page.get_by_label("Type or paste a review")
    review.fill(f"{film} {again}!")
    expect(page.locator("#said")).to_have_text(f"Undecided: {good} 55.0%, {bad} 45.0%")
    for place, words in (
        ("#said", ["Undecided", good, "55.0", bad, "45.0"]),
        ("#strongest", ["Strongest", film, "30.0", again, "20.0"]),
        ("#text", ["!", again, film]),
    ):
        assert sort_from_left(page.locator(place), words) == words
    expect(review).to_have_css("direction", "rtl")


def test_markup_stays_text(page: Page) -> None:
    page.get_by_label("Type or paste a review").fill("w1 <svg onload=alert(1)> & w2")
    expect(page.locator("#text")).to_contain_text("<svg onload=alert(1)> & w2")
    assert page.locator("#text svg").count() == 0


def test_a_file_comes_back_scored(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,text\n1,w1 w2\n2,\n")
    column = page.get_by_label("Column with the text")
    expect(column).to_be_disabled()
    page.get_by_label("CSV").set_input_files(path)
    expect(column).to_have_value("text")
    expect(column.locator("option")).to_have_text(["id", "text"])
    with page.expect_download() as download:
        page.get_by_role("button", name="Score the file").click()
    assert download.value.suggested_filename == "mine_scored.csv"
    rows = download.value.path().read_text().splitlines()
    assert rows[0].startswith('"id","text","predicted_sentiment"')
    assert len(rows) == 3
    expect(page.locator("#upload-said")).to_contain_text("Downloaded as mine_scored.csv")
    label = rows[1].split(",")[2].strip('"')
    counts = {"negative": 0, "positive": 0} | {label: 1, "(no prediction)": 1}
    expect(page.locator("#counts .name")).to_have_text(list(counts))
    expect(page.locator("#counts .number")).to_have_text(
        [f"{number} ({50 * number:.1f}%)" for number in counts.values()]
    )


@pytest.mark.parametrize(
    ("content", "columns", "chosen"),
    [
        ('id,"a ""b"", c","two\r\nlines"\r\n1,"long, ""longer""","x\ny"\r\n', None, 'a "b", c'),
        ("\ufefftitle,review,x\na much longer text,b,c\n", None, "review"),
        ("a,,b\n1,2,333\n", ["a", "unnamed_1", "b"], "b"),
        ("only", None, "only"),
        ('"id", "review"\n1, "Good, really"\n', ["id", "review"], "review"),
        ('"id", "review"\n1, "Good"\n2, "Bad"\n', ["id", "review"], "review"),
        ('"id", "review"\n1,Good\n2,Bad\n', ["id", '"review"'], '"review"'),
    ],
)
def test_the_columns_of_a_file_are_offered(
    page: Page, tmp_path: Path, content: str, columns: list[str] | None, chosen: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content, newline="")
    page.get_by_label("CSV").set_input_files(path)
    column = page.get_by_label("Column with the text")
    expect(column).to_have_value(chosen)
    expected = columns or next(csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline="")))
    found = column.evaluate("select => [...select.options].map((option) => option.value)")
    assert found == expected


def test_an_empty_file_is_noticed(page: Page, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    page.get_by_label("CSV").set_input_files(tmp_path / "empty.csv")
    expect(page.locator("#upload-said")).to_contain_text("is empty")


@pytest.mark.parametrize("mark", [";", ":", "/"])
def test_another_delimiter_is_recognised_and_kept(page: Page, tmp_path: Path, mark: str) -> None:
    path = tmp_path / "excel.csv"
    content = "\ufeffsep=;\r\nid;text, short or not\r\n1;w1 w2, w3\r\n"
    path.write_text(content.replace(";", mark))
    page.get_by_label("CSV").set_input_files(path)
    expect(page.get_by_label("Column with the text")).to_have_value("text, short or not")
    with page.expect_download() as download:
        page.get_by_role("button", name="Score the file").click()
    rows = download.value.path().read_text().splitlines()
    assert rows[0].startswith(f'"id"{mark}"text, short or not"{mark}"predicted_sentiment"')
    assert rows[1].startswith(f'"1"{mark}"w1 w2, w3"{mark}')
    expect(page.locator("#counts .number").first).to_contain_text("%")


def answer(page: Page, probabilities: dict[str, float], label: str, words: list[int]) -> None:
    """Let the service answer this, whatever the text."""
    prediction = {"label": label, "probability": probabilities[label], "reason": None}
    body = {
        "prediction": prediction | {"probabilities": probabilities},
        "explained_label": label,
        "words": dict(zip(("total", "known", "read"), words, strict=True)),
        "segments": [{"text": "some text", "effect": None}],
    }
    page.route("**/explain", lambda route: route.fulfill(json=body))
    page.get_by_label("Type or paste a review").fill("some text")


def expect_text(page: Page, place: str, text: str) -> None:
    """Expect a text in an element; if it is empty, that there is none."""
    element = expect(page.locator(place))
    if text:
        element.to_contain_text(text)
    else:
        element.to_have_text("")


@pytest.mark.parametrize(
    ("shares", "label", "said", "doubt"),
    [
        ([0.46, 0.54], "b", "Undecided: b 54.0%, a 46.0%", "only about 5 in 10 such"),
        ([0.3, 0.7], "b", "Probably b, 70.0%", ""),
        ([0.1, 0.9], "b", "b, 90.0%", ""),
        ([0.4, 0.6], "a", "a, 40.0%", "“b” is more probable"),
    ],
)
def test_a_doubt_is_put_into_words(
    page: Page, shares: list[float], label: str, said: str, doubt: str
) -> None:
    answer(page, dict(zip("ab", shares, strict=True)), label, [2, 2, 2])
    expect(page.locator("#said")).to_have_text(said)
    expect_text(page, "#doubt", doubt)


@pytest.mark.parametrize(
    ("highest", "said", "doubt"),
    [
        (0.05, "Most probable: l3, 5.0%", "but fewer than 1 in 10 such answers are right"),
        (0.24, "Most probable: l3, 24.0%", "but only about 2 in 10 such answers are right"),
        (0.51, "l3, 51.0%", ""),
    ],
)
def test_the_most_probable_of_many_labels_may_be_doubtful(
    page: Page, highest: float, said: str, doubt: str
) -> None:
    others = (1 - highest) / 76
    answer(page, {f"l{n}": highest if n == 3 else others for n in range(77)}, "l3", [2, 2, 2])
    expect(page.locator("#said")).to_have_text(said)
    expect_text(page, "#doubt", doubt)
    names = page.locator("#probabilities .name")
    expect(names).to_have_count(10)
    expect(names.first).to_have_text("l3")


def test_a_long_text_opens_at_its_strongest_word(page: Page) -> None:
    neutral = [{"text": f"word{n} ", "effect": 0.0} for n in range(400)]
    response = {
        "prediction": {
            "label": "a",
            "probability": 0.9,
            "probabilities": {"a": 0.9, "b": 0.1},
            "reason": None,
        },
        "explained_label": "a",
        "words": {"total": 401, "known": 401, "read": 401},
        "segments": [*neutral, {"text": "bad", "effect": 0.4}],
    }
    page.route("**/explain", lambda route: route.fulfill(json=response))
    page.get_by_label("Type or paste a review").fill("long")
    expect(page.locator("#said")).to_have_text("a, 90.0%")
    assert page.locator("#text").evaluate("text => text.scrollTop") > 0


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ([11, 2, 2], "Only 2 of the 11 words are in the vocabulary"),
        ([3, 1, 1], "Only 1 of the 3 words is in the vocabulary"),
        (
            [900, 812, 200],
            "words that it knows, from the beginning and the end of the text; a second",
        ),
        ([11, 9, 9], ""),
    ],
)
def test_it_says_how_much_of_the_text_was_read(page: Page, words: list[int], read: str) -> None:
    answer(page, {"a": 0.9, "b": 0.1}, "a", words)
    expect(page.locator("#said")).to_have_text("a, 90.0%")
    expect_text(page, "#read", read)


def test_it_says_what_to_expect_of_the_model(
    browser: Browser, page: Page, model_file: Path, tmp_path: Path
) -> None:
    expect(page.locator("#about")).to_contain_text("Its accuracy is unknown")
    expect(page.locator("#limits")).to_contain_text("It knows 28 words")
    expect(page.locator("#limits")).to_contain_text(
        "at most 6 of them in a text (the first 2 and the last 4 of a longer one)"
    )
    expect(page.locator("#limits")).to_contain_text(
        "the whole text, as sequences of up to 3 words and punctuation marks, and of 4 characters "
        "within words."
    )
    records = write_record(tmp_path / "runs", model_file.read_bytes())
    with run_service(model_file, tmp_path, "--records", str(records)) as service:
        other = open_page(browser)
        other.goto(service.url)
        expect(other.locator("#about")).to_contain_text(
            "It is right for 80.0% of 1,000 reviews that it was not trained on (95% confidence "
            "interval: 77.4% to 82.4%); always giving the same answer would be right for 60.0%."
        )
        expect(other.locator("#limits")).to_contain_text("it finds: negative 70.0%, positive 90.0%")
        other.close()


def test_of_many_labels_some_are_named(browser: Browser, service: Service) -> None:
    labels = [f"l{number}" for number in range(12)]
    scores = {
        "reviews": 90,
        "accuracy": 0.5,
        "accuracy_low": 0.4,
        "accuracy_high": 0.6,
        "majority_accuracy": 0.1,
        "is_unseen": True,
        "recall": {label: (number + 5) % 12 / 20 for number, label in enumerate(labels)},
    }
    page = open_page(browser)

    def answer(route: Route) -> None:
        route.fulfill(json=route.fetch().json() | {"labels": labels, "test": scores})

    page.route("**/model", answer)
    page.goto(service.url)
    limits = page.locator("#limits")
    expect(limits).to_contain_text("It gives every text one of 12 labels, such as l0, l1 and l2.")
    expect(limits).to_contain_text("each label, it finds between 0.0% (l7) and 55.0% (l6).")
    page.close()


def test_labels_are_listed_in_the_order_of_the_model(browser: Browser, service: Service) -> None:
    labels = ["1", "0", "-1"]
    recall = dict(zip(labels, (0.9, 0.8, 0.7), strict=True))
    page = open_page(browser)

    def describe(route: Route) -> None:
        scores = {"reviews": 9, "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9}
        scores |= {"majority_accuracy": 0.4, "is_unseen": True}
        route.fulfill(
            json=route.fetch().json() | {"labels": labels, "test": scores | {"recall": recall}}
        )

    page.route("**/model", describe)
    page.goto(service.url)
    expect(page.locator("#limits")).to_contain_text("it finds: 1 90.0%, 0 80.0%, -1 70.0%")
    answer(page, {"1": 0.1, "0": 0.2, "-1": 0.7}, "-1", [2, 2, 2])
    expect(page.locator("#probabilities .name")).to_have_text(labels)
    page.close()


def test_a_model_that_may_be_silent_says_how_often_it_answers(
    browser: Browser, service: Service
) -> None:
    page = open_page(browser)

    def answer(route: Route) -> None:
        found = route.fetch().json()
        facts = {"training": '{"min_confidence": 0.9}', "calibration": '{"ngram_share": 1}'}
        scores = {
            "reviews": 80,
            "accuracy": 0.8,
            "accuracy_low": 0.7,
            "accuracy_high": 0.9,
            "majority_accuracy": 0.6,
            "is_unseen": True,
            "recall": {},
            "coverage": 0.3,
            "accuracy_answered": 0.95,
        }
        route.fulfill(json=found | {"facts": found["facts"] | facts, "test": scores})

    page.route("**/model", answer)
    page.goto(service.url)
    about, limits = page.locator("#about"), page.locator("#limits")
    expect(about).to_contain_text(
        "It gives an answer for 30.0% of 80 reviews that it was not trained on, and 95.0% of these "
        "answers are right. If it always answered, it would be right for 80.0% (95% confidence "
        "interval"
    )
    expect(limits).to_contain_text(
        "It gives a text one of these labels: negative, positive, or none if its confidence is "
        "below 0.9."
    )
    expect(limits).to_contain_text("It reads sequences of up to 3 words")
    expect(limits).not_to_contain_text("LSTM")
    page.close()


def test_the_api_is_described_without_other_sites(page: Page, service: Service) -> None:
    page.get_by_role("link", name="how to call this service").click()
    expect(page.get_by_text("/predict")).to_be_visible()
    assert page.url == f"{service.url}/docs"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(
    browser: Browser, service: Service, scheme: str
) -> None:
    """WCAG 2.2 AA and good practice, as far as axe-core can tell."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(browser, color_scheme=scheme)
    page.goto(service.url)
    page.get_by_label("Type or paste a review").fill("w1 w2 w3 and more" * 200)
    expect(page.locator("#words")).to_be_visible()
    levels = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice")
    found = axe.run(page, options={"runOnly": {"type": "tag", "values": list(levels)}})
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_a_key_is_asked_for(browser: Browser, model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, api_key="s3cret") as service:
        page = open_page(browser)
        page.goto(service.url)
        review = page.get_by_label("Type or paste a review")
        review.click()
        page.keyboard.type("w1")
        expect(page.get_by_role("alert")).to_contain_text("This service needs an API key")
        expect(review).to_be_focused()  # what is typed now does not end up in the key
        page.get_by_label("API key").fill("s3cret")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#text")).to_have_text("w1")
        expect(page.get_by_role("alert")).to_be_hidden()
        page.close()


def test_a_key_that_no_header_can_hold_is_told(
    browser: Browser, model_file: Path, tmp_path: Path
) -> None:
    """Copied keys may have a zero-width space or white space at their end."""
    with run_service(model_file, tmp_path, api_key="s3cret key") as service:
        page = open_page(browser)
        page.goto(service.url)
        field, button = page.get_by_label("API key"), page.get_by_role("button", name="Use this")
        field.fill("s3cret key\u200b")
        button.click()
        assert field.evaluate("field => field.validity.patternMismatch")
        page.evaluate("sessionStorage.setItem('key', 's3cret key\u200b')")
        page.reload()
        expect(page.get_by_role("alert")).to_have_text("This API key contains invalid characters.")
        field.fill(" s3cret key\t")
        button.click()
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#limits")).to_contain_text("It knows 28 words")
        page.close()


def test_a_service_that_is_down_is_told(browser: Browser, model_file: Path, tmp_path: Path) -> None:
    page = open_page(browser)
    with run_service(model_file, tmp_path) as service:
        page.goto(service.url)
    page.get_by_label("Type or paste a review").fill("w1")
    expect(page.get_by_role("alert")).to_have_text("The service is not responding. Is it running?")
    expect(page.locator("#verdict")).to_be_hidden()
    page.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(
    browser: Browser, service: Service, width: int, scheme: str
) -> None:
    page = open_page(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(service.url)
    page.get_by_label("Type or paste a review").fill("w1 w2 w3 " + "x" * 200)
    expect(page.locator("#verdict")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("body", "#strongest", "button", "label"):
        front, back = page.locator(selector).first.evaluate(
            """element => {
                const front = getComputedStyle(element).color;
                let back = element;
                while (getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)")
                    back = back.parentElement;
                return [front, getComputedStyle(back).backgroundColor];
            }"""
        )
        assert contrast(front, back) >= 4.5, selector  # WCAG 2.2, level AA
    page.close()


def contrast(front: str, back: str) -> float:
    """Return the ratio of two CSS colours, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted([luminance(front), luminance(back)])
    return (lighter + 0.05) / (darker + 0.05)
