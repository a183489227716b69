"""Makes the pages of the site that follow from other files: one per recipe, the reference, and the texts beside docs/.

Sources are parsed, never imported. `generate()` is called by conf.py at each build.
"""

import ast
import io
import json
import re
import statistics
import tokenize
from dataclasses import dataclass, replace
from pathlib import Path

import griffe

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PACKAGE = ROOT / "recipes"
RESULTS = ROOT / "benchmarks" / "results"
SETTINGS = PACKAGE / "settings" / "__init__.py"

#: Recipe -> result files that are named otherwise than the recipe; None: of another recipe, though the name fits.
RESULTS_OF = {"cifar_lecture": {"default": "cifar_convnet-CLASSIC"}, "cifar_convnet": {"CLASSIC": None}}

#: Recipe -> further measurements that it appears in.
MEASURED_IN = {
    "cifar_convnet": (
        "time_to_accuracy",
        "trust",
        "batch_norm",
        "pipeline",
        "scaling",
        "resume_cifar_convnet",
        "determinism",
        "standins",
    ),
    "cifar_resnet": ("batch_norm",),
    "cifar_googlenet": ("batch_norm",),
    "imdb_lstm": ("standins",),
    "imdb_transformer": ("standins",),
    "mnist_dense": ("determinism", "standins"),
    "shakespeare_gpt": ("nanogpt", "standins"),
    "shakespeare_lstm": ("standins",),
    "show_attend_tell": ("captions", "scenes_norms", "efficientnet_lite"),
    "translate_seq2seq": ("standins",),
    "translate_transformer": ("tokenised_translate_transformer", "standins"),
    "uci_regression": ("uci",),
    "word2vec": ("word_similarity",),
}

#: Folders of the package in the order of the reference.
ROOMS = (
    "verbs",
    "kinds",
    "layers",
    "optimization",
    "data",
    "pretrained",
    "devices",
    "runs",
    "settings",
    "serving",
    "errors",
    "cli",
)

#: Methods that Keras asks of a layer and calls itself.
PRESCRIBED = ("get_config", "compute_output_spec", "compute_mask")

PERCENT = re.compile(r"accuracy|^true$|looked_at|told_apart|map_50|ap_50|_r\d+$")


def generate() -> None:
    """Writes docs/recipes/, docs/reference/ and the copies of texts that stand beside docs/."""
    for folder in ("recipes", "reference"):
        (DOCS / folder).mkdir(exist_ok=True)
    names, written = recipe_names(), set()
    pictures = captions()
    for name in names:
        written |= write(f"recipes/{name}.md", recipe_page(name, pictures))
    written |= write("recipes/index.md", recipes_index(names))
    rooms = [room for room in ROOMS if (PACKAGE / room).is_dir()]
    rooms += sorted(
        path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists() and path.name not in ROOMS
    )
    for room in rooms:
        written |= write(f"reference/{room}.md", room_page(room))
    written |= write("reference/index.md", reference_index(rooms))
    for source, page in (
        ("CHANGELOG.md", "changelog"),
        ("CONTRIBUTING.md", "contributing"),
        ("benchmarks/README.md", "benchmarks"),
        ("notebooks/README.md", "notebooks"),
    ):
        folder = source[: source.rfind("/") + 1]
        write(f"{page}.md", with_links_from(folder, (ROOT / source).read_text()))
    for folder in ("recipes", "reference"):
        for path in (DOCS / folder).glob("*.md"):
            if path not in written:
                path.unlink()


def write(name: str, text: str) -> set[Path]:
    """Writes a page where it differs from what is there, so that Sphinx reads again only what has changed."""
    path = DOCS / name
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return {path}


def with_links_from(folder: str, text: str) -> str:
    """Returns a text of a folder of the project (""; "benchmarks/") with its relative links as they are from docs/."""

    def moved(match: re.Match) -> str:
        start, target = match.groups()
        if re.match(r"https?:|#|mailto:", target):
            return match[0]
        path, _, anchor = target.partition("#")
        parts: list[str] = []
        for part in (folder + path).split("/"):
            parts = parts[:-1] if part == ".." and parts else [*parts, part] if part not in (".", "") else parts
        path = "/".join(parts)
        path = path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
        if (DOCS / path).is_dir():
            return match[0][: -len(target) - len(start)] + start.replace("](", "](") + page_of_folder(path)
        return start + path + (f"#{anchor}" if anchor else "")

    return re.sub(r"(\]\()([^)\s]+)", moved, text)


def page_of_folder(path: str) -> str:
    """Returns the page that stands for a folder which a text links to."""
    return {"../benchmarks/results": "benchmarks.md", "../benchmarks": "benchmarks.md"}.get(path, "index.md")


# ---------------------------------------------------------------- recipes


def recipe_names() -> dict[str, str]:
    """Returns every recipe and its line, in the package's order."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RECIPES":
            return ast.literal_eval(node.value)
    raise LookupError("recipes/__init__.py has no RECIPES")


def captions() -> dict[str, str]:
    """Returns picture -> its caption, as the gallery has them: `![caption](pictures/NAME-WHAT.png)`."""
    text = (DOCS / "gallery.md").read_text()
    return {name: " ".join(caption.split()) for caption, name in re.findall(r"!\[([^\]]*)\]\(pictures/([^)]+)\)", text)}


def recipes_index(names: dict[str, str]) -> str:
    """Returns the list of recipes."""
    rows = "\n".join(f"| [`{name}`]({name}.md) | {line} |" for name, line in names.items())
    tree = "\n".join(names)
    return (
        "# The recipes\n\nEach page has the recipe's own text, its settings, what was measured, and its functions.\n\n"
        f"| recipe | what |\n| --- | --- |\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def recipe_page(name: str, pictures: dict[str, str]) -> str:
    """Returns the page of a recipe."""
    source = (PACKAGE / f"{name}.py").read_text()
    tree = ast.parse(source)
    parts = [f"# {name}\n"]
    for path in sorted((DOCS / "pictures").glob(f"{name}-*.png")):
        caption = pictures.get(path.name, path.stem.removeprefix(f"{name}-").replace("-", " "))
        parts.append(f"![{caption}](../pictures/{path.name})\n\n*{caption}*\n")
    parts.append(as_markdown(ast.get_docstring(tree) or "") + "\n")
    links = [f"[{name}.py](../../recipes/{name}.py)"]
    if (ROOT / "notebooks" / f"{name}.py").exists():
        links.append(f"[the notebook](../../notebooks/{name}.py)")
    parts.append(f"Source: {', '.join(links)}\n")
    parts.append(measured(name))
    parts.append(settings_section(tree, source))
    parts.append("## Functions and classes\n")
    parts.extend(members_of(parsed(PACKAGE / f"{name}.py"), 3, skip=("Config",)))
    return "\n".join(parts)


def measured(name: str) -> str:
    """Returns the section of what was measured, of the result files of a recipe and its settings."""
    named = {
        path.stem.partition("-")[2] or "default": path.stem
        for path in RESULTS.glob(f"{name}*.json")
        if path.stem.partition("-")[0] == name
    }
    named |= RESULTS_OF.get(name, {})
    own = RESULTS / f"{name}.json"
    if own.exists():
        named["default"] = name
    files = {
        setting: RESULTS / f"{stem}.json"
        for setting, stem in sorted(named.items(), key=lambda one: (one[0] != "default", one[0]))
        if stem
    }
    parts = ["## Measured\n"]
    more = [stem for stem in MEASURED_IN.get(name, ()) if (RESULTS / f"{stem}.json").exists()]
    if not files and not more:
        parts.append("Not measured yet.\n")
    for setting, path in files.items():
        result = json.loads(path.read_text())
        seeds, machine = result["seeds"], result["machine"]
        rates = machine.get("gflops_before", {})
        rows = [("figure on the test split", "mean over seeds")]
        for kind in ("test", "evaluated"):
            for figure in seeds[0].get(kind, {}):
                values = [seed[kind][figure] for seed in seeds if figure in seed.get(kind, {})]
                rows.append((f"`{figure}`", with_spread(figure, values)))
        seconds = statistics.mean(seed["seconds"] for seed in seeds)
        rows.append(("time of a run", duration(seconds)))
        rows.append(("seeds", ", ".join(str(seed["seed"]) for seed in seeds)))
        rows.append(("parameters", f"{result['parameters']:,}"))
        rows.append(("precision", result["precision"]))
        gpus = f", {len(machine['gpus'])} GPU" if machine.get("gpus") else ""
        rate = ""
        if rates:
            rate = (
                f"; measured before: {rates['matmul_float32']:.0f} GFLOP/s of a matrix product and "
                f"{rates['conv_float32']:.0f} of a convolution in float32, {rates['matmul_bfloat16']:.0f} and "
                f"{rates['conv_bfloat16']:.0f} in bfloat16"
            )
        rows.append(("machine", f"{machine['cores']} cores of {machine['processor']}{gpus}{rate}"))
        rows.append(("date", result["date"]))
        rows.append(("command", f"`{result['command']}`"))
        rows.append(("file", f"[{path.name}](../../benchmarks/results/{path.name})"))
        data = result["data"]
        title = "The default" if setting == "default" else f"`{setting}`"
        where = " ".join(filter(None, [data["name"], data["version"]]))
        parts.append(f"**{title}**, {result['config']['epochs']} epochs, on {where}:\n")
        (left, right), *rest = rows
        parts.append(f"| {left} | {right} |\n| --- | --- |\n" + "\n".join(f"| {a} | {b} |" for a, b in rest) + "\n")
        if "note" in result:
            note = as_markdown(result["note"])
            parts.append(f"{note[0].upper()}{note[1:]}.\n")
    if more:
        links = ", ".join(f"[{stem}](../../benchmarks/results/{stem}.json)" for stem in more)
        parts.append(f"It is measured {'besides ' if files else ''}in {links}; see [Measurements](../benchmarks.md).\n")
    return "\n".join(parts)


def with_spread(figure: str, values: list[float]) -> str:
    """Returns "98.97 ± 0.02 % (3 seeds)": the mean and the standard deviation of a figure."""
    percent = bool(PERCENT.search(figure)) and max(values) <= 1
    scale, unit = (100, " %") if percent else (1, "")
    digits = 2 if percent or max(map(abs, values)) >= 5 else 4
    if isinstance(values[0], int):
        digits = 0
    mean = f"{scale * statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean}{unit} (1 seed)"
    return f"{mean} ± {scale * statistics.stdev(values):.{digits}f}{unit} ({len(values)} seeds)"


def duration(seconds: float) -> str:
    """Returns seconds as "1 h 52 min" or "2 min 26 s"."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass
class Setting:
    """A field of a Config."""

    group: str
    name: str
    type: str
    default: str
    comment: str


def settings_section(tree: ast.Module, source: str) -> str:
    """Returns the section of a recipe's settings: the fields of its Config, and the constants that change some."""
    parts = ["## Settings\n"]
    fields = config_fields(tree, source, "Config")
    shared = {field.name: field.comment for field in fields_of_settings()}
    for group in dict.fromkeys(field.group for field in fields):
        rows = [
            replace(field, comment=field.comment or shared.get(field.name, ""))
            for field in fields
            if field.group == group
        ]
        parts.append(f"**{group.capitalize() or 'Settings'}**\n\n{table_of_settings(rows)}")
    parts.append(
        "Beside them it has those that every recipe has: [Settings](../reference/settings.md#settings). "
        "A type such as `Count` or `Share` has the range that stands there.\n"
    )
    constants = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function, target = getattr(node.value.func, "id", ""), getattr(node.targets[0], "id", "")
            if function in ("Config", "replace") and target.isupper():
                constants.append(f"{target} = {ast.unparse(node.value)}")
    if constants:
        parts.append(
            "Named settings, for `fit(NAME)` and `--setting NAME`:\n\n```python\n" + "\n".join(constants) + "\n```\n"
        )
    return "\n".join(parts)


def config_fields(tree: ast.Module, source: str, class_name: str) -> list[Setting]:
    """Returns the fields of a dataclass with their comments; a comment line of its own begins a group."""
    node = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    comments = {
        token.start[0]: (token.string.removeprefix("#").strip(), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    group, fields, last = "", [], node.lineno
    for field in node.body:
        for line in range(last, field.lineno):
            text, alone = comments.get(line, ("", False))
            group = text if alone else group
        last = field.end_lineno + 1
        if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation):
            comment = " ".join(comments[line][0] for line in range(field.lineno, last) if line in comments)
            default = " ".join((ast.get_source_segment(source, field.value) or "").split()) if field.value else ""
            fields.append(Setting(group, field.target.id, ast.unparse(field.annotation), default, comment))
    return fields


def table_of_settings(fields: list[Setting]) -> str:
    """Returns settings as a table."""
    rows = [
        f"| `{field.name}` | `{field.default}` | {cell(field.comment)} | `{cell(field.type, False)}` |"
        for field in fields
    ]
    return "\n".join(["| setting | default | what | type |", "| --- | --- | --- | --- |", *rows]) + "\n"


def fields_of_settings() -> list[Setting]:
    """Returns the settings that every recipe has."""
    source = SETTINGS.read_text()
    return config_fields(ast.parse(source), source, "Settings")


def cell(text: str, escape: bool = True) -> str:
    """Returns a text as it can stand in a cell of a table."""
    return (as_markdown(text) if escape else text).replace("|", r"\|")


# ---------------------------------------------------------------- reference


def parsed(path: Path) -> griffe.Module:
    """Returns the module of a file, or of a folder's __init__.py, parsed."""
    file = path / "__init__.py" if path.is_dir() else path
    return griffe.visit(path.stem, filepath=file, code=file.read_text())


def reference_index(rooms: list[str]) -> str:
    """Returns the list of the package's folders."""
    rows = "\n".join(
        f"| [`recipes.{room}`]({room}.md) | {as_markdown(first_line(parsed(PACKAGE / room)))} |" for room in rooms
    )
    return (
        "# Reference\n\nThe shared code, folder by folder, from its docstrings. What a recipe has of its own is on "
        "[its page](../recipes/index.md); [how the folders depend on each other](../architecture.md).\n\n"
        f"| folder | what |\n| --- | --- |\n{rows}\n\n```{{toctree}}\n:hidden:\n\n" + "\n".join(rooms) + "\n```\n"
    )


def first_line(thing: griffe.Object) -> str:
    """Returns the first line of a docstring."""
    return thing.docstring.value.strip().splitlines()[0] if thing.docstring else ""


def room_page(room: str) -> str:
    """Returns the page of a folder: its modules with their public members."""
    folder = PACKAGE / room
    face = parsed(folder)
    parts = [f"# recipes.{room}\n", docstring(face), *members_of(face, 2)]
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if path.name.startswith("_"):
            continue
        module = parsed(path)
        if members := members_of(module, 3):
            parts += [f"## {name}\n", docstring(module), *members]
    return "\n".join(parts)


def members_of(module: griffe.Module, level: int, skip: tuple[str, ...] = ()) -> list[str]:
    """Returns the sections of a module's public functions and classes, in the order of the source."""
    sections = []
    own = [member for member in module.members.values() if not member.is_alias and not member.name.startswith("_")]
    for member in sorted(own, key=lambda member: member.lineno or 0):
        if member.name in skip or not (member.is_function or member.is_class):
            continue
        sections.append(f"{'#' * level} {member.name}\n")
        sections.append(f"```python\n{signature(member)}\n```\n")
        sections.append(docstring(member))
        if member.is_class:
            if member.filepath == SETTINGS and member.name == "Settings":
                sections.append(common_settings())
            else:
                sections.append(fields_of_class(member))
            for method in member.members.values():
                if method.name.startswith("_") or method.name in PRESCRIBED or not method.docstring:
                    continue
                if method.is_function and not method.is_alias:
                    sections.append(f"{'#' * (level + 1)} {member.name}.{method.name}\n")
                    sections.append(f"```python\n{signature(method)}\n```\n")
                    sections.append(docstring(method))
    return sections


def fields_of_class(thing: griffe.Class) -> str:
    """Returns the list of a class's annotated fields (of a dataclass, a NamedTuple) with the comments beside them."""
    source = thing.filepath.read_text()
    fields = [field for field in config_fields(ast.parse(source), source, thing.name) if not field.name.startswith("_")]
    lines = []
    for field in fields:
        default = f" = {field.default}" if field.default else ""
        comment = f": {as_markdown(field.comment)}" if field.comment else ""
        lines.append(f"- `{field.name}: {field.type}{default}`{comment}")
    return "\n".join(lines) + "\n" if lines else ""


def common_settings() -> str:
    """Returns the table of the settings that every recipe has, and what the names of their types stand for."""
    ranges = re.findall(r"^(\w+ = (?:Annotated\[|tuple\[).*)$", SETTINGS.read_text(), re.MULTILINE)
    kinds = "\n".join(ranges)
    return f"{table_of_settings(fields_of_settings())}\nWhat a value may be:\n\n```python\n{kinds}\n```\n"


def signature(thing: griffe.Object) -> str:
    """Returns the line that defines a function or a class, on several lines where it is long."""
    if thing.is_class:
        bases = ", ".join(str(base) for base in thing.bases)
        return f"class {thing.name}({bases})" if bases else f"class {thing.name}"
    parameters, star = [], False
    for parameter in thing.parameters:
        kind = parameter.kind.name if parameter.kind else ""
        if kind == "var_positional":
            star = True
        if kind == "keyword_only" and not star:
            parameters.append("*")
            star = True
        prefix = {"var_positional": "*", "var_keyword": "**"}.get(kind, "")
        text = prefix + parameter.name + (f": {parameter.annotation}" if parameter.annotation else "")
        if parameter.default is not None and not prefix:
            text += f" = {parameter.default}" if parameter.annotation else f"={parameter.default}"
        parameters.append(text)
    returns = f" -> {thing.returns}" if thing.returns else ""
    line = f"{thing.name}({', '.join(parameters)}){returns}"
    if len(line) <= 100:
        return line
    return f"{thing.name}(\n" + "".join(f"    {text},\n" for text in parameters) + f"){returns}"


SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Examples?):[ ]*$", re.MULTILINE)


def docstring(thing: griffe.Object) -> str:
    """Returns a docstring in Google's style as Markdown: its sections as lists."""
    if not thing.docstring:
        return ""
    text = thing.docstring.value.strip()
    parts, titles = SECTION.split(text)[::2], SECTION.split(text)[1::2]
    sections = [as_markdown(parts[0].strip())]
    for title, body in zip(titles, parts[1:], strict=True):
        lines = body.strip("\n").splitlines()
        block = [line[4:] if line.startswith("    ") else line for line in lines]
        after = []
        indented = [line.startswith("    ") or not line.strip() for line in lines]
        if not all(indented):  # a paragraph after the section
            cut = indented.index(False)
            block, after = block[:cut], lines[cut:]
        if title.startswith("Example"):
            sections.append("**Example**\n\n```pycon\n" + "\n".join(block).strip() + "\n```")
        else:
            sections.append(f"**{title}**\n\n{as_list(block)}")
        if after:
            sections.append(as_markdown("\n".join(after).strip()))
    return "\n\n".join(sections) + "\n"


def as_list(lines: list[str]) -> str:
    """Returns "name: text" entries, whose further lines are indented, as a list; a plain text as it is."""
    entries: list[str] = []
    for line in lines:
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        elif line.strip():
            entries.append(line.strip())
    named = [re.match(r"(\*{0,2}[\w.]+(?: \([^)]*\))?): (.*)", entry, re.DOTALL) for entry in entries]
    if not all(named):
        return as_markdown("\n".join(lines).strip())
    return "\n".join(f"- `{match[1]}`: {as_markdown(match[2])}" for match in named if match)


def as_markdown(text: str) -> str:
    """Returns a docstring's text as Markdown: what looks like HTML is escaped outside of code."""
    text = re.sub(r"(https?://\S+/)\n(\w+/\))", r"\1\2", text)  # an address over two lines
    text = re.sub(r"^(\d+)\. ", r"\1\\. ", text, flags=re.MULTILINE)
    lines, code, example = [], False, False
    for line in text.splitlines():
        if line.startswith(">>> ") and not example:
            example = True
            lines.append("```pycon")
        elif example and not line.strip():
            example = False
            lines.append("```")
        if example:
            lines.append(line)
            continue
        code = line.startswith("    ") and (code or not lines or not lines[-1].strip())
        if not code:
            pieces = re.split(r"(`[^`]*`)", line)
            line = "".join(
                piece
                if piece.startswith("`") and len(piece) > 1
                else piece.replace("<", "&lt;").replace("*", r"\*").replace("[", r"\[")
                for piece in pieces
            )
        lines.append(line)
    if example:
        lines.append("```")
    return "\n".join(lines)
