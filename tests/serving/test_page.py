"""The page without a browser: its files, its headers, what it is told of the models, and rules for its source."""

import json
import re
from pathlib import Path

import pytest
import tensorflow as tf

from recipes.serving import page
from recipes.serving.http_messages import Request
from recipes.serving.limits import Limits
from recipes.serving.signatures import CLASSIFY, PREDICT, REGRESS
from serving.canned_server import HOSTILE, INFERENCE, MANIFESTS, signature

FOLDER = Path(page.__file__).parent / "page"


def get(target, method="GET"):
    return page.answer(INFERENCE, Limits(), Request(method, target, {}))


@pytest.mark.parametrize("target", [*page.FILES, "/page/models", "/?from=a-link"])
def test_every_answer_keeps_the_browser_on_this_server(target):
    response = get(target)
    headers = dict(response.headers)
    assert response.status == 200
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_all_files_of_the_folder_are_served_and_no_others():
    assert {name for name, _ in page.FILES.values()} == {path.name for path in FOLDER.iterdir()}
    for target in ("/page/../page.py", "/page/", "/page/index.html", "/v1/models/digits", "//", "/page/%2e%2e/page.py"):
        assert get(target) is None


def test_other_methods_are_refused():
    response = get("/", "POST")
    assert response.status == 405
    assert dict(response.headers)["Allow"] == "GET, HEAD"
    assert "expected GET" in json.loads(response.body)["error"]


def test_models_are_described_with_versions_signatures_and_manifest():
    described = {one["name"]: one for one in json.loads(get("/page/models").body)}
    digits = described["digits"]
    assert digits["serving"] == 2
    assert digits["labels"] == {"stable": 1, HOSTILE: 2}
    assert digits["versions"][0] == {"version": 2, "state": "AVAILABLE", "message": ""}
    assert digits["signatures"]["serving_default"] == {
        "method": "predict",
        "inputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
        "outputs": {
            "label": {"dtype": "string", "shape": [None]},
            "probability": {"dtype": "float32", "shape": [None]},
            "probabilities": {"dtype": "float32", "shape": [None, 10]},
        },
    }
    assert digits["manifest"] == {key: value for key, value in MANIFESTS["digits"].items() if key != "sha256"}
    assert described["half_plus_two"]["signatures"]["serving_default"]["inputs"]["x"]["shape"] is None
    broken = described["broken"]
    assert (broken["serving"], broken["signatures"], broken["manifest"]) == (None, {}, None)
    assert "cannot be loaded" in broken["versions"][0]["message"]


STRINGS, FLOATS = (tf.string, (None,)), (tf.float32, (None, 2))


@pytest.mark.parametrize(
    ("inputs", "outputs", "method_name", "method"),
    [
        ({"inputs": STRINGS}, {"classes": FLOATS, "scores": FLOATS}, PREDICT, "classify"),  # of Keras' export
        ({"inputs": STRINGS}, {"outputs": FLOATS}, PREDICT, "regress"),
        ({"inputs": FLOATS}, {"outputs": FLOATS}, PREDICT, "predict"),
        ({"text": STRINGS}, {"scores": FLOATS}, PREDICT, "predict"),
        ({"inputs": STRINGS}, {}, PREDICT, "predict"),
        ({"inputs": FLOATS}, {"scores": FLOATS}, CLASSIFY, "classify"),
        ({"inputs": FLOATS}, {"outputs": FLOATS}, REGRESS, "regress"),
    ],
)
def test_the_method_of_a_signature_follows_from_its_name_or_its_tensors(inputs, outputs, method_name, method):
    assert page.method_of(signature(inputs, outputs, method_name)) == method


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_the_source_has_no_markup_from_texts_no_inline_code_and_nothing_from_elsewhere(path):
    source = path.read_text()
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc"
    assert not re.search(rf"{forbidden}|\beval\b|new Function|javascript:", source)
    assert not re.search(
        r"""localStorage|sessionStorage|document\.cookie|indexedDB""", source
    )  # a token stays in memory
    elsewhere = re.findall(r"""(?:https?:)?//[\w.]+""", re.sub(r"^\s*//.*|\s// .*|/\*.*?\*/", "", source, flags=re.M))
    assert set(elsewhere) <= {"http://www.w3.org"}  # the name of SVG, which nothing fetches
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", source)


def luminance(colour):
    """Returns WCAG 2's relative luminance of #rrggbb."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_and_edges_have_contrast(scheme):
    blocks = re.findall(r":root \{(.*?)\}", (FOLDER / "page.css").read_text(), re.S)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", blocks[scheme]))
    texts = [(ink, ground) for ink in ("ink", "soft", "accent", "bad") for ground in ("ground", "sunken")]
    texts += [("on-accent", "accent"), ("ink", "tint"), ("ink", "warm-ground"), ("soft", "tint")]
    edges = [("edge", "ground"), ("edge", "sunken"), ("accent", "sunken"), ("warm", "warm-ground")]
    for pairs, least in ((texts, 4.5), (edges, 3)):
        for first, second in pairs:
            darker, lighter = sorted(luminance(colours[name]) for name in (first, second))
            assert (lighter + 0.05) / (darker + 0.05) >= least, (first, second)
