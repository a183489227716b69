"""The page in headless Chromium, beside models whose answers are known; skipped where there is no browser."""

import base64
import io
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from serving import canned_server

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed: pip install -e '.[test]'")
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver: apt-get install chromium chromium-driver"
)
SOON = 10  # seconds


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    # looks for new versions ten times a second, so that no test waits for one
    hurry = "const every = setInterval; window.setInterval = (function_) => every(function_, 100);"
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": hurry})
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def running():
    with canned_server.serve() as server:
        yield server


@pytest.fixture
def server(running):
    running.posts.clear()
    running.token = ""
    return running


@pytest.fixture
def visit(browser, server):
    """Opens a model's page."""

    def open_page(model):
        browser.get("about:blank")
        browser.get(f"{server.url}#{model}")
        return wait(lambda: browser.find_element("css selector", "h1").text == model)

    yield open_page
    problems = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [one for one in problems if "status of 4" not in one] == []  # no script failed, no policy was broken


def wait(condition):
    """Returns a condition's first true value."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except (NoSuchElementException, StaleElementReferenceException):
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come about in time")


@pytest.fixture
def page(browser):
    return Page(browser)


class Page:
    def __init__(self, browser):
        self.browser = browser

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def texts(self, selector):
        return [node.text for node in self.all(selector)]

    def type(self, text, selector="form textarea"):
        self.one(selector).clear()
        self.one(selector).send_keys(text)

    def ask(self):
        self.one("form .primary").click()

    def answer(self, selector=".answer .details"):
        """Returns what matches a selector in an answer, once it is there."""
        return wait(lambda: self.one(".answer:not([aria-busy])") and self.all(selector))

    def choose(self, signature):
        Select(self.one("select")).select_by_visible_text(signature)

    def pixels(self, selector):
        """Returns the (H, W, 4) numbers of a canvas or an image."""
        url = self.browser.execute_script(
            "const node = document.querySelector(arguments[0]); if (node.toDataURL) return node.toDataURL();"
            "const canvas = document.createElement('canvas');"
            "[canvas.width, canvas.height] = [node.naturalWidth, node.naturalHeight];"
            "canvas.getContext('2d').drawImage(node, 0, 0); return canvas.toDataURL()",
            selector,
        )
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "it's a $(photo) %s.png"
    Image.fromarray(np.arange(60 * 90 * 3, dtype=np.uint8).reshape(60, 90, 3)).save(path)
    return path


def test_an_image_is_asked_as_a_file_and_drawn_as_bars(visit, page, server, photo):
    visit("digits")
    page.one("input[type=file]").send_keys(str(photo))
    assert page.answer(".bars .chosen .name")[0].text == "3"
    assert page.texts(".bars .number")[:2] == ["87.1%", "5.1%"]
    assert page.texts(".bars .name") == ["3", "5", "2", "8", "0", "9", "7", "1", "4", "6"]
    assert page.one("#status").get_attribute("textContent") == "3, 87.1%"
    [(path, body)] = server.posts
    assert path == "/v1/models/digits:predict"
    assert base64.b64decode(body["instances"][0]["image_bytes"]["b64"]) == photo.read_bytes()


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_command_that_is_shown_asks_the_same(visit, page, server, photo, tmp_path):
    visit("digits")
    page.one("input[type=file]").send_keys(str(photo))
    page.answer()
    command = page.all(".answer pre")[1].get_attribute("textContent")
    done = subprocess.run(["bash", "-c", command], cwd=photo.parent, capture_output=True, text=True, check=True)
    assert '"label": "3"' in done.stdout
    assert server.posts[0] == server.posts[1]
    visit("reviews")
    page.type('It\'s "100 %" \\ fun $(date)')
    page.ask()
    page.answer()
    command = page.all(".answer pre")[1].get_attribute("textContent")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    assert server.posts[2] == server.posts[3]


def test_a_digit_is_drawn_as_mnists_are(visit, page, browser, server):
    visit("digits")
    pad = page.one(".pad")
    # a stroke in a corner of the pad
    ActionChains(browser).move_to_element_with_offset(pad, -100, -100).click_and_hold().move_by_offset(
        0, 60
    ).release().perform()
    page.answer()
    [(_, body)] = server.posts
    digit = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(body["instances"][0]["image_bytes"]["b64"]))).convert("L")
    )
    assert digit.shape == (28, 28)
    assert digit.max() == 255
    rows, columns = np.nonzero(digit)
    assert 19 <= np.ptp(rows) + 1 <= 22
    mass = np.array([(axis * digit[rows, columns]).sum() for axis in (rows, columns)]) / digit.sum()
    np.testing.assert_allclose(mass, 13.5, atol=0.5)


def test_pixels_are_sent_where_a_signature_takes_them(visit, page, server, tmp_path):
    visit("digits")
    page.choose("image")
    pixels = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    page.one("input[type=file]").send_keys(str(tmp_path / "digit.png"))
    page.answer()
    [(_, body)] = server.posts
    assert body["signature_name"] == "image"
    np.testing.assert_array_equal(np.array(body["instances"][0]["image"])[..., 0], pixels)


def test_versions_and_labels_can_be_asked(visit, page, server, photo):
    visit("digits")
    version = Select(page.all("select")[1])
    assert [option.text for option in version.options][:2] == ["newest (2)", "stable"]
    version.select_by_visible_text("stable")
    page.one("input[type=file]").send_keys(str(photo))
    page.answer()
    version.select_by_visible_text("version 1")
    page.ask()
    wait(lambda: len(server.posts) == 2)
    assert [path for path, _ in server.posts] == [
        "/v1/models/digits/labels/stable:predict",
        "/v1/models/digits/versions/1:predict",
    ]


def test_hostile_names_labels_texts_and_messages_are_shown_as_they_are(visit, page, browser, photo):
    hostile = canned_server.HOSTILE
    visit("digits")
    page.all("nav a")[0].click()
    wait(lambda: page.one("h1").text == hostile)
    page.ask()
    assert page.answer(".answer .notice")[0].text == f"{hostile} failed"
    visit("broken")
    assert hostile in page.texts("td")[-1]
    visit("reviews")
    page.type("fine")
    page.ask()
    assert page.answer(".headline")[0].text.startswith(hostile)
    visit("captions")
    page.one("input[type=file]").send_keys(str(photo))
    assert hostile in page.answer(".strip figcaption")[-1].text
    visit("words")
    page.type(hostile, "form input")
    page.ask()
    assert page.answer(".headline")[0].text == f"Nearest to {hostile}"
    assert browser.title != "owned"
    assert page.all("img[src='x']") == []


def test_unknown_words_are_said(visit, page):
    visit("reviews")
    page.type("qwxz")
    page.ask()
    assert "says nothing of this text" in page.answer(".notice")[0].text


def test_a_caption_has_the_image_under_the_attention_of_each_word(visit, page, photo):
    visit("captions")
    page.one("input[type=file]").send_keys(str(photo))
    assert page.answer(".headline")[0].text.startswith("a red square above a")
    assert len(page.all(".strip canvas")) == 6  # the padding is left out
    drawn = page.pixels(".strip canvas").astype(float)
    source = np.asarray(Image.open(photo).resize((drawn.shape[1], drawn.shape[0]))).astype(float)
    light = (drawn[..., :3].mean(-1) + 1) / (source.mean(-1) + 1)
    height, width = light.shape
    seen = light[int(1.2 * height / 8) : int(1.8 * height / 8), int(2.2 * width / 8) : int(2.8 * width / 8)].mean()
    unseen = light[-height // 8 :, -width // 8 :].mean()
    assert seen > 0.8
    assert unseen < 0.5


def test_a_translation_has_its_alignment(visit, page, server):
    visit("translations")
    page.type("A dog runs in snow .")
    page.ask()
    assert page.answer(".headline")[0].text == "Ein Hund läuft im Schnee."
    assert server.posts[0][1] == {"signature_name": "alignment", "instances": [{"text": "A dog runs in snow ."}]}
    heads = [node.get_attribute("textContent") for node in page.all(".alignment thead th")]
    assert heads == ["A", "dog", "runs", "in", "snow", ".", "(end)"]
    assert page.texts(".alignment tbody th") == ["Ein", "Hund", "läuft", "im", "Schnee", ".", "(end)"]
    cells = page.all(".alignment tbody tr:first-child td")
    assert [cell.get_attribute("title") for cell in cells[:2]] == ["90.0%", "1.3%"]


def test_a_text_is_shown_as_it_is_written(visit, page, server):
    visit("plays")
    page.type("ROMEO:")
    page.ask()
    lengths = {wait(lambda: len(page.one(".written").text)) for _ in range(60)}
    page.answer()
    assert len(lengths) > 2  # it grew
    bodies = [body["instances"][0] for _, body in server.posts]
    assert [body["length"] for body in bodies] == [20] * 10
    assert [body["seed"] for body in bodies] == list(range(10))
    assert bodies[0] == {"prompt": "ROMEO:", "length": 20, "temperature": 0.8, "top_k": 0, "top_p": 1, "seed": 0}
    assert bodies[1]["prompt"].startswith("ROMEO:  0 and so on")
    assert page.one(".written").text.startswith("ROMEO:  0 and so on")
    assert len(page.one(".written").text) == len("ROMEO:") + 200


def test_a_text_can_be_stopped(visit, page, server):
    visit("plays")
    page.type("2000", "#input-length")
    page.type("ROMEO:")
    page.ask()
    wait(lambda: len(server.posts) > 2)
    page.one(".actions button:not(.primary)").click()
    page.answer()
    asked = len(server.posts)
    assert asked < 90
    assert len(page.one(".written").text) > 40  # what was written stays
    time.sleep(0.2)
    assert len(server.posts) == asked


def test_images_made_of_seeds(visit, page, server):
    visit("faces")
    page.type("5", "#input-seed")
    page.ask()
    page.answer(".pictures img")
    assert page.texts(".pictures figcaption") == [f"seed {seed}" for seed in range(5, 13)]
    assert server.posts[0][1] == {"instances": [{"seed": seed} for seed in range(5, 13)]}
    np.testing.assert_array_equal(page.pixels(".pictures img")[..., :3], canned_server.gradient(16, 16, 5))


def test_a_reconstruction_is_shown_beside_its_image(visit, page, server, photo):
    visit("codes")
    page.one("input[type=file]").send_keys(str(photo))
    page.answer(".pictures canvas")
    assert page.texts(".pictures figcaption") == ["input", "output"]
    expected = np.array(canned_server.code_image(None))[..., 0]
    np.testing.assert_array_equal(page.pixels(".pictures figure:last-child canvas")[..., 0], expected)
    page.choose("decode")
    page.one("form .quiet").click()
    page.ask()
    wait(lambda: len(server.posts) == 2)
    assert page.answer(".pictures figcaption")[0].text == "image"
    code = server.posts[1][1]["instances"][0]["code"]
    assert len(code) == 4
    assert any(code)


def test_neighbours_lead_on_to_theirs(visit, page, server):
    visit("words")
    page.type("king" + Keys.ENTER, "form input")
    page.answer(".word")[1].click()
    wait(lambda: len(server.posts) == 2)
    assert server.posts[1][1] == {"instances": [{"word": "king1"}]}
    page.type("qwxz" + Keys.ENTER, "form input")
    assert "does not know" in page.answer(".answer .notice")[0].text


def test_any_other_signature_takes_json(visit, page, server):
    visit("half_plus_two")
    page.type("[1, 2.5")
    page.ask()
    assert "x is no JSON" in page.answer(".answer .notice")[0].text
    page.type("[1, 2.5]")
    page.ask()
    page.answer()
    assert server.posts == [("/v1/models/half_plus_two:predict", {"inputs": {"x": [1, 2.5]}})]
    assert "3.25" in page.one(".answer details[open] pre").text
    visit("digits")
    page.choose("classify")
    page.type('{"x": [1.5]}')
    page.ask()
    assert page.answer(".headline")[0].text == "seven 0.75"
    assert server.posts[1] == (
        "/v1/models/digits:classify",
        {"signature_name": "classify", "examples": [{"x": [1.5]}]},
    )


def test_several_labels_and_numbers(visit, page, server):
    visit("tags")
    page.type("anything")
    page.ask()
    assert page.answer(".headline")[0].text == "a, c"
    assert page.texts(".bars .name") == ["c", "a", "b"]
    assert page.texts(".bars .chosen .name") == ["c", "a"]
    visit("prices")
    page.one("form input[type=checkbox]").click()
    page.type("1200", "#input-y")
    page.ask()
    assert page.answer(".headline")[0].text == "1,201"  # four digits
    assert server.posts[1][1] == {"instances": [{"x": True, "y": 1200}]}
    page.choose("regress")
    page.type('{"x": [1.5]}')
    page.ask()
    assert page.answer(".headline")[0].text == "42.5"
    assert server.posts[2][0] == "/v1/models/prices:regress"


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(browser, visit, page, server, photo, how):
    visit("captions")
    event = {
        "drop": "document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data}))",
        "paste": "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
    }
    file = "new File([Uint8Array.from(arguments[0])], 'photo.png', {type: 'image/png'})"
    browser.execute_script(
        f"const data = new DataTransfer(); data.items.add({file}); {event[how]}", list(photo.read_bytes())
    )
    page.answer(".strip canvas")
    assert base64.b64decode(server.posts[0][1]["instances"][0]["image_bytes"]["b64"]) == photo.read_bytes()


def test_what_was_written_stays_when_the_server_fails(visit, page, server):
    visit("plays")
    page.type("15", "#input-seed")
    page.type("ROMEO:")
    page.ask()
    assert page.answer(".answer .notice")[0].text == "17 is not lucky"
    assert page.one(".written").text.startswith("ROMEO: 15 and so on and so 16 and so on")


def test_a_token_is_asked_for_and_kept_in_memory(browser, page, server):
    server.token = canned_server.TOKEN
    browser.get("about:blank")
    browser.get(f"{server.url}#reviews")
    for text, name in (("wrong", "token-refused"), (canned_server.TOKEN, "")):
        wait(lambda: page.one("dialog[open]"))
        page.type(text, "#token-text")
        page.one("#token-text").send_keys(Keys.ENTER)
        if name:
            wait(lambda name=name: page.one(f"#{name}").is_displayed())
    wait(lambda: page.one("h1").text == "reviews")
    page.type("fine")
    page.ask()
    page.answer()
    assert '-H "Authorization: Bearer $TOKEN"' in page.all(".answer pre")[1].get_attribute("textContent")
    browser.refresh()
    wait(lambda: page.one("dialog[open]"))
    page.one("#token-text").send_keys(Keys.ESCAPE)
    assert "bearer token" in wait(lambda: page.one("main .notice")).text
    browser.get_log("browser")


def test_a_new_version_appears_and_leaves_what_was_typed(visit, page, monkeypatch):
    visit("half_plus_two")
    page.type("[7]")
    statuses = canned_server.Models.statuses
    newer = canned_server.VersionStatus(3, "AVAILABLE", canned_server.Code.OK, "")
    monkeypatch.setattr(canned_server.Models, "statuses", lambda self, name: [newer, *statuses(self, name)])
    wait(lambda: page.texts("main > section:last-child td")[:2] == ["3", "available"])
    assert page.one("form textarea").get_attribute("value") == "[7]"


def test_it_is_used_by_keyboard_alone(browser, page, server):
    browser.get("about:blank")
    browser.get(f"{server.url}#translations")
    wait(lambda: page.one("h1").text == "translations")
    focused, visited = browser.switch_to.active_element, []
    while focused.tag_name != "textarea":
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        visited.append(focused.text.split("\n")[0])
        style = browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", focused)
        assert style != "none", focused.text  # the focus is seen
        assert len(visited) < 30
    assert visited[0] == "Skip to the model"
    assert visited[1:3] == page.texts("nav .model")[:2]
    ActionChains(browser).send_keys("A dog").key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    assert page.answer(".headline")[0].text == "Ein Hund läuft im Schnee."
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "Ask"


@pytest.mark.parametrize("model", ["digits", "plays", "translations"])
def test_a_narrow_screen_needs_no_scrolling_sideways(browser, visit, page, model):
    metrics = {"width": 340, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        visit(model)
        if model != "digits":
            page.type("A dog runs in the snow .")
            page.ask()
            page.answer()
        widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        needed, available = browser.execute_script(widths)
        assert needed <= available
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system(browser, visit, page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    visit("digits")
    colour = page.one("body").value_of_css_property("background-color")
    assert colour.startswith("rgba(255, 255, 255" if scheme == "light" else "rgba(18, 21, 20")
