"""Layouts: the static hall, its generator, checks and drawings."""

from .drawing import draw_plan, plan_svg
from .generator import LayoutRecipe, generate_layout
from .geometry import LayoutSolids, layout_solids
from .model import Layout
from .occupancy import OccupancyGrid, clearance_field, occupancy_grid
from .validation import Problem, check_layout, require_valid

__all__ = [
    "Layout",
    "LayoutRecipe",
    "LayoutSolids",
    "OccupancyGrid",
    "Problem",
    "check_layout",
    "clearance_field",
    "draw_plan",
    "generate_layout",
    "layout_solids",
    "occupancy_grid",
    "plan_svg",
    "require_valid",
]
