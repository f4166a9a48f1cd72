"""Ways people write models by hand that are no op by themselves: read only."""
