"""Models applied to images, masks compared with references, and variants compared from tables of scores."""
