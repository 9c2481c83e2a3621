"""For authors: proof that a lab's tests tell right from wrong, before it ships."""
