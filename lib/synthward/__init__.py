"""Differentially private synthetic health data on Apache Spark."""
