"""Models on published test sets, by the settings their authors released: what is made of each clip, and the tables."""
