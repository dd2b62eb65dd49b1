"""Models of Anthropic's Messages API, and of other servers that speak it."""
