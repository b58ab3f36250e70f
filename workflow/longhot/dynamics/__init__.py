"""Molecular dynamics of many replicas, detectors of failure, and the reference's word on what was visited."""
