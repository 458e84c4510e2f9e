"""Energy split over requests by three rules that conserve it."""
