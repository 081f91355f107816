"""The state of the tracker: tracks, frames that wait, and what is known of motion and appearance."""
