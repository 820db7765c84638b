"""Tables as people read them: few columns, text in every field, what all rows share said once."""
