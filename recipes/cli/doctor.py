"""`recipes doctor`: what a run on this machine would find."""

from recipes.cli.output import print_json
from recipes.data.sources import data_dir, network_problem, prepared_datasets
from recipes.data.standins.catalogue import STANDINS
from recipes.devices.environment import environment
from recipes.devices.precision import choose_precision, precision_file
from recipes.devices.strategies import choose_strategy, describe_strategy
from recipes.devices.workers import find_cluster
from recipes.errors import RecipeError, one_line


def doctor(as_json: bool = False) -> int:
    """Prints packages, hardware, what strategy and precision "auto" choose, and the data at hand."""
    here = environment()
    precision = choose_precision()
    try:
        cluster = find_cluster()  # looked at alone: the strategy itself would wait for the other workers
        strategy = (
            f"worker {cluster.worker} of {len(cluster.addresses)}: {', '.join(cluster.addresses)}"
            if cluster
            else describe_strategy(choose_strategy())
        )
    except RecipeError as error:
        strategy = f"none: {error}"
    problem = network_problem()
    kept = f"; kept in {precision_file()}, remove it to measure again" if precision_file().exists() else ""
    if as_json:
        print_json(
            {
                **here,
                "strategy": strategy,
                "precision": precision.policy,
                "precision_reason": precision.reason + kept,
                "data_folder": data_dir(),
                "data_sets": prepared_datasets(),
                "stand_ins": list(STANDINS),
                "network_problem": problem,
            }
        )
        return 0
    rows = {
        "python": f"{here['python']} on {here['system']}",
        "packages": ", ".join(f"{name} {number}" for name, number in here["packages"].items()),
        "processor": f"{here['cores']} cores of {here['processor']}, {here['memory_gib']} GiB of memory",
        "GPUs": ", ".join(here["gpus"]) or "none",
        "strategy": strategy,
        "precision": f"{precision.policy} ({precision.reason}{kept})",
        "data folder": f"{data_dir()}" + ("" if data_dir().is_dir() else " (does not exist yet)"),
        "data sets": ", ".join(prepared_datasets()) or "none prepared; downloaded on first use",
        "stand-ins": ", ".join(STANDINS),
        "network": problem or "there is one",
    }
    print("\n".join(f"{name:<12} {one_line(value)}" for name, value in rows.items()))
    return 0
