"""The model that plays a cassette: `replay/FILE`."""
