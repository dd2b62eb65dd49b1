"""What says what to do next: the contract (`base`), its bodies, and which name means which (`catalogue`)."""
