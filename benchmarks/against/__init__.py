"""Compare this build with an earlier one, in one run on one machine."""
