"""What MAGE costs on a GPU: `python -m benchmarks.gpu`."""
