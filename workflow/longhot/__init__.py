"""Longhot: judge machine-learned interatomic potentials by the question they must answer."""

__version__ = "0.1.0"
