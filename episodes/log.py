"""What an episode writes down at every control step, in arrays that hold a full episode, or the last part of one."""

from __future__ import annotations

import numpy as np

from .routes import FloatArray


class EpisodeLog:
    """Trajectories of everything that moves, row k at the beginning of control step k.

    Args:
        steps: rows (T): control steps of a full episode, or of what is kept of one. robots: R. people: P.
        loose: loose goods (L).

    Attributes:
        pose: (T, R, 3) x, y [m], yaw [rad]; velocity: (T, R, 2) v [m/s], omega [rad/s], both true.
        command: (T, R, 2) what the policies asked for.
        goal: (T, R, 3), nan where a robot had none.
        person_pose: (T, P, 3); person_velocity: (T, P, 2) vx, vy [m/s].
        loose_pose: (T, L, 7) of the loose goods' centres of mass.
        first: control step of row 0.
    """

    def __init__(self, steps: int, robots: int, people: int, loose: int) -> None:
        self.pose = np.empty((steps, robots, 3))
        self.velocity = np.empty((steps, robots, 2))
        self.command = np.zeros((steps, robots, 2))
        self.goal = np.full((steps, robots, 3), np.nan)
        self.person_pose = np.empty((steps, people, 3))
        self.person_velocity = np.empty((steps, people, 2))
        self.loose_pose = np.empty((steps, loose, 7))
        self.first = 0

    def row(self, step: int) -> int:
        """Return the row of a control step."""
        return step - self.first

    def roll(self, filled: int, keep: int) -> None:
        """Forget all but the last ``keep`` of the ``filled`` rows, which become the first."""
        for name in ("pose", "velocity", "command", "goal", "person_pose", "person_velocity", "loose_pose"):
            rows = getattr(self, name)
            rows[:keep] = rows[filled - keep : filled].copy()
        self.command[keep:] = 0.0
        self.goal[keep:] = np.nan
        self.first += filled - keep

    def loose_moves(self, steps: int) -> FloatArray:
        """Return the rows (M, 9) step, good, pose of all places of loose goods that differ from the step before."""
        pose = self.loose_pose[:steps]
        step, body = np.nonzero(np.any(pose[1:] != pose[:-1], axis=2))
        return np.column_stack([step + 1, body, pose[step + 1, body]])
