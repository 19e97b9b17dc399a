"""The page of `detector serve`, in a real browser: images go in, verdicts that one cannot take for proof come out;
bad files, many files, the keyboard, a phone's width, light and dark; and it asks nobody but its own server.

The browser is a Chromium that is installed already. Where there is none the tests are skipped; with
DETECTOR_BROWSER=required, as in CI, Debian's is installed, and where that cannot be they fail.
"""

import os
import re
import shutil
import subprocess

import pytest

from tests.support import served
from tests.support.served import FAKE, REAL, UNSURE

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright (extra `dev`)")
expect = playwright.expect
expect.set_options(timeout=20_000)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA
NARROW = 320  # CSS pixels: WCAG 2.2, 1.4.10
# Ratio of the luminances of an element's text and of what is behind it (WCAG 2.2, definition of contrast ratio).
MEASURE = """element => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = parts(text).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  while (parts(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light).sort();
  return (both[1] + 0.05) / (both[0] + 0.05);
}"""


def installed() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def chromium() -> str:
    """Its path. Skips, or fails where a browser is required, if there is none."""
    required = os.environ.get("DETECTOR_BROWSER") == "required"
    reason = "no Chromium is installed (Debian: apt-get install chromium)"
    if required and installed() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True)
            reason = f"`apt-get {' '.join(arguments)}`: {done.stderr.strip()[-600:]}"
    if (path := installed()) is None:
        (pytest.fail if required else pytest.skip)(reason)
    return path


@pytest.fixture(scope="module")
def browser():
    path = chromium()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a server that takes 1 MB and 1 million pixels."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "tmp").mkdir()
    bundle = served.write_bundle(folder / "bundle")
    with served.serving(bundle, "--max-mb", "1", "--max-megapixels", "1", folder=folder) as (port, _):
        yield port


@pytest.fixture
def opened(browser, server):
    """Opens the page with options of the browser's; at the end, it has asked no other server and made no error."""
    pages, asked, errors = [], [], []

    def open_page(**options):
        page = browser.new_page(**options)
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(f"http://127.0.0.1:{server}/")
        expect(page.locator("#model")).not_to_be_empty()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    own = (f"http://127.0.0.1:{server}/", f"blob:http://127.0.0.1:{server}/", "data:")
    assert [url for url in asked if not url.startswith(own)] == []
    # the browser itself notes each refusal that the page shows
    assert [text for text in errors if not text.startswith("Failed to load resource")] == []


@pytest.fixture
def page(opened):
    return opened()


def files(**pictures: bytes) -> list[dict]:
    return [
        {"name": name.replace("__", "."), "mimeType": "image/png", "buffer": data}
        for name, data in pictures.items()
    ]


def give(page, pictures: list[dict]):
    """Choose files and wait for all answers: the entries of the list."""
    page.set_input_files("#files", pictures)
    return answered(page, len(pictures))


def answered(page, count: int):
    results = page.locator("#results > li")
    expect(results).to_have_count(count)
    expect(page.locator("[aria-busy]")).to_have_count(0)
    return results


def test_an_image_gets_a_verdict_with_what_the_model_looked_at(page):
    entry = give(page, files(garden__png=REAL)).first
    expect(entry.locator(".verdict")).to_have_text("● Looks real")
    expect(entry).to_contain_text("The model's estimate that it is AI-generated: 7 %.")
    pictures = entry.get_by_role("img").or_(entry.locator("img"))
    assert pictures.evaluate_all("all => all.map((one) => one.naturalWidth)") == [48, 256]
    expect(entry).to_contain_text("what the model looked at")
    expect(page.get_by_role("status")).to_have_text("garden.png: looks real, estimate 7 % AI-generated.")


def test_it_says_unsure_plainly_and_claims_no_proof(page):
    results = give(page, files(a__png=FAKE, b__png=UNSURE))
    assert results.locator(".verdict").all_inner_texts() == ["▲ Looks AI-generated", "◇ Unsure"]
    expect(results.nth(1)).to_contain_text("Why unsure: too close a call")
    expect(page.locator("#note")).to_contain_text("no proof")
    text = page.locator("body").inner_text()
    assert not re.search(r"\b(is real|is fake|proves|certain|authentic|genuine)\b", text)


def test_bad_files_are_named_with_their_reason_and_others_go_on(page):
    results = give(
        page,
        files(
            notes__txt=b"hello",
            large__png=served.encoded(0.5, (1001, 1000))[:300_000],
            heavy__png=bytes(1_500_000),
            empty__png=b"",
            good__png=REAL,
        ),
    )
    texts = results.all_inner_texts()
    assert ["Not judged" in text for text in texts] == [True] * 4 + [False]
    reasons = ("No image that can be read", "1001 x 1000 pixels", "at most 1 MB", "No image that can be read")
    assert [reason in text for reason, text in zip(reasons, texts, strict=False)] == [True] * 4


def test_many_files_keep_their_order(page):
    names = [f"{number:02d}.png" for number in range(14)]
    pictures = [(REAL, FAKE)[number % 2] for number in range(14)]
    given = [
        {"name": name, "mimeType": "image/png", "buffer": data} for name, data in zip(names, pictures, strict=True)
    ]
    results = give(page, given)
    assert results.locator(".name").all_inner_texts() == names
    assert results.locator(".verdict").all_inner_texts() == ["● Looks real", "▲ Looks AI-generated"] * 7
    expect(page.get_by_role("status")).to_contain_text("All 14 images are done.")
    page.set_input_files("#files", files(more__png=UNSURE))
    answered(page, 15)


def test_files_can_be_dropped(page):
    data = page.evaluate_handle(
        """content => {
          const data = new DataTransfer(), bytes = Uint8Array.from(content);
          for (const name of ["one.png", "two.png"]) data.items.add(new File([bytes], name, {type: "image/png"}));
          return data;
        }""",
        list(FAKE),
    )
    for kind in ("dragover", "drop"):
        page.dispatch_event("body", kind, {"dataTransfer": data})
    assert answered(page, 2).locator(".verdict").all_inner_texts() == ["▲ Looks AI-generated"] * 2


def test_the_keyboard_is_enough(page):
    page.on("filechooser", lambda chooser: chooser.set_files(files(a__png=REAL)))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    assert page.locator("#choose").evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    answered(page, 1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Clear the list")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#about summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#card")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#results > li")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "files"


def test_the_card_is_shown_use_and_limits_first(page):
    page.locator("#about summary").click()
    card = page.locator("#card")
    assert card.locator("h2, h3").all_inner_texts() == [
        "Real or AI-generated? resnet18, l1-40, seed 0",
        "Meant for, and not",
        "Limits",
        "Use",
        "Results on test images",
    ]
    assert card.locator("pre").all_inner_texts() == ["python example.py PICTURE\nsha256sum -c SHA256SUMS"]
    expect(card).to_contain_text("<b>Not for accusing anyone</b>")  # a card is text, never HTML
    assert card.locator("li").all_inner_texts() == ["It looks at brightness alone.", "A verdict is no proof."]
    assert card.locator("td").all_inner_texts() == ["tiny", "71.0 % (60.0–80.0)"]


@pytest.mark.parametrize("width", [NARROW, 1000])
def test_nothing_sticks_out(opened, width):
    page = opened(viewport={"width": width, "height": 700})
    give(page, files(**{"a" * 150 + "__png": REAL}, b__png=UNSURE, c__png=b"no"))
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    sizes = page.locator("#results > li, #choose, details").evaluate_all("all => all.map((it) => it.scrollWidth)")
    assert max(sizes) <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, scheme):
    page = opened(color_scheme=scheme)
    give(page, files(a__png=REAL, b__png=FAKE, c__png=UNSURE, d__png=b"no"))
    for summary in page.locator("summary").all():
        summary.click()
    texts = page.locator(
        "p, li, h1, h2, h3, figcaption, .none, .ends, summary, button, #takes, #status, td, th, a"
    )
    ratios = texts.evaluate_all(f"all => all.map((it) => [it.innerText.slice(0, 30), ({MEASURE})(it)])")
    assert len(ratios) > 30
    assert [found for found in ratios if found[1] < CONTRAST] == []
    brightness = page.locator("body").evaluate("it => getComputedStyle(it).backgroundColor.match(/\\d+/)[0]")
    assert (int(brightness) > 128) == (scheme == "light")


def test_what_is_there_to_use_has_a_name(page):
    give(page, files(a__png=REAL, b__png=FAKE))
    assert re.match(r"Choose images", page.locator("#files").evaluate("it => it.labels[0].innerText"))
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    assert page.locator("img:not([alt])").count() == 0
    assert page.evaluate("document.documentElement.lang") == "en"
    # a reader that lists headings finds each image by its name
    assert [heading.inner_text() for heading in page.get_by_role("heading", level=3).all()][:2] == [
        "a.png",
        "b.png",
    ]


def test_a_name_is_text(page):
    name = "<img src=x onerror=document.title=1>.png"
    entry = give(page, [{"name": name, "mimeType": "image/png", "buffer": REAL}]).first
    expect(entry.locator(".name")).to_have_text(name)
    expect(page).to_have_title("Real or AI-generated?")


def test_it_asks_again_when_the_server_is_busy(page):
    answers = []

    def busy_at_first(route):
        answers.append(route.request.url)
        if len(answers) == 1:
            route.fulfill(
                status=503, headers={"Retry-After": "1"}, json={"error": {"code": "too_busy", "message": ""}}
            )
        else:
            route.continue_()

    page.route("**/api/images*", busy_at_first)
    entry = give(page, files(a__png=REAL)).first
    expect(entry.locator(".verdict")).to_have_text("● Looks real")
    assert len(answers) == 2


def test_a_server_that_is_gone_is_said(page):
    page.route("**/api/images*", lambda route: route.abort())
    expect(give(page, files(a__png=REAL)).first).to_contain_text("is the server still running")
