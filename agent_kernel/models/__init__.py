"""Models: the interface (`base`), its implementations, and the lookup of names (`catalogue`)."""
