"""The sandbox's end of its network: a resolver, listeners and a proxy, whose connections the host makes."""
