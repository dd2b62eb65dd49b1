"""What the kernel tells the JupyterLab extension, and what a person asks for there: one comm target."""
