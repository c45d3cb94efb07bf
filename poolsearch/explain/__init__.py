"""What one pooling does to one picture: its arithmetic, what it sees, what a shift and a spectrum show."""
