"""What pages hold open in the kernel: uploads, downloads, terminals; and the files that they look at."""
