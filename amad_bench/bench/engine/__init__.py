"""Costs of trainings on a device: a step, the products of maps, small runs beside each other."""
