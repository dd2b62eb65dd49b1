"""Webhooks: tell the operator's endpoints that a background turn has ended.

queued turn ─► outbox ─► turn ends ─► outbox has its event ─► delivery ─► endpoint answers 2xx ─► removed
"""
