"""What a server of models says about itself."""
