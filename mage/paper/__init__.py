"""The paper's tables: as declared, run as one sweep, and what was measured of them beside what is published.

The published numbers themselves are among the results: `mage.results.published`.
"""
