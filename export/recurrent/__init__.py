"""Recurrent layers over the step form: fused nodes and loops, which of them, and one direction of either."""
