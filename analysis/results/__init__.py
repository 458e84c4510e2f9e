"""The tables read again, as points and sentences."""
