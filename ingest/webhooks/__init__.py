"""Webhooks: what happened to documents and jobs, told to URLs that asked for it, in the Standard Webhooks form.

Announced in the transaction in which it happens, delivered at least once with an id that stays, in no promised order.
"""
