"""Recognition: pictures in, emotions out. No torch here."""
