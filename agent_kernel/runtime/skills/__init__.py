"""The skills that users keep, in versions (`/v1/skills`)."""
