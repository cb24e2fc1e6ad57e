"""What went wrong: which rank failed first and why, which nodes keep failing, and runs that hang."""
