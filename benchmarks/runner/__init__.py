"""What the runner itself costs: beside what a study is about, and with a study of 10 000 cells."""
