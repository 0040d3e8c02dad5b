"""Fault models as configuration."""

from floorcast.common.config import load_model, save_model
from floorcast.robots.faults import FaultModel


def test_a_planned_fault_is_read_back_as_it_was_written(tmp_path):
    for model in (FaultModel(kind="motor", at_s=40.0, robot=0, side="left"), FaultModel(kind="bearing", scale_h=600)):
        save_model(model, tmp_path / "fault.yaml")
        assert load_model(tmp_path / "fault.yaml", FaultModel) == model
