# shellcheck shell=bash
# The environment of every Ray process and script on a node. The cluster files have ~/.bashrc source it, because Ray runs
# each of its commands over SSH in `bash --login -i`.

export PATH="$HOME/mage/.venv/bin:$PATH"       # `ray submit` runs `python`, `ray down` runs `ray`: both from here
export RAY_AUTH_MODE=token                     # clients without ~/.ray/auth_token are refused, and no Ray starts without it
export MINARI_DATASETS_PATH=/shared/minari     # datasets are downloaded or collected once, for all nodes
export RAY_USAGE_STATS_ENABLED=0               # Ray reports nothing to its makers
