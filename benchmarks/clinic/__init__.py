"""The clinic: adapters with one planted fault each, and whether the product's own commands find it."""
