"""Third phase: gaps are filled, boxes and masks smoothed, and the frame is handed on."""
