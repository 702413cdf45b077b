"""What the tuner reads of and writes to the world that it tunes, behind one small port."""
