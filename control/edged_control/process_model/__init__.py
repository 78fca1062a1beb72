"""Linear process models: the artefact they travel in, the matrices that simulate them, and whether they still fit."""
