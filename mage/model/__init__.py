"""The networks of MAGE, in the order data flows: autoencoder, inverse dynamics, transformer, policy."""
