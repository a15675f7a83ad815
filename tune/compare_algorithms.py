"""MAGE beside its references, on the same data, workers and episodes: behaviour cloning with and without the
return-to-go, and Decision Transformer. The reference benchmark of this library.
"""

from mage.search.script import run_variants_script

if __name__ == "__main__":
    run_variants_script(
        __doc__,
        scenarios=["pen-expert", "door-expert", "hammer-expert", "relocate-expert", "door-cloned", "maze2d-umaze"],
        variants={
            "mage": [],
            "bc": ["algorithm=bc"],
            "return_bc": ["algorithm=return_bc"],
            "dt": ["algorithm=dt"],
        },
        seeds=3,
    )
