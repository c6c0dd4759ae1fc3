"""Tariff: what is charged, made from a model, refined step by step, traced to the cent."""
