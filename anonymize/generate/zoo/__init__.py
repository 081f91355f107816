"""Everyone's checkpoints: DeepPrivacy2's full-body generator on our own modules."""
