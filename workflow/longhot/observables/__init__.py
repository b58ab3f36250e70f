"""Observables of simulations."""
