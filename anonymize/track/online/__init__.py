"""First phase, at each new frame: detections are assigned to tracks."""
