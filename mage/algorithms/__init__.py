"""The algorithms, one a file or folder, each with its configuration, presets, networks, losses and acting.

A module offers its class as `ALGORITHM`. Nothing imports them but `mage.registry`, by name.
"""
