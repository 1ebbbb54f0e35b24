"""The doctor: reads a run's curves and says what is wrong and what to change."""
