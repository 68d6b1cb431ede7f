"""Inference: predictions, their calibration, class activation maps, evaluation, and few-shot teaching."""
