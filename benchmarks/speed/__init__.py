"""Every limit on speed in one run and one table: this build beside an earlier one."""
