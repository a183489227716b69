"""Hyperband: many settings for a few epochs, the better ones for more."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner

from recipes.errors import ConfigError
from recipes.tuning.recorded_oracle import Recorded


class HyperbandOracle(Recorded, keras_tuner.oracles.HyperbandOracle):
    """Hyperband (Li et al. 2018, https://arxiv.org/abs/1603.06560), of as many settings as are asked for.

    Keras Tuner's sizes of brackets follow from the number of epochs. Here they are in the same proportions, and
    together `settings`; and a trial that fails counts as the worst of its round, where Keras Tuner's would leave its
    bracket waiting for a result for ever.

    Args:
        settings: How many different ones are tried, each of them in one or more trials.
        epochs: Of a trial that is trained to its end.
        how: What the oracle of Keras Tuner takes besides.
    """

    def __init__(self, settings: int, epochs: int, **how: Any) -> None:
        self.sizes: list[int] = []
        super().__init__(max_epochs=epochs, **how)
        brackets = self._get_num_brackets()
        if settings < brackets:
            raise ConfigError(
                f"trials={settings}, and hyperband has {brackets} brackets for epochs={epochs}; expected {brackets} or "
                "more, or tuner='random'"
            )
        usual = [keras_tuner.oracles.HyperbandOracle._get_size(self, bracket, 0) for bracket in range(brackets)]
        shares = [1 + (settings - brackets) * size / sum(usual) for size in usual]
        self.sizes = [math.floor(share) for share in shares]
        by_rest = sorted(range(brackets), key=lambda bracket: self.sizes[bracket] - shares[bracket])
        for bracket in by_rest[: settings - sum(self.sizes)]:
            self.sizes[bracket] += 1
        numbers = reversed(range(brackets))
        self._brackets: list[dict[str, Any]] = [
            {"bracket_num": number, "rounds": [[] for _ in range(number + 1)]} for number in numbers
        ]

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        return math.ceil(self.sizes[bracket_num] / self.factor**round_num)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Promotes a trial that is certain to be among the best of its round, or else proposes new settings."""
        for bracket in self._brackets:
            for number in range(1, len(bracket["rounds"])):
                if (best := self._to_be_promoted(bracket, number)) is not None:
                    bracket["rounds"][number].append({"past_id": best.trial_id, "id": trial_id})
                    values = {**best.hyperparameters.values, "tuner/trial_id": best.trial_id}
                    return {"status": "RUNNING", "values": values | self._budget(bracket["bracket_num"], number)}
        unfilled = [each for each in self._brackets if len(each["rounds"][0]) < self.sizes[each["bracket_num"]]]
        for bracket in unfilled:
            if values := self._random_values():
                bracket["rounds"][0].append({"past_id": None, "id": trial_id})
                return {"status": "RUNNING", "values": values | self._budget(bracket["bracket_num"], 0)}
            self.sizes[bracket["bracket_num"]] = len(bracket["rounds"][0])  # the space is exhausted
        if unfilled:
            return self.populate_space(trial_id)
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}

    def _to_be_promoted(self, bracket: dict[str, Any], number: int) -> Any:
        """Returns the best trial of the round before that was not promoted yet, if it is sure to be; else None."""
        waiting = self._waiting(bracket, number)
        places = self._get_size(bracket["bracket_num"], number) - len(bracket["rounds"][number])
        if not waiting or self._to_come(bracket, number - 1) >= places:
            return None
        sign = 1 if self.objective.direction == "max" else -1
        return max(waiting, key=lambda trial: sign * trial.score)

    def _waiting(self, bracket: dict[str, Any], number: int) -> list[Any]:
        """Returns the trials that could be promoted to a round."""
        done = {each["past_id"] for each in bracket["rounds"][number]}
        before = [self.trials[each["id"]] for each in bracket["rounds"][number - 1] if each["id"] not in done]
        return [trial for trial in before if trial.status == "COMPLETED"]

    def _to_come(self, bracket: dict[str, Any], number: int) -> int:
        """Returns how many results a round may still have, of trials that will be promoted to it, too."""
        begun = bracket["rounds"][number]
        more = self._get_size(bracket["bracket_num"], number) - len(begun)
        if number:  # where trials have failed there are fewer to be promoted
            more = min(more, len(self._waiting(bracket, number)) + self._to_come(bracket, number - 1))
        return more + sum(each["id"] not in self.ended for each in begun)

    def _record_values(self, trial: Any) -> None:
        """Keeps a promoted trial's values as they are; Keras Tuner draws one for what has come up in others since."""
        values = dict(trial.hyperparameters.values)
        super()._record_values(trial)
        if "tuner/trial_id" in values:
            trial.hyperparameters.values = values

    def get_state(self) -> dict[str, Any]:
        """Returns what is saved."""
        return {**super().get_state(), "sizes": self.sizes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what was saved."""
        super().set_state(state)
        self.sizes = state["sizes"]

    def _budget(self, bracket: int, number: int) -> dict[str, int]:
        before = self._get_epochs(bracket, number - 1) if number else 0
        return {"tuner/epochs": self._get_epochs(bracket, number), "tuner/initial_epoch": before}

    def planned_epochs(self) -> int:
        """Returns how many epochs all trials and START are to train together."""
        rounds = [(bracket, number) for bracket in range(len(self.sizes)) for number in range(bracket + 1)]
        budgets = [(self._get_size(*each), self._budget(*each)) for each in rounds]
        return self.epochs + sum(
            size * (budget["tuner/epochs"] - budget["tuner/initial_epoch"]) for size, budget in budgets
        )
