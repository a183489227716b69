"""`recipes completion SHELL`: a script that completes verbs, recipes, their options and settings. No TensorFlow."""

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import recipes
from recipes.cli import VERBS
from recipes.cli.options import OPTIONS, WITH_SETTINGS, presets
from recipes.cli.runs import COMMANDS
from recipes.cli.settings_page import settings_page
from recipes.errors import UsageError, did_you_mean

SHELLS = {
    "bash": "source <(recipes completion bash)",
    "zsh": "source <(recipes completion zsh)",
    "fish": "recipes completion fish | source",
}


def completion(arguments: list[str]) -> int:
    """Prints the script of a shell; returns 0."""
    if arguments in (["-h"], ["--help"]):
        print(f"usage: recipes completion {'|'.join(SHELLS)}\n\nPrints a script. In the shell's start-up file:\n")
        print("\n".join(f"  {shell}:  {line}" for shell, line in SHELLS.items()))
        return 0
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        near = did_you_mean(arguments[0], SHELLS) if arguments else ""
        raise UsageError(f"completion got {' '.join(arguments) or 'nothing'}{near}; expected {', '.join(SHELLS)}")
    print(_fish() if arguments[0] == "fish" else _bash(zsh=arguments[0] == "zsh"))
    return 0


def second_words() -> dict[str, list[str]]:
    """Returns verb -> what may come after it."""
    named = {verb: list(recipes.RECIPES) for verb, (takes, _) in VERBS.items() if takes.startswith("NAME")}
    return {**named, "launch": ["--workers"], "runs": list(COMMANDS), "completion": list(SHELLS)}


def verb_options() -> dict[str, list[str]]:
    """Returns verb -> its options, without the settings of recipes."""
    every = {verb: [*_options(options), "--help"] for verb, options in OPTIONS.items()}
    of_runs = dict.fromkeys(option for options in COMMANDS.values() for option in _options(options))
    return {**every, "runs": [*of_runs, "--help"], "list": ["--json", "--help"], "doctor": ["--json", "--help"]}


def recipe_settings() -> dict[str, tuple[list[str], list[str]]]:
    """Returns recipe -> (the options that are its settings, the names that --setting takes)."""
    found = {}
    for name in recipes.RECIPES:
        page = settings_page(Path(recipes.__file__).parent / f"{name}.py")
        if page is not None:
            found[name] = _options(page.Config), ["default", *presets(page)]
    return found


def _options(options: type) -> list[str]:
    """Returns a dataclass's fields as options; a bool is two, and what has no name of its own is none."""
    hints = get_type_hints(options, include_extras=True)
    names = [
        each.name
        for each in fields(options)
        if each.name not in ("inputs", "texts", "text", "photos", "photo", "prompt", "word", "names")
    ]
    names = [name for name in names if not (name == "name" and options is COMMANDS["list"])]
    plain = [name.replace("_", "-") for name in names]
    return [f"--{name}" for name in plain] + [
        f"--no-{shown}" for name, shown in zip(names, plain, strict=True) if hints[name] is bool
    ]


def _bash(zsh: bool) -> str:
    """Returns the script for bash; zsh reads it through its own bashcompinit."""

    def cases(of: dict[str, list[str]], variable: str) -> list[str]:
        return [f"        {name}) {variable}='{' '.join(words)}' ;;" for name, words in of.items()]

    settings = recipe_settings()
    lines = [
        f"# {'zsh' if zsh else 'bash'} completion of recipes: {SHELLS['zsh' if zsh else 'bash']}",
        *(["autoload -U +X bashcompinit && bashcompinit"] if zsh else []),
        "_recipes() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        '    local verb="${COMP_WORDS[1]}" name="${COMP_WORDS[2]}" own=""',
        "    COMPREPLY=()",
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f"        words='{' '.join([*VERBS, '--help', '--version'])}'",
        '    elif [ "$before" = --setting ]; then',
        '        case "$name" in',
        *cases({name: names for name, (_, names) in settings.items()}, "words"),
        "        esac",
        '    elif [ "${word#-}" != "$word" ]; then',
        '        case "$verb" in',
        *cases(verb_options(), "words"),
        "        esac",
        f'        case "$verb" in {"|".join(WITH_SETTINGS)}) case "$name" in',
        *cases({name: options for name, (options, _) in settings.items()}, "own"),
        "        esac ;; esac",
        '    elif [ "$COMP_CWORD" -eq 2 ]; then',
        '        case "$verb" in',
        *cases(second_words(), "words"),
        "        esac",
        "    fi",
        '    COMPREPLY=( $(compgen -W "$words $own" -- "$word") )',
        "}",
        "complete -o default -F _recipes recipes",
    ]
    return "\n".join(lines)


def _fish() -> str:
    """Returns the script for fish."""
    lines = [
        f"# fish completion of recipes: {SHELLS['fish']}",
        "function __recipes_has",
        "    set -l words (commandline -opc)",
        "    set -l at 1",
        "    for word in $argv",
        "        set at (math $at + 1)",
        '        contains -- "$words[$at]" (string split , -- $word); or return 1',
        "    end",
        "end",
        "function __recipes_at",
        "    test (count (commandline -opc)) -eq $argv[1]",
        "end",
        f"complete -c recipes -f -n '__recipes_at 1' -a '{' '.join(VERBS)}'",
    ]
    for verb, words in second_words().items():
        lines.append(f"complete -c recipes -f -n '__recipes_at 2; and __recipes_has {verb}' -a '{' '.join(words)}'")
    for verb, options in verb_options().items():
        lines += [f"complete -c recipes -n '__recipes_has {verb}' -l {option[2:]}" for option in options]
    for name, (options, names) in recipe_settings().items():
        here = f"__recipes_has {','.join(WITH_SETTINGS)} {name}"
        lines.append(f"complete -c recipes -n '{here}' -l setting -x -a '{' '.join(names)}'")
        lines += [f"complete -c recipes -n '{here}' -l {option[2:]}" for option in options]
    return "\n".join(lines)
