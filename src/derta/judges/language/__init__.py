"""How texts refuse, answer and read: the rules that judges share."""
