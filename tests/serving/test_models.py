"""Versions come and go: which are wanted, in what order they are loaded and unloaded, and what a failure displaces."""

import threading
from pathlib import Path

import pytest

from recipes.serving.model_config import ModelConfig, models_in, models_of, read_model_config, source_of_file
from recipes.serving.models import Models, ModelSpec
from recipes.serving.status import Code, ServingError


class Engine:
    """A model in memory, without one."""

    def __init__(self, path):
        self.path, self.is_open = path, True

    def run(self, *_):
        assert self.is_open
        return {}

    def close(self):
        self.is_open = False


class House:
    """A folder with one model "m", and what is done with its versions."""

    def __init__(self, base, **config):
        self.base, self.config, self.events, self.engines = base, {"name": "m", "base_path": base, **config}, [], {}
        base.mkdir()
        self.models = Models(lambda: [ModelConfig(**self.config)], self.load, poll_seconds=0)

    def add(self, *names, content="a model"):
        for name in names:
            (self.base / name).mkdir(exist_ok=True)
            (self.base / name / "saved_model.pb").write_text(content)

    def load(self, config, path):
        if "broken" in (path / "saved_model.pb").read_text():
            self.events.append(f"failed {path.name}")
            raise ServingError(Code.DATA_LOSS, "it is broken")
        self.events.append(f"load {path.name}")
        engine = self.engines[path.name] = Engine(path)
        return engine

    def poll(self):
        before = {name for name, engine in self.engines.items() if engine.is_open}
        self.models.poll()
        gone = [f"unload {name}" for name in sorted(before) if not self.engines[name].is_open]
        events, self.events = self.events + gone, []
        return events

    def states(self):
        return {one.version: one.state for one in self.models.statuses("m")}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "m")


def test_the_highest_version_is_served_and_a_higher_one_takes_its_place(house):
    house.add("1", "9", "10", "tmp-5", "2.denied", ".part-3")
    assert house.poll() == ["load 10"]
    house.add("00011")
    assert house.poll() == ["load 00011", "unload 10"]
    assert house.states() == {11: "AVAILABLE", 10: "END"}
    with house.models.using(ModelSpec("m")) as served:
        assert served.version == 11
    assert house.poll() == []


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [
        ({"latest": 2}, ["load 3", "load 2"]),
        ({"latest": 0}, ["load 3", "load 2", "load 1"]),
        ({"versions": (1, 3, 7)}, ["load 3", "load 1"]),
    ],
)
def test_policies(tmp_path, policy, loaded):
    house = House(tmp_path / "m", **policy)
    house.add("1", "2", "3")
    assert house.poll() == loaded


def test_a_broken_version_displaces_nothing_and_is_tried_again_when_it_changes(house):
    house.add("1")
    house.poll()
    house.add("2", content="broken")
    assert house.poll() == ["failed 2"]
    assert house.poll() == [], "the same files are not tried again at once"
    assert house.states() == {2: "END", 1: "AVAILABLE"}
    [broken, _] = house.models.statuses("m")
    assert (broken.code, broken.message) == (Code.DATA_LOSS, "it is broken")
    assert house.models.is_ready()
    house.add("2", content="mended by hand")
    assert house.poll() == ["load 2", "unload 1"]


def test_what_vanishes_is_unloaded_but_not_with_the_whole_folder(house, tmp_path):
    house.add("1", "2")
    house.poll()
    (house.base / "2").rename(tmp_path / "kept")
    assert house.poll() == ["load 1", "unload 2"]
    house.base.rename(tmp_path / "unmounted")
    assert house.poll() == []
    (tmp_path / "unmounted").rename(house.base)
    (house.base / "1").rename(tmp_path / "gone")
    assert house.poll() == ["unload 1"]
    assert not house.models.is_ready()


def test_a_version_is_unloaded_after_its_last_request(house):
    house.add("1")
    house.poll()
    with house.models.using(ModelSpec("m")) as served:
        house.add("2")
        switch = threading.Thread(target=house.models.poll)
        switch.start()
        while house.states() != {1: "UNLOADING", 2: "AVAILABLE"}:
            pass
        served.run()
        with house.models.using(ModelSpec("m")) as new:
            assert new.version == 2
        assert served.engine.is_open
    switch.join(10)
    assert not served.engine.is_open


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (ModelSpec(""), Code.INVALID_ARGUMENT, "ModelSpec has no name"),
        (ModelSpec("x"), Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (ModelSpec("m", 5), Code.NOT_FOUND, "Servable not found for request: Specific(m, 5)"),
        (ModelSpec("m", None, "canary"), Code.INVALID_ARGUMENT, "Unrecognized servable version label: canary"),
    ],
)
def test_who_asks_for_what_is_not_served(house, spec, code, message):
    house.add("1")
    house.poll()
    with pytest.raises(ServingError) as error, house.models.using(spec):
        pass
    assert error.value.code == code
    assert message in error.value.message


def test_labels_are_of_versions_that_are_served(tmp_path):
    house = House(tmp_path / "m", latest=2, labels={"stable": 1, "canary": 2})
    house.add("1", "2")
    house.poll()
    with house.models.using(ModelSpec("m", None, "stable")) as served:
        assert served.version == 1
    with pytest.raises(ServingError, match="assign label to version 9 of model m, which is not currently available"):
        house.models.reload([ModelConfig("m", house.base, 2, labels={"stable": 9})])
    assert house.models.labels("m") == {"stable": 1, "canary": 2}
    assert house.poll() == [], "what was refused is not tried later"


def test_a_label_waits_for_its_version(tmp_path):
    house = House(tmp_path / "m", latest=2)
    house.add("1")
    house.poll()
    house.config["labels"] = {"canary": 2}
    with pytest.raises(ServingError, match="which is not currently available"):
        house.models.poll()
    house.add("2")
    house.poll()
    assert house.models.labels("m") == {"canary": 2}


def test_a_reload_serves_exactly_the_new_models_and_tells_what_failed(house, tmp_path):
    house.add("1")
    house.poll()
    other = House(tmp_path / "n")
    other.add("4", content="broken")
    with pytest.raises(ServingError, match="it is broken"):
        house.models.reload([ModelConfig("n", other.base)])
    assert house.models.names() == ["n"]
    assert not house.engines["1"].is_open
    house.poll()
    assert house.models.names() == ["n"], "the source says what it said before"
    house.config["latest"] = 2
    house.poll()
    assert house.models.names() == ["m"]


def test_every_model_of_a_root(tmp_path):
    for name in ("b/1", "a/7", "empty", "file/x", ".hidden/1"):
        (tmp_path / name).mkdir(parents=True)
    assert [model.name for model in models_in(tmp_path)] == ["a", "b"]
    assert [model.name for model in models_in(tmp_path, ["soon"])] == ["soon"]
    assert models_in(tmp_path / "nowhere") == []


CONFIG = """
model_config_list {{
  config {{ name: "m" base_path: "{base}" model_platform: "tensorflow"
            model_version_policy {{ specific {{ versions: 42 versions: 43 }} }}
            version_labels {{ key: "stable" value: 42 }} }}
  config {{ name: "n" base_path: "/n" model_version_policy {{ all {{ }} }} }}
  config {{ name: "o" base_path: "/o" model_version_policy {{ latest {{ num_versions: 3 }} }} }}
}}
"""


def test_a_model_config_file(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(CONFIG.format(base="/m"))
    [m, n, o] = models_of(read_model_config(path))
    assert m == ModelConfig("m", Path("/m"), versions=(42, 43), labels={"stable": 42})
    assert (n.latest, o.latest) == (0, 3)
    read = source_of_file(path)
    assert [one.name for one in read()] == ["m", "n", "o"]
    assert read() is None, "it has not changed"
    path.write_text("nonsense")
    assert read() is None, "the models stay as they are"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nam: 'x' } }", "Error parsing text-format tensorflow.serving.ModelServerConfig"),
        ("", "expects the models as model_config_list"),
        (CONFIG.format(base="relative"), "absolute base_path"),
        (CONFIG.replace('"n"', '"m"').format(base="/m"), "Duplicate model names: m"),
        (CONFIG.replace('"tensorflow"', '"torch"').format(base="/m"), "platform 'torch'; expected 'tensorflow'"),
    ],
)
def test_a_wrong_model_config_file(tmp_path, text, message):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ServingError, match=message):
        models_of(read_model_config(path))


def test_an_end_while_models_are_loaded_waits_for_no_more_of_them(tmp_path):
    names = [f"m{number}" for number in range(20)]
    for name in names:
        (tmp_path / name / "1").mkdir(parents=True)
    loaded = []

    def load(_, path):
        loaded.append(path)
        models.stop()
        return Engine(path)

    configs = [ModelConfig(name, tmp_path / name, labels={"stable": 1}) for name in names]
    models = Models(lambda: configs, load, poll_seconds=0)
    models.start()
    assert 1 <= len(loaded) <= 4
    models.close()
