"""Datasets: from Minari files, or recorded here, to normalised trajectory windows."""

from farama_notifications import notifications  # type: ignore[import-untyped]

# Gymnasium-Robotics prints a notice about its Adroit rewards on import: once for every worker process of a sweep.
notifications.pop("gymnasium_robotics", None)
