"""The loss catalogue and the schedules of its weights: pure functions and small modules."""
