"""Process models from recordings of moves: structures, their fits, and the reasons why there is no model."""
