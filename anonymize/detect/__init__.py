"""Finding people: Mask R-CNN and CSE on each frame, their masks matched and merged."""
