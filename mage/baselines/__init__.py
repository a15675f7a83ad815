"""The references that MAGE is compared with, one algorithm a file: network, objective, policy."""
