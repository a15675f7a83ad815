# MAGE, its tests, and what requirements/lock.txt pins; README.md says how it is run.
FROM python:3.11-slim-bookworm

# libosmesa6 draws without a display or a GPU for who sets MUJOCO_GL=osmesa. Nothing sets it here: MuJoCo then loads Mesa's
# LLVM into every process, and one that imports triton's, as PyTorch's CUDA build makes it, dies of the two.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git libosmesa6 make openssh-client rsync shellcheck \
    && rm -rf /var/lib/apt/lists/*

ARG USER_ID=1000
RUN useradd --no-log-init --create-home --uid "$USER_ID" mage \
    && install -d -o mage -g mage /mage /home/mage/.minari
USER $USER_ID
WORKDIR /mage
ENV VENV=/home/mage/venv PIP_NO_CACHE_DIR=1
ENV PATH=$VENV/bin:$PATH

# CUDA=1 takes the build of PyTorch that a GPU needs; its driver is the host's
ARG CUDA=
# what the environment is made of comes first: a change of other files does not make it again
COPY --chown=mage:mage Makefile pyproject.toml README.md LICENSE ./
COPY --chown=mage:mage requirements requirements
COPY --chown=mage:mage mage/__init__.py mage/
RUN make install CUDA="$CUDA"
COPY --chown=mage:mage . .

CMD ["mage", "--help"]
