"""Image sets in the layouts in which they are published, each read by a module that says what the layout is."""
