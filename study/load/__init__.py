"""`starwatt load`: one load on an endpoint that already runs, with or without energy."""
