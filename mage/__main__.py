"""`python -m mage` is the command `mage`."""

from mage.cli import main

if __name__ == "__main__":
    main(prog_name="mage")
