"""The paper's ablations: its tables as declared, what a run has measured of them, and both beside what it published.

The published numbers themselves are among the results: `mage.results.published`.
"""
