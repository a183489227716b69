"""TensorBoard's own HParams backend reads what is written of the trials."""

import subprocess
import sys

import pytest
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from recipes.tuning.hparams_board import write_hparams
from recipes.tuning.trial_results import TrialResult

VALUES = {"rate": 0.1, "layers": 3, "augment": True, "optimizer": "sgd", "units": (64, 32)}
GOOD = TrialResult("00", VALUES, figures=(0.5, 0.75), figure=0.75, seconds=8.0)
FAILED = TrialResult("01", {"rate": 0.9, "optimizer": "\x1b[2J"}, figures=(float("nan"),), error="no memory")


def session_groups(folder):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(base_plugin.TBContext(logdir=str(folder), data_provider=provider))
    experiment = context.experiment_from_metadata(
        RequestContext(), "", True, context.hparams_metadata(RequestContext(), ""), None
    )
    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]
    columns = [api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos]
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=statuses, col_params=columns, start_index=0, slice_size=10, include_metrics=True
    )
    response = list_session_groups.Handler(RequestContext(), context, "", request).run()
    return {group.name: group for group in response.session_groups}, multiplexer


def test_tensorboard_reads_values_figures_and_how_it_ended(tmp_path):
    for trial in (GOOD, FAILED):
        write_hparams(tmp_path / trial.id, trial, "val_accuracy")
    groups, multiplexer = session_groups(tmp_path)
    good, failed = groups["00"], groups["01"]
    hparams = {name: getattr(value, value.WhichOneof("kind")) for name, value in good.hparams.items()}
    assert hparams == VALUES | {"units": "(64, 32)"}
    assert failed.hparams["optimizer"].string_value == r"\x1b[2J"
    [metric] = good.metric_values
    assert (metric.name.tag, metric.value, metric.training_step) == ("val_accuracy", 0.75, 2)
    assert [event.step for event in multiplexer.Tensors("00", "val_accuracy")] == [1, 2]
    [session] = good.sessions
    assert session.status == api_pb2.STATUS_SUCCESS
    assert session.end_time_secs - session.start_time_secs == pytest.approx(8)
    assert [each.status for each in failed.sessions] == [api_pb2.STATUS_FAILURE]


def test_a_trial_that_is_written_again_stands_once(tmp_path):
    write_hparams(tmp_path / "00", GOOD, "val_accuracy")
    write_hparams(tmp_path / "00", GOOD, "val_accuracy")
    groups, multiplexer = session_groups(tmp_path)
    assert len(groups["00"].sessions) == 1
    assert len(multiplexer.Tensors("00", "val_accuracy")) == 2
    assert len(list((tmp_path / "00").iterdir())) == 1


def test_no_runtime_of_tensorflow_is_started(tmp_path):
    code = (
        "from pathlib import Path\n"
        "from recipes.tuning.hparams_board import write_hparams\n"
        "from recipes.tuning.trial_results import TrialResult\n"
        f"write_hparams(Path({str(tmp_path)!r}), TrialResult('00', {{'rate': 0.1}}, figures=(0.5,)), 'val_loss')\n"
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)"
    )  # which is refused once the runtime has been started
    subprocess.run([sys.executable, "-c", code], check=True)
