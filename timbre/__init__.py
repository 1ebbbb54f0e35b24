"""The assembled system: the Lightning module, its objective, checkpoints, callbacks, synthesis."""
