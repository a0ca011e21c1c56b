"""Turns stored spans into answers: runs, money, findings, SLOs, alerts. Pure functions over frames."""
