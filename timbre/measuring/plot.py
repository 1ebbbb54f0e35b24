"""A picture of measurements: one panel for each group of workloads."""

from __future__ import annotations

from pathlib import Path

from timbre.measuring.measurement import Measurement


def plot_measurements(path: Path, measurements: list[Measurement]) -> None:
    """Draws bars of `ratio` (what is measured over its baseline), by group, as PNG or PDF."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from timbre.plots import save_figure

    groups: dict[str, list[Measurement]] = {}
    for item in measurements:
        groups.setdefault(item.workload.partition("/")[0], []).append(item)
    figure, panels = pyplot.subplots(
        len(groups), 1, figsize=(9, 1 + 0.35 * len(measurements)), squeeze=False
    )
    for panel, (group, items) in zip(panels[:, 0], groups.items(), strict=True):
        names = [f"{item.workload.partition('/')[2]} {item.dtype}" for item in items]
        bars = panel.barh(range(len(items)), [item.ratio for item in items])
        values = [f"{item.median:.3g} {item.unit}" for item in items]
        panel.bar_label(bars, values, padding=3, fontsize=8)
        panel.set_yticks(range(len(items)), names, fontsize=8)
        panel.axvline(1.0, color="grey", linewidth=0.8)
        panel.invert_yaxis()
        panel.margins(x=0.2)
        panel.set_title(f"{group}: over its baseline", fontsize=9)
    figure.tight_layout()
    save_figure(figure, path, dpi=120)
