"""Everyone's checkpoints: Detectron2's Mask R-CNN and DensePose CSE on our own modules."""
