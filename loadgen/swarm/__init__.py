"""A load by Locust's workers, on one machine or several."""
