"""What the log says, folded into stores that answer questions."""
