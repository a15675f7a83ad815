"""Sweeps K (Table 5), codebook size (Table 20) and transformer depth (Table 21) on Adroit."""

from mage.search.script import run_script

if __name__ == "__main__":
    run_script(
        __doc__,
        scenarios=["pen-expert", "door-cloned"],
        space={
            "autoencoder.num_scales": [1, 2, 4, 8],
            "autoencoder.codebook_size": [128, 256, 512],
            "transformer.depth": [2, 4],
        },
        trials=16,
        seeds=3,
    )
