"""What is made before policies are optimised, each in a folder that the next names by path and hash."""
