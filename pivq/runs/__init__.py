"""Trained once, found again: runs, stages, costs, measurements."""

from pivq.runs.notebook import tell_errors_briefly

tell_errors_briefly()  # here, since every notebook imports from this folder before it does anything that can fail
