"""What happens around the updates: stopping, saving, metrics, progress, validation."""
