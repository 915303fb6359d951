"""What `import derta` offers to Python users, one file a subject."""
