"""HDMI-style, a reconstruction of HDMI: sub-goals of shortest paths are denoised, then the ways between them."""

from mage.algorithms.hdmi_style.algorithm import HdmiStyle

ALGORITHM = HdmiStyle
