"""What each departure from the paper is worth on a CPU budget, and what the paper's own pieces are: one at a time, on
the maze, on expert data and on mixed data.

The first row is the paper's MAGE at this size. From the fourth on, each adds to `I(Z, s_0), stage 2b`. All but those of
its name act by their likeliest plan, whatever the preset does.
"""

from mage.search.script import run_variants_script

LIKELIEST = ["policy.sampling=greedy"]
OURS = [*LIKELIEST, "inverse_dynamics.inputs=latent_and_observation"]

if __name__ == "__main__":
    run_variants_script(
        __doc__,
        scenarios=["maze2d-umaze", "pen-expert", "door-cloned"],
        variants={
            "I(Z)": [*LIKELIEST, "inverse_dynamics.inputs=latent", "training.inverse_dynamics.steps=0"],
            "I(Z), stage 2b": [*LIKELIEST, "inverse_dynamics.inputs=latent"],
            "I(Z, s_0)": [*OURS, "training.inverse_dynamics.steps=0"],
            "I(Z, s_0), stage 2b": OURS,
            "I(Z, R_0, s_0)": [*LIKELIEST, "inverse_dynamics.inputs=latent_and_condition"],
            "expected codes": [*OURS, "policy.sampling=expected"],
            "sampled tokens": [*OURS, "policy.sampling=sample"],
            "16 candidates, nearest decoded s_0": [*OURS, "policy.sampling=sample", "policy.candidates=16"],
            "Algorithm 5 as printed": [*OURS, "transformer.coarser_tokens=generated"],
            "without L_cond": [*OURS, "transformer.condition_weight=0"],
            "ten times L_cond": [*OURS, "transformer.condition_weight=1"],
            "R_0 taken from D, so that L_cond asks Z for it": [*OURS, "autoencoder.return_in_decoder=false"],
            "decremented target": [*OURS, "evaluation.target_return_rule=decremented"],
            "three times as long": [
                *OURS,
                "training.autoencoder.steps=3000",
                "training.transformer.steps=6000",
                "training.inverse_dynamics.steps=18000",
            ],
        },
        seeds=2,
    )
