"""Say before anything is measured what cannot work, and what a study is going to take."""
