"""What one server process can bear: bodies, answers, threads and time, all from one budget."""
