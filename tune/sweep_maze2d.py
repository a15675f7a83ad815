"""Sweeps K, codebook size and transformer depth on Maze2D; where no dataset is here yet, one is collected first."""

from mage.search.script import run_script

if __name__ == "__main__":
    run_script(
        __doc__,
        scenarios=["maze2d-umaze"],
        space={
            "autoencoder.num_scales": [1, 2, 3, 4],
            "autoencoder.codebook_size": [64, 128, 256],
            "transformer.depth": [1, 2, 3],
        },
        trials=4,
        seeds=1,
        search_seed=2,  # whose first four trials differ in all three fields
    )
