"""Recording a notebook's turns into a cassette, and comparing a replayed notebook with one."""
