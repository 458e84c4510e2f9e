"""How requests are sent and answers timed: connections, and the clients that read and write on them."""
