"""The paper's ablation tables, measured beside published: any number of them in one run.

    python tune/ablation.py --table 5 20 21 --seeds 3 --out runs/ablation
    python tune/ablation.py --table 5 --out runs/ablation --show

The tables are declared in mage/paper/ablations.yaml; what several of them need is trained once. Each ends as
table-<n>.md and table-<n>.parquet in the run directory. `--show` prints what is there, at any time, and runs nothing.
"""

from mage.paper.script import run_ablation_script

if __name__ == "__main__":
    run_ablation_script(__doc__)
