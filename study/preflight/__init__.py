"""What is said before anything is measured: what cannot work is refused, and what a study is going to take."""
