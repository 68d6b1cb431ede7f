"""Studies: normalization layers compared in matched trainings, and cross-validation by source."""
