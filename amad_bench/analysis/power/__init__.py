"""Planning: the differences that finished runs say other numbers of seeds and blocks would show."""
