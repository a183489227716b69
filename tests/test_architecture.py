"""The shape of the package: a file is a recipe, a folder is shared code, arrows point one way, import is light."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recipes

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recipes"

#: Folder (or "recipe", for the files beside the folders) -> what of ours it may import. From the top down, no circles.
ARROWS = {
    "errors": set(),
    "settings": {"errors"},
    "data": {"devices", "errors"},
    "devices": {"errors"},
    "runs": {"data", "devices", "errors", "recipes", "settings"},
    "serving": set(),
    "tuning": {"errors", "runs"},
    "verbs": {"data", "devices", "errors", "recipes", "runs", "serving", "settings", "tuning"},
    "layers": {"devices", "errors"},
    "optimization": {"devices", "errors"},
    "pretrained": {"data", "devices", "errors"},
    "kinds": {"data", "devices", "errors", "pretrained", "runs", "settings", "verbs"},
    "recipe": {
        "data",
        "devices",
        "errors",
        "kinds",
        "layers",
        "optimization",
        "pretrained",
        "runs",
        "settings",
        "verbs",
    },
    "cli": {"data", "devices", "errors", "kinds", "recipes", "runs", "serving", "settings", "verbs"},
}

#: Shared modules that one recipe alone uses, and why they do not stand on its page.
OF_ONE_RECIPE = {
    "recipes.data.feature_tables": "reads a user's tables of features; nothing of it is the paper's",
    "recipes.data.boxes": "reads a user's photographs with boxes and batches them; nothing of it is the paper's",
    "recipes.data.box_files": "likewise",
    "recipes.data.number_sets": "generates sets of numbers, reads and batches a user's; nothing of it is the paper's",
    "recipes.data.tiles": "cuts images into tiles and puts them together; likewise",
    "recipes.data.standins.groups": "a stand-in, as those of the other recipes",
    "recipes.data.standins.tables": "likewise",
    "recipes.data.tfds.bccd": "a builder for tensorflow-datasets",
    "recipes.data.tfds.hymenoptera": "likewise",
    "recipes.data.tfds.uci": "likewise",
    "recipes.layers.relaxation": "layers for networks of one's own, too; the paper's KL term stands on the page",
    "recipes.kinds.captioning": "beam search, report and export of captions; the model's own step stands on the page",
    "recipes.kinds.detection": "report, answers and export of boxes; default boxes, loss and network stand on the page",
    "recipes.kinds.text_image_search": "recall, search, answers and export; towers' network and loss stand on the page",
    "recipes.kinds.gaussian_regression": "report, answers and export; the Gaussian and its loss stand on the page",
    "recipes.kinds.permutation": "report, answers and export of orders; the paper's algorithm stands on the page",
    "recipes.kinds.caption_scores": "published scores, by their authors' programs",
}


def imports(path):
    """Yields the modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "recipes")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recipes":
            assert node.level == 0, "a copied recipe has no package to be relative to"
            yield node.module


def place(module):
    parts = module.split(".")
    return "recipes" if len(parts) == 1 else "recipe" if parts[1] in recipes.RECIPES else parts[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    inside = path.relative_to(PACKAGE).parts
    if len(inside) == 1 and inside[0].startswith("__"):
        return
    here = inside[0] if len(inside) > 1 else "recipe"
    allowed = ARROWS[here] | {here} if here != "recipe" else ARROWS[here]
    assert {place(module) for module in imports(path)} <= allowed


def test_every_file_is_a_recipe_and_every_recipe_a_file():
    files = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert files == set(recipes.RECIPES)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_has_its_test_notebook_and_row(name):
    assert (ROOT / "tests" / f"test_{name}.py").exists()
    assert (ROOT / "notebooks" / f"{name}.py").exists()
    assert f"`{name}`" in (ROOT / "README.md").read_text()


def closure(module, graph):
    """Returns the modules of ours that one loads, at once or when a verb is called."""
    reached, left = set(), [module]
    while left:
        for imported in graph.get(left.pop(), ()):
            if imported not in reached:
                reached.add(imported)
                left.append(imported)
    return reached


def import_graph():
    """Returns module -> the modules of ours that it names in any import."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    graph = {}
    for module, path in paths.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recipes"):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        graph[module] = names & set(paths)
    return graph


def test_what_one_recipe_alone_uses_stands_on_its_page():
    graph = import_graph()
    users = {}
    for name in recipes.RECIPES:
        for module in closure(f"recipes.{name}", graph):
            users.setdefault(module, set()).add(name)
    rooms = ("data", "kinds", "layers", "optimization", "pretrained", "verbs", "tuning", "runs", "devices")
    alone = {
        module
        for module in graph
        if module.split(".")[1:2] and module.split(".")[1] in rooms and module.count(".") > 1
        if len(users.get(module, ())) < 2 and "__init__" not in str(module)
    }
    packages = {module for module in alone if (ROOT / module.replace(".", "/")).is_dir()}
    for_tools = {"recipes.devices.environment", "recipes.data.standins.catalogue", "recipes.runs.compare"} & alone
    assert alone - packages - for_tools == set(OF_ONE_RECIPE), "see CONTRIBUTING.md: a shared module has two recipes"


def test_no_page_writes_a_verb_again():
    for name in recipes.RECIPES:
        functions = {
            node.name for node in ast.parse((PACKAGE / f"{name}.py").read_text()).body if hasattr(node, "name")
        }
        assert not functions & {"fit", "load", "evaluate", "predict", "tune", "export", "find_learning_rate"}, name


def test_importing_a_recipe_loads_few_modules_of_ours():
    """A newcomer who follows the imports of mnist_dense opens eighteen files, empty packages among them."""
    program = (
        "import importlib, json, sys, keras, recipes\n"
        "loaded = {}\n"
        "for name in recipes.RECIPES:\n"
        "    for module in [m for m in sys.modules if m.startswith('recipes.')]:\n"
        "        del sys.modules[module]\n"
        "    keras.saving.get_custom_objects().clear()\n"
        "    importlib.import_module(f'recipes.{name}')\n"
        "    loaded[name] = sorted(m for m in sys.modules if m.split('.')[0] == 'recipes')\n"
        "print(json.dumps(loaded))\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    most = {name: 18 if name == "mnist_dense" else 24 for name in loaded}
    assert {name: modules for name, modules in loaded.items() if len(modules) > most[name]} == {}


def test_what_is_private_to_keras_and_tensorflow_is_used_in_one_file_of_training_and_one_of_serving():
    private = re.compile(r"keras\.src|tensorflow\.python|\._symbolic_build|\._flatten_layers")
    users = [path.name for path in PACKAGE.rglob("*.py") if private.search(path.read_text())]
    assert sorted(users) == ["engine.py", "keras_fixes.py"]  # the server imports nothing of ours but its own folder


def test_no_two_classes_have_one_name_in_files():
    """Of two in one process, the last that was imported would be read from both recipes' model.keras."""
    places = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in getattr(node, "decorator_list", []) if isinstance(node, ast.ClassDef) else []:
                source = ast.unparse(decorator)
                if "register_keras_serializable" in source or "named_in_files" in source:
                    strings = [one.value for one in ast.walk(decorator) if isinstance(one, ast.Constant)]
                    name = strings[-1] if "named_in_files" in source or len(strings) > 1 else node.name
                    places.setdefault(name, []).append(path.name)
    assert len(places) > 30
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_faces_are_empty():
    for path in PACKAGE.glob("*/**/__init__.py"):
        if path.parent.name not in ("errors", "settings", "cli"):  # rooms of one topic
            [docstring] = ast.parse(path.read_text()).body
            assert isinstance(docstring, ast.Expr), path


@pytest.mark.parametrize(
    "command", ["import recipes", "from recipes.cli import main; main(['list']); main(['--help'])"]
)
def test_import_and_list_load_no_tensorflow(command):
    heavy = "{'tensorflow', 'keras', 'numpy', 'tyro', 'matplotlib'}"
    check = f"import sys; {command}; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, capture_output=True)


def test_an_unknown_recipe_is_an_attribute_error_that_names_the_others():
    with pytest.raises(AttributeError, match="no recipe 'resnet'; there are: mnist_dense"):
        _ = recipes.resnet
    assert "cifar_convnet" in dir(recipes)
